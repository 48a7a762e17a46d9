"""The layers that exported C runs: those of an IntegerNetwork that its output needs, with the order of memory H W C.

A value (C, H, W) lies in memory H W C. `flatten` costs nothing where all its readers are `linear`: their columns are
permuted instead, from C H W to H W C.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..runtime.integer import IntegerNetwork, IntegerNode
from .geometry import GEOMETRY

LARGEST = (1 << 16) - 1  # of every size and number of terms: the C has 16 bits for it
# May write over an operand that is no smaller than their value.
IN_PLACE = (
    *("relu", "add", "scale_shift", "max_pool", "avg_pool", "subsample"),
    *("through_table", "mul", "add_channels", "slice", "max_pool_border", "avg_pool_border", "adaptive_avg_pool"),
)
INPUT = "input"
RAW = "raw"  # not an op of the graph: int8 to int32, where the output is no sum


@dataclass(frozen=True, eq=False)
class Layer:
    """One computation in C: value `index` = op(values `operands`), of sizes h w c -> p q o.

    op: of the graph, but `linear` is a conv of 1 x 1 on 1 x 1, `global_avg_pool` an avg_pool, a function of one number
    through_table; what has a border, or an operand of one number a channel, is another op than without; or INPUT, RAW.
    rows: int8 (O, K) in the order O KH KW I, K = k; levels: "ternary", "binary" or "int8". b, q, s, l: requantization,
    (O) or (1), or of each of `counts`. counted: of an average with a border, the border that counts. lo, hi: clamp.
    q1, q2, s: of an add. table: int8 (C, 256) of the input, (C or 1, 256) of a function, one an operand of a concat.
    raw: writes int32 for the caller. kind: the op in the graph, for people. macs: multiply-adds.
    apart: a window reads pixels whose place in the value comes before its own, so nothing is written over the operand.
    widths: elements of each operand of an add or mul, channels of those of a concat.
    """

    index: int
    name: str
    op: str
    kind: str
    operands: tuple[int, ...]
    h: int
    w: int
    c: int
    p: int
    q: int
    o: int
    kh: int = 1
    kw: int = 1
    sy: int = 1
    sx: int = 1
    dy: int = 1
    dx: int = 1
    top: int = 0
    left: int = 0
    groups: int = 1
    front: int = 0  # channels of zeros before the first of a pad; before what a slice takes
    lo: int = -128
    hi: int = 127
    l: int = 0
    rows: np.ndarray | None = None
    levels: str = ""
    b: np.ndarray | None = None
    q31: np.ndarray | None = None
    s: np.ndarray | None = None
    add: tuple[int, int, int] | None = None
    table: np.ndarray | None = None
    counted: tuple[int, int, int, int] = (0, 0, 0, 0)
    counts: np.ndarray | None = None
    widths: tuple[int, ...] = ()
    apart: bool = False
    raw: bool = False

    @property
    def k(self) -> int:
        """Terms of one sum: weights in a row, elements of a pool's window."""
        return self.kh * self.kw * (self.c // self.groups if self.op == "conv" else 1)

    @property
    def bytes(self) -> int:
        """Bytes of the value in the arena; the caller's int32 are not there."""
        return 0 if self.raw else self.p * self.q * self.o

    @property
    def macs(self) -> int:
        """Multiply-adds of a conv or linear."""
        return self.p * self.q * self.o * self.k if self.op == "conv" else 0


def layers_of(network: IntegerNetwork) -> list[Layer]:
    """All layers, the input first, in order of computation; ValueError names one with a size beyond LARGEST, or with an
    operation that exported C has not.
    """
    nodes = _needed(network)
    free = {node.name for node in nodes if node.op == "flatten" and _costs_nothing(node, nodes, network.graph.output)}
    c, h, w = network.graph.input_shape
    made = [Layer(0, network.graph.input, INPUT, INPUT, (), h, w, c, h, w, c, table=network.table)]
    at = {network.graph.input: 0}  # the layer that computes a value
    shapes: dict[str, tuple[int, ...]] = {network.graph.input: (c, h, w)}
    flat: dict[str, tuple[int, ...]] = {}  # values that lie H W C though they are (C H W)
    for node in nodes:
        shapes[node.name] = node.shape
        if node.name in free:
            at[node.name], flat[node.name] = at[node.inputs[0]], shapes[node.inputs[0]]
            continue
        at[node.name] = len(made)
        operands = tuple(at[name] for name in node.inputs)
        last = node.name == network.graph.output
        sizes_of = [shapes[name] for name in node.inputs]
        made.append(_layer(node, len(made), operands, sizes_of, flat.get(node.inputs[0]), last))
    last_layer = made[-1]
    if last_layer.b is None:  # no sum: the caller's int32 are its int8
        sizes = {name: getattr(last_layer, name) for name in "pqo"}
        value = {"h": sizes["p"], "w": sizes["q"], "c": sizes["o"], **sizes}
        made.append(Layer(len(made), RAW, RAW, RAW, (last_layer.index,), raw=True, **value))
    for layer in made:
        _check_sizes(layer)
    return made


def _needed(network: IntegerNetwork) -> list[IntegerNode]:
    """The nodes that the output needs; nothing reads the output itself then, and it is the last."""
    wanted, found = {network.graph.output}, []
    for node in reversed(network.nodes):
        if node.name in wanted:
            wanted.update(node.inputs)
            found.append(node)
    return found[::-1]


def _costs_nothing(node: IntegerNode, nodes: list[IntegerNode], output: str) -> bool:
    """Whether a flatten needs no copy: the order is the same, or only columns of linear layers meet it."""
    readers = [other.op for other in nodes if node.name in other.inputs]
    return node.name != output and all(op == "linear" for op in readers)


def _layer(
    node: IntegerNode,
    index: int,
    operands: tuple[int, ...],
    shapes: Sequence[tuple[int, ...]],
    flat: tuple[int, ...] | None,
    last: bool,
) -> Layer:
    if node.op not in GEOMETRY:
        raise ValueError(f"layer {node.name!r}: exported C has no {node.op}")
    c, h, w = (*shapes[0], 1, 1)[:3]
    o, p, q = (*node.shape, 1, 1)[:3]
    layer = Layer(index, node.name, node.op, node.op, operands, h, w, c, p, q, o, lo=node.lo, hi=node.hi)
    layer = replace(layer, **GEOMETRY[node.op](node, shapes))
    if node.weight is not None:
        rows = node.weight.data[:, None] if node.op == "scale_shift" else node.weight.rows()
        if flat is not None and len(flat) == 3:  # columns C H W -> H W C
            rows = rows.reshape(-1, *flat).transpose(0, 2, 3, 1).reshape(len(rows), -1)
        layer = replace(layer, rows=np.ascontiguousarray(rows), levels=node.weight.levels)
    if node.requantize is not None:
        r = node.requantize
        layer = replace(layer, l=r.l, b=r.b, q31=r.q, s=r.s, raw=last)
    if node.add is not None:
        layer = replace(layer, add=(node.add.q1, node.add.q2, node.add.s))
    return _exchanged(layer) if layer.op in ("add_channels", "mul") and layer.widths[0] < layer.widths[1] else layer


def _exchanged(layer: Layer) -> Layer:
    """The same sum or product, what has one number a channel behind the other operand."""
    layer = replace(layer, h=layer.p, w=layer.q, operands=layer.operands[::-1], widths=layer.widths[::-1])
    return layer if layer.add is None else replace(layer, add=(layer.add[1], layer.add[0], layer.add[2]))


def _check_sizes(layer: Layer) -> None:
    sizes = [layer.h, layer.w, layer.c, layer.p, layer.q, layer.o, layer.kh, layer.kw, layer.sy, layer.sx]
    sizes += [layer.dy, layer.dx, layer.top, layer.left, layer.front, layer.k]
    if max(sizes) > LARGEST:
        raise ValueError(f"layer {layer.name!r} has a size of {max(sizes):,}, exported C wants at most {LARGEST:,}")
