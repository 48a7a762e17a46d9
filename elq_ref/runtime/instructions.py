"""What runs one fused node in C: the kernel of a packed layer, or a plain function, with all its numbers.

fusing.FusedNode -> Instruction; c_backend gives its values their places in memory, _infer.Program runs it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..graph.codes import BITS, pack_codes, to_rows, unpack_rows
from ..graph.nodes import Node, Weight, required
from ..graph.shapes import Shape
from .factors import multiplied
from .fusing import FusedNode
from .integer import IntegerNode
from .integer_constants import HIGH, Requantize
from .integer_weights import IntegerWeight
from .native import Pair, _infer, geometry

if TYPE_CHECKING:
    from .._infer import PackedLayer

Place = tuple[str, int]  # "arena", "input" or "output", and the offset there
BLOCK_ROWS = 64  # rows of codes that are unpacked at a time to be put in another order
ELEMENTWISE = ("relu", "add", "scale_shift")  # each element is read before the one in its place is written


class FloatTail(NamedTuple):
    """What becomes of float sums: max(scale * sum + bias, low). scale, bias float32 (O)."""

    scale: np.ndarray
    bias: np.ndarray
    low: float


class Addition(NamedTuple):
    """clamp((x q + residual q_residual + 2^(s - 1)) >> s, lo, hi) of two int8 values."""

    q: int
    q_residual: int
    s: int
    lo: int
    hi: int


class Int8Tail(NamedTuple):
    """What becomes of int32 sums (`integer.Requantize`), each channel with its own clamp: lo = hi where it is constant.

    b, q int32, s uint8, lo, hi int8, each (O). add: the addition of a residual behind a layer.
    """

    b: np.ndarray
    q: np.ndarray
    s: np.ndarray
    lo: np.ndarray
    hi: np.ndarray
    l: int
    add: Addition | None = None


@dataclass(frozen=True, eq=False)
class Instruction:
    """One instruction of an _infer.Program: a packed `layer`, or `rows`, the name of a function of infer/rows.h, with
    its numbers. size (H, W, C) of its operand, shape (P, Q, O) of its value.

    may_overwrite: those of `reads` in whose place its value may be written, if nobody reads them afterwards.
    """

    name: str
    op: str
    reads: tuple[str, ...]
    size: Shape
    shape: Shape
    may_overwrite: tuple[str, ...] = ()
    source: str = ""  # the node of the graph
    macs: int = 0
    layer: PackedLayer | None = None
    rows: str = ""
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    before: tuple[int, int, int] = (0, 0, 0)  # channels, rows, columns
    low: float = -math.inf
    scale: np.ndarray | None = None
    bias: np.ndarray | None = None
    table: np.ndarray | None = None
    weights: np.ndarray | None = None
    requantize: Int8Tail | None = None
    add: Addition | None = None
    raw: bool = False  # its value are the int32 sums
    x: Place | None = None
    residual: Place | None = None
    y: Place | None = None

    @property
    def runs(self) -> str:
        """What runs it, for tables: a kernel's name, or that of a plain loop."""
        return self.layer.name if self.layer is not None else f"elq_rows_{self.rows}"


def read_input(name: str, shape: Shape, rows: str, table: np.ndarray) -> Instruction:
    """The instruction that turns pictures (N, C, H, W) into the value `name` of `shape` (C, H, W)."""
    size = nhwc(shape)
    return Instruction(name, "input", (), size, size, rows=rows, table=table)


def float_instruction(fused: FusedNode[Node], shapes: Mapping[str, Shape]) -> Instruction:
    """The instruction for float32 activations."""
    node, low = fused.node, 0.0 if fused.relu else -math.inf
    if node.weight is not None:
        weight, factor = multiplied(node)
        fused = replace(fused, node=replace(node, weight=weight))
        return _layer(fused, "float32", shapes, FloatTail(factor, required(node.bias), low))
    plain = replace(_plain(fused, "f32", shapes), low=low)
    return plain if node.scale is None else replace(plain, scale=required(node.scale), bias=required(node.bias))


def int8_instruction(fused: FusedNode[IntegerNode], shapes: Mapping[str, Shape], is_output: bool) -> Instruction:
    """The instruction for int8 activations; of the output its sums, where it has any."""
    node = fused.node
    raw = is_output and node.requantize is not None and fused.add is None
    tail = None if node.requantize is None else _int8_tail(node.requantize, node.lo)
    if node.op in ("conv", "linear"):
        layer_tail = required(tail)._replace(add=_addition(fused))
        return replace(_layer(fused, "int8 sums" if raw else "int8", shapes, layer_tail), raw=raw)
    add = None if node.add is None else Addition(node.add.q1, node.add.q2, node.add.s, node.lo, HIGH)
    weights = None if node.weight is None else node.weight.data
    return replace(_plain(fused, "i8", shapes), weights=weights, requantize=tail, add=add, raw=raw)


def nhwc(shape: Shape) -> Shape:
    """(C, H, W) or (C) as (H, W, C)."""
    channels, height, width = shape if len(shape) == 3 else (*shape, 1, 1)
    return height, width, channels


def _layer(
    fused: FusedNode[Any], activations: str, shapes: Mapping[str, Shape], tail: FloatTail | Int8Tail
) -> Instruction:
    """A conv or linear, packed."""
    node = fused.node
    size, shape = nhwc(shapes[fused.inputs[0]]), nhwc(shapes[fused.name])
    if node.op == "linear":
        size = (1, 1, math.prod(size))
    weights = node.weight.levels if node.weight.levels in BITS else "full"
    layer = _infer.PackedLayer(activations, weights, _rows(fused), size, *geometry(node), tail)
    macs = math.prod(shape) * math.prod(node.weight.shape[1:])
    relu = fused.relu or getattr(fused.add or node, "lo", None) == 0
    op = " ".join([node.op] + ["add"] * (fused.add is not None) + ["relu"] * relu)
    over = tuple(name for name in fused.reads[1:] if name != fused.reads[0])  # never what it convolves
    return Instruction(fused.name, op, fused.reads, size, shape, over, _source(node), macs, layer)


def _plain(fused: FusedNode[Any], act: str, shapes: Mapping[str, Shape]) -> Instruction:
    """Everything else, as far as float and int8 activations have it in common."""
    node, a = fused.node, fused.node.attributes
    op, size, shape = node.op, nhwc(shapes[fused.inputs[0]]), nhwc(shapes[fused.name])
    over = fused.reads if op in ELEMENTWISE else ()
    plain = Instruction(fused.name, op, fused.reads, size, shape, over, _source(node), rows=f"{op}_{act}")
    if op in ("max_pool", "avg_pool"):
        return replace(plain, kernel=a["kernel"], stride=a["stride"])
    if op == "global_avg_pool":
        return replace(plain, rows=f"avg_pool_{act}", kernel=(size[0], size[1]))
    if op == "subsample":
        return replace(plain, stride=(a["step"], a["step"]))
    if op == "pad":
        return replace(plain, before=a["before"])
    return plain


def _source(node: Node | IntegerNode) -> str:
    """The name of the node of the graph."""
    return node.source if isinstance(node, IntegerNode) else node.name


def _rows(fused: FusedNode[Any]) -> np.ndarray:
    """The weights of a conv or linear as rows for its kernel; of one behind a flatten in the order (H, W, C)."""
    weight: Weight | IntegerWeight = fused.node.weight
    levels, data, flattened = weight.levels, weight.data, fused.flattened
    in_order = flattened is None or math.prod(flattened[1:]) == 1  # one pixel, or a value of one axis
    if levels not in BITS:
        table = to_rows(data)
        return np.ascontiguousarray(table if in_order else _hwc(table, required(flattened)))
    if in_order:
        return data
    flattened = required(flattened)
    blocks = np.split(data, range(BLOCK_ROWS, len(data), BLOCK_ROWS))
    length = math.prod(flattened)
    return np.concatenate([pack_codes(_hwc(unpack_rows(b, levels, length), flattened), levels) for b in blocks])


def _hwc(rows: np.ndarray, shape: Shape) -> np.ndarray:
    """Columns (C, H, W) put into the order (H, W, C)."""
    columns: np.ndarray = rows.reshape(-1, *shape).transpose(0, 2, 3, 1)
    return columns.reshape(len(rows), -1)


def _int8_tail(r: Requantize, lo: int) -> Int8Tail:
    value = r.b.clip(-128, HIGH)
    low, high = np.where(r.constant, value, lo).astype(np.int8), np.where(r.constant, value, HIGH).astype(np.int8)
    return Int8Tail(r.b, r.q, r.s, low, high, r.l)


def _addition(fused: FusedNode[IntegerNode]) -> Addition | None:
    """The addition that a layer's tail does: of the layer's own value and the residual."""
    if fused.add is None:
        return None
    add = required(fused.add.add)
    own, other = (add.q1, add.q2) if fused.add.inputs[1] == fused.residual else (add.q2, add.q1)
    return Addition(own, other, add.s, fused.add.lo, HIGH)
