"""A network on int8 activations as a value: its integers, checked. docs/arithmetic.md defines what they mean.

graph + constants -> IntegerNetwork -> integer_interpreter (the definition), or the kernels of a Session

An IntegerNetwork follows its graph node by node, with one difference: a ReLU that alone reads what a conv, linear,
scale_shift, add or average computes becomes the lower bound of that node's clamp. Every value is int8 with one
scale: real number = scale * integer. relu, max_pool, subsample, pad and flatten leave the scale as it is; every
other op and the input have a scale of their own.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from ..graph.codes import flip_rows, nonzeros, row_bytes, row_length, to_rows, unpack_rows
from ..graph.nodes import Graph, Node, frozen_array, remade, required
from ..graph.shapes import infer_shapes

ARITHMETIC_VERSION = 1
REQUANTIZED = ("conv", "linear", "scale_shift", "avg_pool", "global_avg_pool")
SCALED = (*REQUANTIZED, "add")  # the ops whose value has a scale of its own
LOW, HIGH = -128, 127
STEPS = 64  # a scale_shift multiplies its operand by this or its negative, so that its bias has finer steps
MIN_SCALE, MAX_SCALE = 1e-28, 1e28  # the latter times an int32 is a float32
CONSTANT_SHIFT = 33  # s_o of a constant channel


@dataclass(frozen=True, eq=False)
class IntegerWeight:
    """The integers w that a conv (O, C/groups, KH, KW), linear (O, C) or scale_shift (C) multiplies by.

    levels "ternary", "binary": `data` uint8 (O, row_bytes) is packed as in graph.codes, the channels with a
    negative scale already flipped. levels "int8": `data` int8 in `shape`, -127 to 127.
    """

    levels: str
    shape: tuple[int, ...]
    data: np.ndarray

    def __post_init__(self) -> None:
        if self.levels == "int8":
            object.__setattr__(self, "data", frozen_array("int8 weight", self.data, np.int8, self.shape))
            if (self.data == LOW).any():
                raise ValueError(f"an int8 weight is {LOW}, wanted {-HIGH} to {HIGH}")
        else:
            length = row_length(self.shape)
            wanted = (self.shape[0], row_bytes(self.levels, length))
            object.__setattr__(self, "data", frozen_array("codes", self.data, np.uint8, wanted))

    def rows(self) -> np.ndarray:
        """w as int8 (O, K) in canonical order, K = KH * KW * C / groups."""
        if self.levels == "int8":
            return to_rows(self.data)
        return unpack_rows(self.data, self.levels, row_length(self.shape))

    def absolute_sums(self) -> np.ndarray:
        """sum |w| of each output channel, int64 (O)."""
        if self.levels == "int8":
            sums: np.ndarray = np.abs(self.data.astype(np.int64)).reshape(self.shape[0], -1).sum(1)
            return sums
        return nonzeros(self.data, self.levels, row_length(self.shape))


@dataclass(frozen=True, eq=False)
class Requantize:
    """How sums become int8: y_o = clamp((((sum_o + b_o) << l) * q_o + 2^(s_o - 1)) >> s_o, lo, hi).

    l: 0 to 29. b int32, q int32 in 2^30 .. 2^31 - 1, s uint8 in 33 .. 62, each (O), or (1) for an average. A
    constant channel has q_o = 0, s_o = 33, and its value in b_o; its weights do not matter.
    """

    l: int
    b: np.ndarray
    q: np.ndarray
    s: np.ndarray

    def __post_init__(self) -> None:
        for name, dtype in (("b", np.int32), ("q", np.int32), ("s", np.uint8)):
            object.__setattr__(self, name, frozen_array(name, getattr(self, name), dtype, self.q.shape))
        if type(self.l) is not int or not 0 <= self.l <= 29:
            raise ValueError(f"l is {str(self.l)[:40]}, wanted 0 to 29")
        constant = self.constant
        if not (constant | (self.q >= 1 << 30)).all():
            raise ValueError("a q is neither 0 nor 2^30 to 2^31 - 1")
        if not np.where(constant, self.s == CONSTANT_SHIFT, (self.s >= 33) & (self.s <= 62)).all():
            raise ValueError("an s is not 33 to 62, or not 33 in a constant channel")

    @property
    def constant(self) -> np.ndarray:
        """Which channels are constant, bool (O)."""
        constant: np.ndarray = self.q == 0
        return constant

    def prove(self, sums: np.ndarray, lo: int) -> None:
        """Refuse (ValueError) what could leave int32: (sum|w| * 128 + |b|) * 2^l < 2^31 for every channel; and a
        constant outside lo .. hi.
        """
        worst = sums * 128 + np.abs(self.b.astype(np.int64))
        if (worst << self.l >= 1 << 31).any():
            raise ValueError(f"sums of up to {worst.max()}, shifted by l = {self.l}, do not fit 32 bits")
        if (self.constant & ((self.b < lo) | (self.b > HIGH))).any():
            raise ValueError(f"a constant channel is outside {lo} to {HIGH}")


@dataclass(frozen=True)
class AddScales:
    """How two int8 values are added: y = clamp((x1 q1 + x2 q2 + 2^(s - 1)) >> s, lo, hi); 0 <= q < 2^22,
    1 <= s <= 31.
    """

    q1: int
    q2: int
    s: int

    def __post_init__(self) -> None:
        for name, least, most in (("q1", 0, (1 << 22) - 1), ("q2", 0, (1 << 22) - 1), ("s", 1, 31)):
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise ValueError(f"{name} is {str(value)[:40]}, wanted {least} to {most}")


Constants = Requantize | AddScales


@dataclass(frozen=True, eq=False)
class IntegerNode:
    """One computation on int8 values: `name` = op(`inputs`), then clamped to lo .. 127.

    source: the node of the graph that it computes; another name than `name` where a ReLU went into the clamp.
    shape: of the value, (C, H, W) or (C). requantize: of the ops in REQUANTIZED; add: of an add.
    """

    op: str
    name: str
    source: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    shape: tuple[int, ...]
    weight: IntegerWeight | None = None
    requantize: Requantize | None = None
    add: AddScales | None = None
    lo: int = LOW


@dataclass(frozen=True, eq=False)
class IntegerNetwork:
    """A graph with everything that running it on int8 values takes. Checked when it is made, the headroom of
    every sum too; ValueError names the node that is wrong.

    scales: of the input and of every value of an op in SCALED, by name. table int8 (C, 256): what a uint8 of each
    channel becomes. constants: by name of the value. weights: int8 weights of the graph's float layers, by node.
    factor float32 (classes): logit = factor * raw (`integer_interpreter.Outputs`). calibration: how the scales were
    found, anything that JSON can hold.
    """

    graph: Graph
    scales: Mapping[str, float]
    table: np.ndarray
    constants: Mapping[str, Constants]
    weights: Mapping[str, np.ndarray]
    factor: np.ndarray
    calibration: Mapping[str, Any] = field(default_factory=dict)
    nodes: tuple[IntegerNode, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        fused = fuse_relus(self.graph)
        _check_names("int8 weights", self.weights, [node.name for node, _ in fused if needs_weights(node)])
        _check_names("constants", self.constants, [name for node, name in fused if node.op in SCALED])
        check_scales(self.scales, [self.graph.input, *self.constants])
        object.__setattr__(self, "scales", {name: float(scale) for name, scale in self.scales.items()})
        for name in ("scales", "constants", "weights"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        table = frozen_array("table", self.table, np.int8, (self.graph.input_shape[0], 256))
        object.__setattr__(self, "table", table)
        shapes = infer_shapes(self.graph)
        object.__setattr__(self, "nodes", tuple(self._node(node, name, shapes) for node, name in fused))
        factor = frozen_array("factor", self.factor, np.float32, shapes[self.graph.output])
        if not ((factor >= 0) & (factor <= MAX_SCALE)).all():
            raise ValueError(f"factor is from {factor.min()} to {factor.max()}, wanted 0 to {MAX_SCALE}")
        object.__setattr__(self, "factor", factor)
        try:
            plain = json.loads(json.dumps(dict(self.calibration), allow_nan=False))
        except (TypeError, ValueError) as error:
            raise ValueError(f"calibration does not fit JSON: {error}") from None
        object.__setattr__(self, "calibration", plain)

    __reduce__ = remade

    def _node(self, node: Node, name: str, shapes: Mapping[str, tuple[int, ...]]) -> IntegerNode:
        lo = LOW if name == node.name else 0
        weight: IntegerWeight | None = None
        requantize: Requantize | None = None
        add: AddScales | None = None
        try:
            if node.weight is not None or node.op == "scale_shift":
                weight = integer_weight(node, self.weights.get(node.name))
            if node.op in REQUANTIZED:
                constants = self.constants[name]
                sums = weight.absolute_sums() if weight else np.array([averaged(node, shapes)])
                if not isinstance(constants, Requantize) or constants.q.shape != sums.shape:
                    raise ValueError(f"wants b, q and s of {sums.shape}")
                constants.prove(sums, lo)
                requantize = constants
            elif node.op == "add":
                constants = self.constants[name]
                if not isinstance(constants, AddScales):
                    raise ValueError("wants the constants of an add")
                add = constants
        except ValueError as error:
            raise ValueError(f"node {node.name!r} in int8: {error}") from None
        return IntegerNode(
            node.op, name, node.name, node.inputs, node.attributes, shapes[name], weight, requantize, add, lo
        )


def fuse_relus(graph: Graph) -> list[tuple[Node, str]]:
    """The nodes that run, each with the name of its value: its own, or that of the ReLU behind it
    that went into its clamp (nobody else reads the node, and it has a scale of its own).
    """
    readers = Counter([graph.output, *(name for node in graph.nodes for name in node.inputs)])
    known = {node.name: node for node in graph.nodes}
    relus = {}
    for node in graph.nodes:
        before = known.get(node.inputs[0])
        if node.op == "relu" and before is not None and before.op in SCALED and readers[before.name] == 1:
            relus[before.name] = node.name
    gone = set(relus.values())
    return [(node, relus.get(node.name, node.name)) for node in graph.nodes if node.name not in gone]


def needs_weights(node: Node) -> bool:
    """Whether a node's weights are float, so that an IntegerNetwork has int8 ones for them."""
    return node.weight is not None and required(node.weight).levels == "float"


def integer_weight(node: Node, int8: np.ndarray | None = None) -> IntegerWeight:
    """The integers that a node multiplies by; `int8`: those of a float layer."""
    negative: np.ndarray = required(node.scale) < 0
    if node.op == "scale_shift":
        return IntegerWeight("int8", negative.shape, np.where(negative, -STEPS, STEPS).astype(np.int8))
    weight = required(node.weight)
    levels, shape = weight.levels, weight.shape
    if int8 is not None:
        return IntegerWeight("int8", shape, int8)
    return IntegerWeight(levels, shape, flip_rows(weight.data, levels, row_length(shape), negative))


def averaged(node: Node, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """How many elements one element of an avg_pool or global_avg_pool is the mean of."""
    return math.prod(node.attributes["kernel"] if node.op == "avg_pool" else shapes[node.inputs[0]][1:])


def check_scales(scales: Mapping[str, float], wanted: list[str]) -> None:
    """Refuse (ValueError) scales of other values than `wanted`, or out of range."""
    _check_names("scales", scales, wanted)
    for name, scale in scales.items():
        if not isinstance(scale, float) or not MIN_SCALE <= scale <= MAX_SCALE:
            raise ValueError(f"the scale of {name!r} is {str(scale)[:40]}, wanted {MIN_SCALE} to {MAX_SCALE}")


def _check_names(what: str, given: Mapping[str, Any], wanted: list[str]) -> None:
    if set(given) != set(wanted):
        missing, more = sorted(set(wanted) - set(given)), sorted(set(given) - set(wanted))
        raise ValueError(f"{what} are missing for {str(missing)[:80]}, given for {str(more)[:80]} that have none")


def to_int8(x: np.ndarray, scale: float) -> np.ndarray:
    """Real numbers x to int8: clamp(floor(x / scale + 1/2), -128, 127) in float64; NaN becomes 0."""
    steps = np.floor(x.astype(np.float64) / scale + 0.5)
    return np.nan_to_num(steps, nan=0.0).clip(LOW, HIGH).astype(np.int8)
