"""What each op of a graph demands, and the shape of every value: computed before any memory is taken.

| op              | reads | attributes                              | y |
|---|---|---|---|
| conv            | x     | stride, padding, dilation (rows, columns), groups | scale_o sum(W_hat x) + bias_o |
| linear          | x     |                                         | scale_o sum(W_hat x) + bias_o |
| scale_shift     | x     |                                         | scale_c x + bias_c |
| relu            | x     |                                         | max(x, 0) |
| add             | a, b  |                                         | a + b |
| max_pool        | x     | kernel, stride (rows, columns)          | maximum of whole windows |
| avg_pool        | x     | kernel, stride (rows, columns)          | mean of whole windows |
| global_avg_pool | x     |                                         | mean over rows and columns: (C) |
| subsample       | x     | step                                    | x[:, ::step, ::step] |
| pad             | x     | before, after (channels, rows, columns) | zeros around x |
| flatten         | x     |                                         | (C, H, W) -> (C H W), in this order |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .nodes import Graph, Node, required

MAX_NODES = 4096
MAX_NAME = 200
MAX_LENGTH = 1 << 24  # of one axis
MAX_STEP = 1 << 15  # of a kernel, a stride, a padding, a dilation
MAX_VALUES = 1 << 28  # floats that all activations of one picture may take together: 1 GiB

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Op:
    """What an op demands: operands, attributes {name: (how many integers, least, most)}, which arrays, and
    its shape.
    """

    shape: Callable[[Node, list[Shape]], Shape]
    operands: int = 1
    attributes: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    weighted: bool = False
    scaled: bool = False


def _rank(shape: Shape, wanted: int) -> None:
    if len(shape) != wanted:
        axes = "(C, H, W)" if wanted == 3 else "(C)"
        raise ValueError(f"reads a value of shape {shape}, wanted {axes}")


def _windows(size: Shape, kernel: Shape, stride: Shape, padding: Shape = (0, 0), dilation: Shape = (1, 1)) -> Shape:
    """floor((n + 2 padding - dilation (kernel - 1) - 1) / stride) + 1 for rows and columns."""
    out = tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
    )
    if min(out) < 1:
        raise ValueError(f"a window of {kernel}, dilation {dilation}, does not fit {size} padded by {padding}")
    return out


def _conv(node: Node, operands: list[Shape]) -> Shape:
    (x,), a, weight = operands, node.attributes, required(node.weight).shape
    _rank(x, 3)
    if len(weight) != 4 or x[0] != weight[1] * a["groups"] or weight[0] % a["groups"]:
        raise ValueError(f"weight {weight} in {a['groups']} group(s) does not fit a value of shape {x}")
    return weight[0], *_windows(x[1:], weight[2:], a["stride"], a["padding"], a["dilation"])


def _linear(node: Node, operands: list[Shape]) -> Shape:
    (x,), weight = operands, required(node.weight).shape
    _rank(x, 1)
    if len(weight) != 2 or x[0] != weight[1]:
        raise ValueError(f"weight {weight} does not fit a value of shape {x}")
    return weight[:1]


def _scale_shift(node: Node, operands: list[Shape]) -> Shape:
    (x,), scale = operands, required(node.scale).shape
    if scale != x[:1]:
        raise ValueError(f"scale of shape {scale} does not fit a value of shape {x}")
    return x


def _add(node: Node, operands: list[Shape]) -> Shape:
    a, b = operands
    if a != b:
        raise ValueError(f"adds values of shapes {a} and {b}")
    return a


def _pool(node: Node, operands: list[Shape]) -> Shape:
    (x,) = operands
    _rank(x, 3)
    return x[0], *_windows(x[1:], node.attributes["kernel"], node.attributes["stride"])


def _global(node: Node, operands: list[Shape]) -> Shape:
    _rank(operands[0], 3)
    return operands[0][:1]


def _subsample(node: Node, operands: list[Shape]) -> Shape:
    (x,), step = operands, node.attributes["step"]
    _rank(x, 3)
    return x[0], -(-x[1] // step), -(-x[2] // step)


def _pad(node: Node, operands: list[Shape]) -> Shape:
    _rank(operands[0], 3)
    return tuple(map(sum, zip(node.attributes["before"], operands[0], node.attributes["after"], strict=True)))


_STEP, _PADS = (2, 1, MAX_STEP), (2, 0, MAX_STEP)
OPS: dict[str, Op] = {
    "conv": Op(
        _conv,
        attributes={"stride": _STEP, "padding": _PADS, "dilation": _STEP, "groups": (1, 1, MAX_LENGTH)},
        weighted=True,
        scaled=True,
    ),
    "linear": Op(_linear, weighted=True, scaled=True),
    "scale_shift": Op(_scale_shift, scaled=True),
    "relu": Op(lambda node, operands: operands[0]),
    "add": Op(_add, operands=2),
    "max_pool": Op(_pool, attributes={"kernel": _STEP, "stride": _STEP}),
    "avg_pool": Op(_pool, attributes={"kernel": _STEP, "stride": _STEP}),
    "global_avg_pool": Op(_global),
    "subsample": Op(_subsample, attributes={"step": (1, 1, MAX_STEP)}),
    "pad": Op(_pad, attributes={"before": (3, 0, MAX_STEP), "after": (3, 0, MAX_STEP)}),
    "flatten": Op(lambda node, operands: (math.prod(operands[0]),)),
}


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


def _check_node(node: Node, known: dict[str, Shape]) -> None:
    """Everything about a node that does not depend on the shapes of its operands."""
    if node.op not in OPS:
        raise ValueError(f"there is no op {str(node.op)[:40]!r}")
    op = OPS[node.op]
    if len(node.inputs) != op.operands:
        raise ValueError(f"reads {len(node.inputs)} value(s), {node.op} wants {op.operands}")
    for name in node.inputs:
        if name not in known:
            raise ValueError(f"reads {str(name)[:40]!r}, which no node before it computes")
    if set(node.attributes) != set(op.attributes):
        raise ValueError(f"has attributes {sorted(node.attributes)}, {node.op} wants {sorted(op.attributes)}")
    for name, (count, least, most) in op.attributes.items():
        value = node.attributes[name]
        values = (value,) if count == 1 else value
        if not isinstance(values, tuple) or len(values) != count or not all(type(v) is int for v in values):
            raise ValueError(f"{name} is {str(value)[:40]}, wanted {count} integer(s)")
        if not all(least <= v <= most for v in values):
            raise ValueError(f"{name} is {str(value)[:40]}, wanted {least} to {most}")
    if op.weighted != (node.weight is not None) or op.scaled != (node.scale is not None and node.bias is not None):
        raise ValueError(f"{node.op} {'wants' if op.scaled else 'has no'} weight, scale and bias")
    if node.weight is not None:
        check_weight_shape(node.op, node.weight.shape)
    elif node.scale is not None and node.bias is not None and node.scale.shape != node.bias.shape:
        raise ValueError(f"scale has shape {node.scale.shape}, bias {node.bias.shape}")


def infer_shapes(graph: Graph) -> dict[str, Shape]:
    """The shape of every value by name, in order; the whole graph is checked on the way.

    Raises ValueError that names the node for an unknown op or attribute, a value out of range, a reference
    to what is not computed before, a name used twice, shapes that do not fit, or activations beyond
    MAX_VALUES.
    """
    check_name(graph.input)
    check_name(graph.output)
    if len(graph.input_shape) != 3 or not all(type(n) is int and 1 <= n <= MAX_LENGTH for n in graph.input_shape):
        raise ValueError(f"input shape is {graph.input_shape}, wanted (C, H, W) from 1 to {MAX_LENGTH}")
    if not 1 <= len(graph.nodes) <= MAX_NODES:
        raise ValueError(f"the graph has {len(graph.nodes)} nodes, wanted 1 to {MAX_NODES}")
    shapes: dict[str, Shape] = {graph.input: tuple(graph.input_shape)}
    total = math.prod(graph.input_shape)
    for node in graph.nodes:
        check_name(node.name)
        if node.name in shapes:
            raise ValueError(f"two values are named {node.name!r}")
        try:
            _check_node(node, shapes)
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


def operations(graph: Graph, shapes: Mapping[str, Shape]) -> dict[str, int]:
    """What each node does for a picture: multiply-adds of a conv or linear, elements of a pool's windows, else elements
    of its value; `shapes` of all values.
    """
    work = {}
    for node in graph.nodes:
        each = math.prod(node.attributes.get("kernel", (1,)) if node.weight is None else node.weight.shape[1:])
        work[node.name] = math.prod(shapes[node.inputs[0] if node.op == "global_avg_pool" else node.name]) * each
    return work


def _padded(node: Node, shapes: dict[str, Shape]) -> int:
    """Floats of the padded copy of its operand that an interpreter may make for a convolution."""
    if node.op != "conv":
        return 0
    channels, height, width = shapes[node.inputs[0]]
    rows, columns = node.attributes["padding"]
    return channels * (height + 2 * rows) * (width + 2 * columns) if rows or columns else 0
