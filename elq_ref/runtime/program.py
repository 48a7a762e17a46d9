"""A network as one program of C: its steps, packed for the kernels that run them, and the plan of its memory.

Graph or IntegerNetwork -> fusing.Step -> Prepared, whose values lie where arena.plan says -> _infer.Program
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from . import arena
from .codes import BITS, pack_codes, to_rows, unpack_rows
from .fusing import Shape, Step, float_steps, int8_steps
from .integer import HIGH, Requantize
from .kernels import _infer, geometry
from .packed import PackedNetwork

Place = tuple[str, int]
BLOCK_ROWS = 64  # rows of codes that are unpacked at a time to be put in another order


@dataclass(frozen=True, eq=False)
class Prepared:
    """One step as _infer.Program takes it: a packed `layer`, or `rows`, the name of a function of infer/rows.h, with
    its numbers. size (H, W, C) of its operand, shape (P, Q, O) of its value.
    """

    name: str
    op: str
    reads: tuple[str, ...]
    size: Shape
    shape: Shape
    source: str = ""  # the node of the graph
    macs: int = 0
    layer: _infer.Layer | None = None
    rows: str = ""
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    before: tuple[int, int, int] = (0, 0, 0)  # channels, rows, columns
    low: float = -math.inf
    scale: np.ndarray | None = None
    bias: np.ndarray | None = None
    table: np.ndarray | None = None
    weights: np.ndarray | None = None
    requantize: tuple | None = None  # b, q, s, lo, hi, l
    add: tuple[int, int, int, int, int] | None = None  # q_a, q_b, s, lo, hi
    raw: bool = False
    x: Place | None = None
    residual: Place | None = None
    y: Place | None = None

    @property
    def runs(self) -> str:
        """What runs it, for tables: a kernel's name, or that of a plain loop."""
        return self.layer.name if self.layer is not None else f"elq_rows_{self.rows}"


class Program:
    """A network compiled for one kind of activations. table (C, 256): what a uint8 of each channel becomes.

    steps: the conversion of the input, then the graph's, as they run. layer_bytes: of the packed weights by node.
    arena_bytes: of all activations of one picture.
    """

    def __init__(self, network: PackedNetwork, activations: str, table: np.ndarray) -> None:
        graph, shapes = network.graph, network.shapes
        self._classes, self._table = len(network.metadata.classes), table
        self._constant, self._bias, self._relu = None, None, False
        if activations == "float32":
            steps = [_prepare_float(step, shapes) for step in float_steps(graph, shapes)]
            self._act, self._width, self._dtype = "f32", 4, np.dtype(np.float32)
        else:
            fused = int8_steps(network.int8, shapes)
            steps = [_prepare_int8(step, shapes, step.name == graph.output) for step in fused]
            self._act, self._width, self._dtype = "i8", 1, np.dtype(np.int8)
            if steps[-1].raw:
                self._dtype = np.dtype(np.int32)
                node = fused[-1].node
                self._relu = node.lo == 0
                if node.requantize.constant.any():
                    self._constant, self._bias = node.requantize.constant, node.requantize.b
        shape = _nhwc(shapes[graph.input])
        pictures = Prepared(graph.input, "input", (), shape, shape, rows=f"input_u8_{self._act}", table=table)
        self.steps = [pictures, *steps]
        self.layer_bytes = {step.source: step.layer.packed.nbytes for step in steps if step.layer is not None}
        self._from_u8 = self._compile(graph.output, 1)
        self.steps[0] = replace(pictures, rows=f"input_{self._act}")
        self._from_same = self._compile(graph.output, self._width)

    def _compile(self, output: str, input_width: int) -> _infer.Program:
        places, self.arena_bytes = _places(self.steps, output, self._width)
        placed = []
        for step in self.steps:
            reads = [places[name] for name in step.reads] or [("input", 0)]
            x, residual = (*reads, None)[:2]
            placed.append(replace(step, x=x, residual=residual, y=places[step.name]))
        input_bytes = math.prod(self.steps[0].shape) * input_width
        return _infer.Program(placed, self.arena_bytes, input_bytes, self._classes * self._dtype.itemsize)

    def run(self, x: np.ndarray, seconds: np.ndarray | None = None) -> np.ndarray:
        """float32 (N, classes) of x float32 or uint8 (N, C, H, W), contiguous; or the raw int32 of x int8 or uint8.

        seconds: float64, one a step, to which its time is added.
        """
        y = np.empty((len(x), self._classes), self._dtype)
        (self._from_u8 if x.dtype == np.uint8 else self._from_same).run(x, y, seconds)
        if self._act == "f32":
            return y
        if self._constant is not None:
            y = np.where(self._constant, self._bias, y)
        if self._relu:
            y = np.maximum(y, 0)
        return y.astype(np.int32, copy=False)

    def memory(self, pictures: int) -> int:
        """Bytes that a call with so many pictures works in."""
        return self._from_u8.memory(pictures)


def _nhwc(shape: Shape) -> Shape:
    """(C, H, W) or (C) as (H, W, C)."""
    channels, height, width = shape if len(shape) == 3 else (*shape, 1, 1)
    return height, width, channels


def _places(steps: list[Prepared], output: str, width: int) -> tuple[dict[str, Place], int]:
    """Where every value lies, and the bytes of the arena of one picture."""
    last = {name: position for position, step in enumerate(steps) for name in step.reads}
    values = []
    for position, step in enumerate(steps):
        if step.name == output:
            continue
        over = None
        if step.layer is None and step.rows.rsplit("_", 1)[0] in ("relu", "add", "scale_shift"):
            candidates = step.reads
        else:  # a layer may write over its residual, never over what it reads otherwise
            candidates = tuple(name for name in step.reads[1:] if name != step.reads[0])
        over = next((name for name in candidates if last[name] == position), None)
        size = math.prod(step.shape) * width
        values.append(arena.Value(step.name, size, position, last.get(step.name, position), over))
    offsets, size = arena.plan(values)
    return {name: ("arena", offset) for name, offset in offsets.items()} | {output: ("output", 0)}, size


def _rows(step: Step) -> np.ndarray:
    """The weights of a conv or linear as rows for its kernel; of one behind a flatten in the order (H, W, C)."""
    weight, flattened = step.node.weight, step.flattened
    if weight.levels not in BITS:
        table = to_rows(weight.data)
        return np.ascontiguousarray(table if flattened is None else _hwc(table, flattened))
    if flattened is None or math.prod(flattened[1:]) == 1:
        return weight.data
    blocks = np.split(weight.data, range(BLOCK_ROWS, len(weight.data), BLOCK_ROWS))
    length = math.prod(flattened)
    return np.concatenate(
        [pack_codes(_hwc(unpack_rows(b, weight.levels, length), flattened), weight.levels) for b in blocks]
    )


def _hwc(rows: np.ndarray, shape: Shape) -> np.ndarray:
    """Columns (C, H, W) put into the order (H, W, C)."""
    return rows.reshape(-1, *shape).transpose(0, 2, 3, 1).reshape(len(rows), -1)


def _layer(step: Step, activations: str, shapes: Mapping[str, Shape], tail: tuple) -> Prepared:
    """A conv or linear, packed."""
    node = step.node
    size, shape = _nhwc(shapes[step.inputs[0]]), _nhwc(shapes[step.name])
    if node.op == "linear":
        size = (1, 1, math.prod(size))
    weights = node.weight.levels if node.weight.levels in BITS else "full"
    layer = _infer.Layer(activations, weights, _rows(step), size, *geometry(node), tail)
    macs = math.prod(shape) * math.prod(node.weight.shape[1:])
    source = getattr(node, "source", node.name)
    relu = step.relu or getattr(step.add or node, "lo", None) == 0
    op = " ".join([node.op] + ["add"] * (step.add is not None) + ["relu"] * relu)
    return Prepared(step.name, op, step.reads, size, shape, source, macs, layer)


def _plain(step: Step, act: str, shapes: Mapping[str, Shape]) -> Prepared:
    """Everything else, as far as float and int8 activations have it in common."""
    node, a = step.node, step.node.attributes
    op, size, shape = node.op, _nhwc(shapes[step.inputs[0]]), _nhwc(shapes[step.name])
    prepared = Prepared(step.name, op, step.reads, size, shape, getattr(node, "source", node.name))
    if op in ("max_pool", "avg_pool"):
        return replace(prepared, rows=f"{op}_{act}", kernel=a["kernel"], stride=a["stride"])
    if op == "global_avg_pool":
        return replace(prepared, rows=f"avg_pool_{act}", kernel=size[:2])
    if op == "subsample":
        return replace(prepared, rows=f"subsample_{act}", stride=(a["step"], a["step"]))
    if op == "pad":
        return replace(prepared, rows=f"pad_{act}", before=a["before"])
    return replace(prepared, rows=f"{op}_{act}")


def _prepare_float(step: Step, shapes: Mapping[str, Shape]) -> Prepared:
    node, low = step.node, 0.0 if step.relu else -math.inf
    if node.weight is not None:
        factor = node.scale if node.weight.alpha is None else node.weight.alpha * node.scale
        return _layer(step, "float32", shapes, (factor, node.bias, low))
    return replace(_plain(step, "f32", shapes), low=low, scale=node.scale, bias=node.bias)


def _prepare_int8(step: Step, shapes: Mapping[str, Shape], is_output: bool) -> Prepared:
    node = step.node
    add = _add(step) if step.add else None
    raw = is_output and node.requantize is not None and step.add is None
    tail = None if node.requantize is None else _tail(node.requantize, node.lo)
    if node.op in ("conv", "linear"):
        return replace(_layer(step, "int8 sums" if raw else "int8", shapes, (*tail, add)), raw=raw)
    if node.op == "add":
        add = (node.add.q1, node.add.q2, node.add.s, node.lo, HIGH)
    weights = None if node.weight is None else node.weight.data
    return replace(_plain(step, "i8", shapes), weights=weights, requantize=tail, add=add, raw=raw)


def _tail(r: Requantize, lo: int) -> tuple:
    """b, q, s, lo, hi, l of infer/kernels.h, where a constant channel is lo = hi."""
    value = r.b.clip(-128, HIGH)
    low, high = np.where(r.constant, value, lo).astype(np.int8), np.where(r.constant, value, HIGH).astype(np.int8)
    return r.b, r.q, r.s, low, high, r.l


def _add(step: Step) -> tuple[int, int, int, int, int]:
    """q of the layer's own value, q of the residual, s, lo, hi of the addition that a layer's tail does."""
    add = step.add.add
    own, other = (add.q1, add.q2) if step.add.inputs[1] == step.residual else (add.q2, add.q1)
    return own, other, add.s, step.add.lo, HIGH

