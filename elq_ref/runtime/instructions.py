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
from ..graph.functions import FUNCTIONS
from ..graph.nodes import Node, Weight, required
from ..graph.shapes import Shape
from ..graph.windows import AVERAGES, counts
from .factors import multiplied
from .fusing import FusedNode
from .integer import IntegerNode
from .integer_constants import HIGH, LOW, Requantize
from .integer_weights import IntegerWeight
from .native import Pair, _infer, geometry

if TYPE_CHECKING:
    from .._infer import PackedLayer

Place = tuple[str, int]  # "arena", "input" or "output", and the offset there
BLOCK_ROWS = 64  # rows of codes that are unpacked at a time to be put in another order
ELEMENTWISE = (*FUNCTIONS, "add", "mul", "scale_shift")  # each element is read before the one in its place is written
IDENTITY = np.arange(LOW, HIGH + 1)  # a table that changes nothing
# What a function's row takes beside x: its attributes.
NUMBERS = {"clip": ("low", "high"), "leaky_relu": ("slope",), "hard_sigmoid": ("alpha", "beta"), "elu": ("alpha",)}


class FloatTail(NamedTuple):
    """What becomes of float sums: min(max(scale * sum + bias, low), high). scale, bias float32 (O)."""

    scale: np.ndarray
    bias: np.ndarray
    low: float
    high: float = math.inf


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
    high: float = math.inf
    numbers: np.ndarray | None = None
    which: np.ndarray | None = None
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
        return self.layer.name if self.layer is not None else f"elq_rows_{_infer.rows_name(self.rows)}"


def read_input(name: str, shape: Shape, rows: str, table: np.ndarray) -> Instruction:
    """The instruction that turns pictures (N, C, H, W) into the value `name` of `shape` (C, H, W)."""
    size = nhwc(shape)
    return Instruction(name, "input", (), size, size, rows=rows, table=table)


def float_instruction(fused: FusedNode[Node], shapes: Mapping[str, Shape]) -> Instruction:
    """The instruction for float32 activations."""
    node = fused.node
    if node.weight is not None:
        weight, factor = multiplied(node)
        fused = replace(fused, node=replace(node, weight=weight))
        return _layer(fused, "float32", shapes, FloatTail(factor, required(node.bias), fused.low, fused.high))
    plain = replace(_plain(fused, "f32", shapes), low=fused.low, high=fused.high, numbers=_numbers(fused, shapes))
    return plain if node.scale is None else replace(plain, scale=required(node.scale), bias=required(node.bias))


def int8_instruction(fused: FusedNode[IntegerNode], shapes: Mapping[str, Shape], is_output: bool) -> Instruction:
    """The instruction for int8 activations; of the output its sums, where it has any."""
    node = fused.node
    raw = is_output and node.requantize is not None and fused.add is None
    tail = None if node.requantize is None else _int8_tail(node.requantize, node.lo, node.hi)
    if node.op in ("conv", "linear"):
        layer_tail = required(tail)._replace(add=_addition(fused))
        return replace(_layer(fused, "int8 sums" if raw else "int8", shapes, layer_tail), raw=raw)
    plain = replace(_plain(fused, "i8", shapes), requantize=tail, raw=raw)
    if node.tables is not None:
        return _through_table(plain, node.tables, fused.part)
    if node.which is not None:
        plain = replace(plain, which=np.ascontiguousarray(node.which, np.int32))
    if node.add is not None:
        own, other = (node.add.q1, node.add.q2) if plain.reads == node.inputs else (node.add.q2, node.add.q1)
        plain = replace(plain, add=Addition(own, other, node.add.s, node.lo, node.hi))
    return plain if node.weight is None else replace(plain, weights=node.weight.data)


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
    kernel, stride, padding, dilation, groups = geometry(node)
    around = tuple(own + more for own, more in zip(padding * 2, fused.border, strict=True))
    layer = _infer.PackedLayer(activations, weights, _rows(fused), size, kernel, stride, around, dilation, groups, tail)
    macs = math.prod(shape) * math.prod(node.weight.shape[1:])
    op = " ".join([node.op] + ["add"] * (fused.add is not None) + _clamp(fused))
    over = tuple(name for name in fused.reads[1:] if name != fused.reads[0])  # never what it convolves
    return Instruction(fused.name, op, fused.reads, size, shape, over, _source(node), macs, layer)


def _clamp(fused: FusedNode[Any]) -> list[str]:
    """What the clamp of a layer is called."""
    last = fused.add or fused.node
    bounded = last.hi < HIGH if isinstance(last, IntegerNode) else fused.high < math.inf
    low = last.lo if isinstance(last, IntegerNode) else fused.low
    return ["clip"] if bounded else ["relu"] if low == 0 else []


def _plain(fused: FusedNode[Any], act: str, shapes: Mapping[str, Shape]) -> Instruction:
    """Everything else, as far as float and int8 activations have it in common."""
    node, a, reads = fused.node, fused.node.attributes, fused.reads
    op, rows, shape = node.op, node.op, nhwc(shapes[fused.name])
    over = reads if op in ELEMENTWISE else ()
    if op in ("add", "mul") and shapes[reads[0]] != shapes[reads[1]]:
        reads = reads if nhwc(shapes[reads[0]]) == shape else reads[::-1]
        rows, over = f"{op}_channels", reads[:1]
    size = nhwc(shapes[reads[0]])
    plain = Instruction(fused.name, op, reads, size, shape, over, _source(node), rows=f"{rows}_{act}")
    if op in ("max_pool", "avg_pool"):
        return replace(plain, kernel=a["kernel"], stride=a["stride"], before=(0, *a["padding"][:2]))
    if op == "global_avg_pool":
        return replace(plain, rows=f"avg_pool_{act}", kernel=(size[0], size[1]))
    if op == "adaptive_avg_pool":  # a window is at most so large
        return replace(plain, kernel=(-(-size[0] // shape[0]) + 1, -(-size[1] // shape[1]) + 1))
    if op in ("shuffle", "lrn"):
        return replace(plain, kernel=(a["groups"], 1) if op == "shuffle" else (1, a["size"]))
    if op == "subsample":
        return replace(plain, stride=(a["step"], a["step"]))
    if op == "pad":
        return replace(plain, before=a["before"])
    first = a["first"] if op == "slice" else fused.part[1] if fused.part else 0
    return replace(plain, before=(first, 0, 0))


def _numbers(fused: FusedNode[Node], shapes: Mapping[str, Shape]) -> np.ndarray | None:
    """What a row function takes as `numbers` beside its operands: infer/rows.h."""
    node, a = fused.node, fused.node.attributes
    if node.op in AVERAGES:
        divided = counts(node, shapes[node.inputs[0]]).astype(np.float32)
        whole = "kernel" in a and bool((divided == math.prod(a["kernel"])).all())
        return None if whole else np.float32(1) / divided
    if node.op == "lrn":
        return np.array([a["alpha"] / a["size"], a["beta"], a["bias"]], np.float32)
    if node.op == "prelu":
        return np.ascontiguousarray(required(node.slope))
    return np.array([a[name] for name in NUMBERS[node.op]], np.float32) if node.op in NUMBERS else None


def _through_table(plain: Instruction, tables: np.ndarray, part: tuple[int, int] | None) -> Instruction:
    """A function of one int8 number, or an operand of a concat."""
    if part is None:
        rows = "table_i8" if len(tables) == 1 else "table_channels_i8"
        return replace(plain, rows=rows, table=np.ascontiguousarray(tables))
    table = tables[part[0]]
    return plain if (table == IDENTITY).all() else replace(plain, table=np.ascontiguousarray(table))


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


def _int8_tail(r: Requantize, lo: int, hi: int) -> Int8Tail:
    value = r.b.clip(LOW, HIGH)
    low, high = np.where(r.constant, value, lo).astype(np.int8), np.where(r.constant, value, hi).astype(np.int8)
    return Int8Tail(r.b, r.q, r.s, low, high, r.l)


def _addition(fused: FusedNode[IntegerNode]) -> Addition | None:
    """The addition that a layer's tail does: of the layer's own value and the residual."""
    if fused.add is None:
        return None
    add = required(fused.add.add)
    own, other = (add.q1, add.q2) if fused.add.inputs[1] == fused.residual else (add.q2, add.q1)
    return Addition(own, other, add.s, fused.add.lo, fused.add.hi)
