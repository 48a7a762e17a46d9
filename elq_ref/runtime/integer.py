"""A network on int8 activations as a value: its integers, checked. docs/arithmetic.md defines what they mean.

graph + constants -> IntegerNetwork -> integer_interpreter (the definition), or the kernels of a Session

An IntegerNetwork follows its graph node by node, with one difference: a relu or clip that alone reads what an op with a
clamp computes becomes that clamp (runtime.steps). Every value is int8 with one scale: real number = scale * integer.
relu, max_pool, subsample, pad, flatten, slice and shuffle leave the scale as it is; every other op and the input have a
scale of their own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from ..graph.nodes import Graph, Node, frozen_array, remade, required
from ..graph.shapes import Shape, infer_shapes
from ..graph.windows import AVERAGES, counts, different_counts
from .integer_constants import HIGH, LOW, AddScales, Clamp, Constants, Requantize, Tables, check_clamp
from .integer_weights import IntegerWeight, integer_weight, needs_weights
from .steps import REQUANTIZED, SCALED, TABLED, Step, int8_steps

MIN_SCALE, MAX_SCALE = 1e-28, 1e28  # the latter times an int32 is a float32
PRODUCT = 128  # what a product of two int8 counts as in a proof of headroom: it is at most 128 * 128


@dataclass(frozen=True, eq=False)
class IntegerNode:
    """One computation on int8 values: `name` = op(`inputs`), then clamped to lo .. hi.

    source: the node of the graph that it computes; another name than `name` where a relu or clip went into the clamp.
    shape: of the value, (C, H, W) or (C). requantize: of the ops in REQUANTIZED; add: of an add; tables int8 (K, 256):
    of the ops in TABLED. size: of its first operand.
    """

    op: str
    name: str
    source: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    shape: Shape
    weight: IntegerWeight | None = None
    requantize: Requantize | None = None
    add: AddScales | None = None
    tables: np.ndarray | None = None
    size: Shape = ()
    lo: int = LOW
    hi: int = HIGH

    @property
    def which(self) -> np.ndarray | None:
        """Of an average of varying counts which b, q and s every pixel has, int (P, Q); else None."""
        if self.op not in AVERAGES or len(required(self.requantize).q) == 1:
            return None
        of_pixel: np.ndarray = np.searchsorted(-different_counts(self, self.size), -counts(self, self.size))
        return of_pixel


@dataclass(frozen=True, eq=False)
class IntegerNetwork:
    """A graph with everything that running it on int8 values takes. Checked when it is made, the headroom of
    every sum too; ValueError names the node that is wrong.

    scales: of the input and of every value of an op in SCALED, by name. table int8 (C, 256): what a uint8 of each
    channel becomes. constants: by name of the value. weights: int8 weights of the graph's float layers, by node.
    factor float32 (classes): logit = factor * raw (`integer_interpreter.Outputs`). calibration: how the scales were
    found, anything that JSON can hold. clamps: (lo, hi) of the values that bear the name of a clip.
    """

    graph: Graph
    scales: Mapping[str, float]
    table: np.ndarray
    constants: Mapping[str, Constants]
    weights: Mapping[str, np.ndarray]
    factor: np.ndarray
    calibration: Mapping[str, Any] = field(default_factory=dict)
    clamps: Mapping[str, Clamp] = field(default_factory=dict)
    nodes: tuple[IntegerNode, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        running = int8_steps(self.graph)
        _check_names("int8 weights", self.weights, [step.node.name for step in running if needs_weights(step.node)])
        _check_names("constants", self.constants, [step.name for step in running if step.node.op in SCALED])
        _check_names("clamps", self.clamps, [step.name for step in running if has_clamp(step)])
        check_scales(self.scales, [self.graph.input, *self.constants])
        object.__setattr__(self, "scales", {name: float(scale) for name, scale in self.scales.items()})
        for name in ("scales", "constants", "weights", "clamps"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        table = frozen_array("table", self.table, np.int8, (self.graph.input_shape[0], 256))
        object.__setattr__(self, "table", table)
        shapes = infer_shapes(self.graph)
        object.__setattr__(self, "nodes", tuple(self._node(step, shapes) for step in running))
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

    def _node(self, step: Step, shapes: Mapping[str, Shape]) -> IntegerNode:
        node, name = step.node, step.name
        parts: dict[str, Any] = {}
        try:
            lo, hi = (LOW, HIGH) if step.clamp is None else self.clamps.get(name, (0, HIGH))
            check_clamp((lo, hi))
            if node.weight is not None or node.op == "scale_shift":
                parts["weight"] = integer_weight(node, self.weights.get(node.name))
            if node.op in REQUANTIZED:
                constants = self.constants[name]
                sums = largest_sums(node, parts.get("weight"), shapes)
                if not isinstance(constants, Requantize) or constants.q.shape != sums.shape:
                    raise ValueError(f"wants b, q and s of {sums.shape}")
                constants.prove(sums, (lo, hi))
                parts["requantize"] = constants
            elif node.op == "add":
                parts["add"] = self.constants[name]
                if not isinstance(parts["add"], AddScales):
                    raise ValueError("wants the constants of an add")
            elif node.op in TABLED:
                tables, rows = self.constants[name], table_rows(node)
                if not isinstance(tables, Tables) or len(tables.data) != rows:
                    raise ValueError(f"wants {rows} table(s)")
                parts["tables"] = tables.data
        except ValueError as error:
            raise ValueError(f"node {node.name!r} in int8: {error}") from None
        parts |= {"size": shapes[node.inputs[0]], "lo": lo, "hi": hi}
        return IntegerNode(node.op, name, node.name, node.inputs, node.attributes, shapes[name], **parts)


def has_clamp(step: Step) -> bool:
    """Whether the value bears the name of a clip, whose ends an IntegerNetwork has."""
    return step.clamp is not None and step.clamp.op == "clip"


def largest_sums(node: Node, weight: IntegerWeight | None, shapes: Mapping[str, Shape]) -> np.ndarray:
    """What its sums are at most, in units of 128, int64 (O); of an average the counts that it has, largest first."""
    if weight is not None:
        return weight.absolute_sums()
    return different_counts(node, shapes[node.inputs[0]]) if node.op in AVERAGES else np.array([PRODUCT])


def table_rows(node: Node) -> int:
    """How many tables of 256 an op in TABLED has: one an operand of a concat, one a channel of a prelu."""
    if node.op == "concat":
        return len(node.inputs)
    return 1 if node.slope is None else len(required(node.slope))


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
