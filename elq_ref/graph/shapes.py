"""What each op of a graph demands, and the shape of every value: computed before any memory is taken.

docs/graph.md has the table of ops: what each reads, its attributes and arrays, and what it computes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import geometry
from .geometry import Shape as Shape
from .nodes import ROLES, Graph, Node, Parameter

MAX_NODES = 4096
MAX_NAME = 200
MAX_LENGTH = 1 << 24  # of one axis
MAX_STEP = 1 << 15  # of a kernel, a stride, a padding, a dilation
MAX_VALUES = 1 << 28  # floats that all activations of one picture may take together: 1 GiB
MAX_OPERANDS = 256
MAX_NUMBER = 3.4028234663852886e38  # of a float attribute: the largest float32


@dataclass(frozen=True)
class Integers:
    """An attribute of `count` integers (a tuple unless count is 1) from `least` to `most`."""

    count: int
    least: int
    most: int

    def check(self, name: str, value: Any) -> None:
        """Refuse (ValueError) what the attribute `name` cannot be."""
        values = (value,) if self.count == 1 else value
        if not isinstance(values, tuple) or len(values) != self.count or not all(type(v) is int for v in values):
            raise ValueError(f"{name} is {str(value)[:40]}, wanted {self.count} integer(s)")
        if not all(self.least <= v <= self.most for v in values):
            raise ValueError(f"{name} is {str(value)[:40]}, wanted {self.least} to {self.most}")


@dataclass(frozen=True)
class Number:
    """An attribute that is a float from `least` to `most`."""

    least: float = -MAX_NUMBER
    most: float = MAX_NUMBER

    def check(self, name: str, value: Any) -> None:
        """Refuse (ValueError) what the attribute `name` cannot be."""
        if type(value) is not float:
            raise ValueError(f"{name} is {str(value)[:40]}, wanted a float")
        if not self.least <= value <= self.most:
            raise ValueError(f"{name} is {value}, wanted {self.least:g} to {self.most:g}")


@dataclass(frozen=True)
class Op:
    """What an op demands.

    shape: of what it computes; operands: at least and at most how many values it reads; packed, trainable: the roles
    of its arrays in each form, None where the op is none of that form; optional: of them those that may be absent.
    """

    shape: Callable[[Node, list[Shape]], Shape]
    operands: tuple[int, int] = (1, 1)
    attributes: dict[str, Integers | Number] = field(default_factory=dict)
    packed: tuple[str, ...] | None = ()
    trainable: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()

    def roles(self, trainable: bool) -> tuple[str, ...]:
        """Of its arrays in one form."""
        return self.trainable if trainable else self.packed or ()


_STEP, _PADS, _BORDER = Integers(2, 1, MAX_STEP), Integers(2, 0, MAX_STEP), Integers(4, 0, MAX_STEP)
_LENGTH, _CHANNEL, _SIDES = Integers(1, 1, MAX_LENGTH), Integers(1, 0, MAX_LENGTH), Integers(3, 0, MAX_STEP)
_LAYER, _AFFINE, _NORM = ("weight", "bias"), ("scale", "bias"), ("scale", "bias", "mean", "var")

# Functions of one number; graph.functions has their definitions.
_FUNCTIONS: dict[str, Op] = {
    "relu": Op(geometry.same),
    "clip": Op(geometry.same, attributes={"low": Number(), "high": Number()}),
    "leaky_relu": Op(geometry.same, attributes={"slope": Number()}),
    "prelu": Op(geometry.channelwise, packed=("slope",), trainable=("slope",)),
    "sigmoid": Op(geometry.same),
    "tanh": Op(geometry.same),
    "hard_sigmoid": Op(geometry.same, attributes={"alpha": Number(), "beta": Number()}),
    "hard_swish": Op(geometry.same),
    "silu": Op(geometry.same),
    "elu": Op(geometry.same, attributes={"alpha": Number()}),
    "gelu": Op(geometry.same),
    "gelu_tanh": Op(geometry.same),
}
OPS: dict[str, Op] = {
    "conv": Op(
        geometry.conv,
        attributes={"stride": _STEP, "padding": _PADS, "dilation": _STEP, "groups": _LENGTH},
        packed=("weight", *_AFFINE),
        trainable=_LAYER,
        optional=("bias",),
    ),
    "linear": Op(geometry.linear, packed=("weight", *_AFFINE), trainable=_LAYER, optional=("bias",)),
    "scale_shift": Op(geometry.channelwise, packed=_AFFINE, trainable=_AFFINE),
    "batch_norm": Op(geometry.channelwise, attributes={"eps": Number(0.0, 1.0)}, packed=None, trainable=_NORM),
    "dropout": Op(geometry.same, attributes={"rate": Number(0.0, 1.0)}, packed=None),
    **_FUNCTIONS,
    "add": Op(geometry.elementwise, operands=(2, 2)),
    "mul": Op(geometry.elementwise, operands=(2, 2)),
    "concat": Op(geometry.concat, operands=(2, MAX_OPERANDS)),
    "slice": Op(geometry.channels, attributes={"first": _CHANNEL, "last": _LENGTH}),
    "shuffle": Op(geometry.shuffle, attributes={"groups": _LENGTH}),
    "max_pool": Op(geometry.pool, attributes={"kernel": _STEP, "stride": _STEP, "padding": _BORDER}),
    "avg_pool": Op(
        geometry.pool, attributes={"kernel": _STEP, "stride": _STEP, "padding": _BORDER, "counted": _BORDER}
    ),
    "adaptive_avg_pool": Op(geometry.adaptive, attributes={"output": _STEP}),
    "global_avg_pool": Op(geometry.means),
    "lrn": Op(
        geometry.lrn,
        attributes={"size": _LENGTH, "alpha": Number(0.0), "beta": Number(0.0), "bias": Number(1e-6)},
    ),
    "subsample": Op(geometry.subsample, attributes={"step": Integers(1, 1, MAX_STEP)}),
    "pad": Op(geometry.pad, attributes={"before": _SIDES, "after": _SIDES}),
    "flatten": Op(geometry.flatten),
}
PACKED_OPS = tuple(name for name, op in OPS.items() if op.packed is not None)


def check_name(name: object) -> None:
    """Refuse a value name that is not printable text of 1 to MAX_NAME characters."""
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise ValueError(f"a value is named {str(name)[:40]!r}, wanted 1 to {MAX_NAME} printable characters")


def check_weight_shape(op: str, shape: Shape) -> None:
    """Refuse the shape of a weight of node kind `op` that has another rank than its op or an axis out of
    range.
    """
    wanted = 4 if op == "conv" else 2
    if len(shape) != wanted or not all(1 <= n <= MAX_LENGTH for n in shape):
        raise ValueError(f"weight has shape {shape}, wanted {wanted} axes from 1 to {MAX_LENGTH}")
    if max(shape[2:], default=1) > MAX_STEP:
        raise ValueError(f"weight has a kernel of {shape[2:]}, wanted 1 to {MAX_STEP}")


def _check_node(node: Node, known: dict[str, Shape], trainable: bool) -> None:
    """Everything about a node that does not depend on the shapes of its operands."""
    if node.op not in OPS:
        raise ValueError(f"there is no op {str(node.op)[:40]!r}")
    op = OPS[node.op]
    least, most = op.operands
    if not least <= len(node.inputs) <= most:
        wanted = least if least == most else f"{least} to {most}"
        raise ValueError(f"reads {len(node.inputs)} value(s), {node.op} wants {wanted}")
    for name in node.inputs:
        if name not in known:
            raise ValueError(f"reads {str(name)[:40]!r}, which no node before it computes")
    if set(node.attributes) != set(op.attributes):
        raise ValueError(f"has attributes {sorted(node.attributes)}, {node.op} wants {sorted(op.attributes)}")
    for name, kind in op.attributes.items():
        kind.check(name, node.attributes[name])
    if node.op == "clip" and node.attributes["low"] > node.attributes["high"]:
        raise ValueError(f"low is {node.attributes['low']}, high {node.attributes['high']}")
    _check_arrays(node, op, trainable)


def _check_arrays(node: Node, op: Op, trainable: bool) -> None:
    """The arrays of a node are those of its op in this form of the graph, and fit each other."""
    wanted = op.roles(trainable)
    parts = {role: getattr(node, role) for role in ROLES if getattr(node, role) is not None}
    missing = [role for role in wanted if role not in parts and not (trainable and role in op.optional)]
    if missing or set(parts) - set(wanted):
        given = ", ".join(parts) or "none"
        raise ValueError(f"{node.op} wants {', '.join(wanted) or 'no'} array(s), given {given}")
    mixed = [role for role, part in parts.items() if isinstance(part, Parameter) != trainable]
    if mixed:
        raise ValueError(f"{mixed[0]} is {'an array' if trainable else 'a Parameter'}, another node's is not")
    if node.weight is not None:
        check_weight_shape(node.op, node.weight.shape)
    lengths = {part.shape for role, part in parts.items() if role != "weight"}
    lengths |= set() if node.weight is None else {node.weight.shape[:1]}
    if len(lengths) > 1:
        raise ValueError(f"has arrays of shapes {', '.join(str(part.shape) for part in parts.values())}")


def _check_parameters(graph: Graph) -> None:
    """Every name of a tensor is one of its kind, with one shape."""
    shapes: dict[str, Shape] = {}
    for node in graph.nodes:
        for parameter in node.parameters.values():
            check_name(parameter.name)
            shape = parameter.shape
            if not isinstance(shape, tuple) or not all(type(n) is int and 1 <= n <= MAX_LENGTH for n in shape):
                raise ValueError(f"{parameter.name!r} has shape {str(shape)[:40]}, wanted axes from 1 to {MAX_LENGTH}")
            if shapes.setdefault(parameter.name, shape) != shape:
                raise ValueError(f"{parameter.name!r} has shapes {shapes[parameter.name]} and {shape}")


def infer_shapes(graph: Graph) -> dict[str, Shape]:
    """The shape of every value by name, in order; the whole graph is checked on the way.

    Raises ValueError that names the node for an unknown op or attribute, a value out of range, a reference
    to what is not computed before, a name used twice, shapes that do not fit, arrays that are no Parameters where
    others are, or activations beyond MAX_VALUES.
    """
    check_name(graph.input)
    check_name(graph.output)
    if len(graph.input_shape) != 3 or not all(type(n) is int and 1 <= n <= MAX_LENGTH for n in graph.input_shape):
        raise ValueError(f"input shape is {graph.input_shape}, wanted (C, H, W) from 1 to {MAX_LENGTH}")
    if not 1 <= len(graph.nodes) <= MAX_NODES:
        raise ValueError(f"the graph has {len(graph.nodes)} nodes, wanted 1 to {MAX_NODES}")
    _check_parameters(graph)
    trainable = graph.trainable or any(OPS[node.op].packed is None for node in graph.nodes if node.op in OPS)
    shapes: dict[str, Shape] = {graph.input: tuple(graph.input_shape)}
    total = math.prod(graph.input_shape)
    for node in graph.nodes:
        check_name(node.name)
        if node.name in shapes:
            raise ValueError(f"two values are named {node.name!r}")
        try:
            _check_node(node, shapes, trainable)
            shape = OPS[node.op].shape(node, [shapes[name] for name in node.inputs])
        except ValueError as error:
            raise ValueError(f"node {node.name!r}: {error}") from None
        total += math.prod(shape) + _padded(node, shapes)
        if total > MAX_VALUES:
            raise ValueError(f"node {node.name!r}: activations of more than {MAX_VALUES} floats a picture")
        shapes[node.name] = shape
    if graph.output not in shapes:
        raise ValueError(f"the output {graph.output[:40]!r} is computed by no node")
    return shapes


def check_packed(graph: Graph) -> None:
    """Refuse (ValueError) a graph whose arrays are elsewhere, or that has what only training has: not a packed one."""
    for node in graph.nodes:
        if node.parameters or (node.op in OPS and OPS[node.op].packed is None):
            raise ValueError(f"node {node.name!r}: {node.op} of a trainable graph, graph.folded makes a packed one")


def operations(graph: Graph, shapes: Mapping[str, Shape]) -> dict[str, int]:
    """What each node does for a picture: multiply-adds of a conv or linear, elements of the windows of pools (at most,
    of an adaptive one) and of an lrn, else elements of its value; `shapes` of all values.
    """
    return {node.name: _work(node, shapes[node.inputs[0]], shapes[node.name]) for node in graph.nodes}


def _work(node: Node, x: Shape, y: Shape) -> int:
    """Of a node that reads a value of shape x first and computes one of shape y."""
    if node.op == "global_avg_pool":
        return math.prod(x)
    if node.op == "adaptive_avg_pool":
        return x[0] * (x[1] + y[1]) * (x[2] + y[2])
    window: Shape = node.attributes.get("kernel", (1,)) if node.weight is None else node.weight.shape[1:]
    if node.op == "lrn":
        window = (min(node.attributes["size"], 2 * x[0]),)
    return math.prod(y) * math.prod(window)


def _padded(node: Node, shapes: dict[str, Shape]) -> int:
    """Floats of the padded copy of its operand that an interpreter may make for a convolution or a pool."""
    if "padding" not in node.attributes:
        return 0
    channels, height, width = shapes[node.inputs[0]]
    top, left, bottom, right = node.attributes["padding"] * (2 if node.op == "conv" else 1)
    return channels * (height + top + bottom) * (width + left + right) if any(node.attributes["padding"]) else 0
