"""The NumPy interpreter of a graph: the oracle that every kernel is compared with. Plain, not fast.

It multiplies by codes first and by alpha_o * scale_o afterwards, as the kernels do, so that both round
alike; in float64 its result is exact for all practical purposes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..graph.functions import FUNCTIONS
from ..graph.nodes import Graph, Node, required
from ..graph.windows import counts, windows
from .factors import multiplied
from .integer import IntegerNode

Array = np.ndarray


def interpret(graph: Graph, x: Array, dtype: Any = np.float32) -> Array:
    """The value `graph.output` for pictures `x` (N, C, H, W), computed in `dtype` (float32 or float64)."""
    return values(graph, x, dtype)[graph.output]


def values(graph: Graph, x: Array, dtype: Any = np.float32) -> dict[str, Array]:
    """Every value of the graph by name, each (N, C, H, W) or (N, C), for the input `x` (N, C, H, W)."""
    if x.shape[1:] != graph.input_shape:
        raise ValueError(f"the input has shape {x.shape}, wanted (N, {', '.join(map(str, graph.input_shape))})")
    known = {graph.input: np.asarray(x, dtype)}
    for node in graph.nodes:
        known[node.name] = run_node(node, *(known[name] for name in node.inputs))
    return known


def run_node(node: Node | IntegerNode, *operands: Array) -> Array:
    """The value of one node for the values that it reads, in their dtype."""
    return _OPS[node.op](node, *operands)


def _per_channel(values: Array, x: Array) -> Array:
    """(C) values that broadcast over x (N, C, ...)."""
    return values.astype(x.dtype).reshape(-1, *(1,) * (x.ndim - 2))


def _multiplicand(node: Node, dtype: Any) -> tuple[Array, Array]:
    """The numbers that x is multiplied by, and the factor (O) that the sums get: codes and alpha scale, or
    w and scale.
    """
    weight, factor = multiplied(node, dtype)
    return (weight.data if weight.alpha is None else weight.codes()).astype(dtype), factor


def _finish(node: Node, sums: Array, factor: Array) -> Array:
    y: Array = _per_channel(factor, sums) * sums + _per_channel(required(node.bias), sums)
    return y


def convolve(w: Array, attributes: Mapping[str, Any], x: Array) -> Array:
    """y[n,o,p,q] = sum over (i, j, c) of w[o,c,i,j] x[n, c, p sh + i dh - ph, q sw + j dw - pw], one tap at
    a time.
    """
    (ph, pw), (sh, sw), (dh, dw) = (attributes[key] for key in ("padding", "stride", "dilation"))
    groups = attributes["groups"]
    x = np.pad(x.transpose(0, 2, 3, 1), ((0, 0), (ph, ph), (pw, pw), (0, 0)))
    count, height, width, _ = x.shape
    outputs, inputs, kh, kw = w.shape
    rows, columns = (height - dh * (kh - 1) - 1) // sh + 1, (width - dw * (kw - 1) - 1) // sw + 1
    x = x.reshape(count, height, width, groups, inputs).transpose(3, 0, 1, 2, 4)
    w = w.reshape(groups, outputs // groups, inputs, kh, kw)
    sums = np.zeros((groups, count * rows * columns, outputs // groups), x.dtype)
    for i in range(kh):
        for j in range(kw):
            row = slice(i * dh, i * dh + sh * (rows - 1) + 1, sh)
            column = slice(j * dw, j * dw + sw * (columns - 1) + 1, sw)
            seen = x[:, :, row, column].reshape(groups, -1, inputs)
            sums += seen @ w[..., i, j].transpose(0, 2, 1)
    sums = sums.reshape(groups, count, rows, columns, outputs // groups).transpose(1, 0, 4, 2, 3)
    return sums.reshape(count, outputs, rows, columns)


def _conv(node: Node, x: Array) -> Array:
    w, factor = _multiplicand(node, x.dtype)
    return _finish(node, convolve(w, node.attributes, x), factor)


def _linear(node: Node, x: Array) -> Array:
    w, factor = _multiplicand(node, x.dtype)
    return _finish(node, x @ w.T, factor)


def _scale_shift(node: Node, x: Array) -> Array:
    return _finish(node, x, required(node.scale))


def _border(node: Node | IntegerNode, x: Array, outside: float) -> Array:
    """x (N, C, H, W) with `outside` around it, as wide as the padding of a pool."""
    top, left, bottom, right = node.attributes["padding"]
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=outside)


def _sliding(node: Node | IntegerNode, x: Array) -> Array:
    """The windows of a pool over x, its border included: (N, C, P, Q, KH, KW)."""
    sh, sw = node.attributes["stride"]
    return np.lib.stride_tricks.sliding_window_view(x, node.attributes["kernel"], axis=(2, 3))[:, :, ::sh, ::sw]


def _max_pool(node: Node | IntegerNode, x: Array) -> Array:
    least = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    largest: Array = _sliding(node, _border(node, x, least)).max((4, 5))
    return largest


def window_sums(node: Node | IntegerNode, x: Array) -> Array:
    """The sum of every window of an average over x (N, C, H, W), in its dtype: (N, C, P, Q), of a global one (N, C)."""
    if node.op == "global_avg_pool":
        sums: Array = x.sum((2, 3))
    elif node.op == "avg_pool":
        sums = _sliding(node, _border(node, x, 0)).sum((4, 5))
    else:
        rows, columns = windows(node, x.shape[1:])
        x = np.stack([x[:, :, :, w.first : w.last].sum(3) for w in columns], 3)
        sums = np.stack([x[:, :, w.first : w.last].sum(2) for w in rows], 2)
    return sums


def _average(node: Node, x: Array) -> Array:
    sums = window_sums(node, x)
    mean: Array = sums / counts(node, x.shape[1:]).astype(x.dtype).reshape(sums.shape[2:])
    return mean


def _lrn(node: Node, x: Array) -> Array:
    """x / (k + alpha / size * sum of the squares of `size` channels around it) ^ beta, k the node's bias."""
    a, most = node.attributes, x.shape[1] - 1
    before, after = min(a["size"] // 2, most), min((a["size"] - 1) // 2, most)
    padded = np.pad(np.square(x), ((0, 0), (before, after), (0, 0), (0, 0)))
    squares = np.lib.stride_tricks.sliding_window_view(padded, before + after + 1, axis=1).sum(-1)
    alpha, beta, k = (x.dtype.type(v) for v in (a["alpha"] / a["size"], a["beta"], a["bias"]))
    y: Array = x / (k + alpha * squares) ** beta
    return y


def _shuffle(node: Node | IntegerNode, x: Array) -> Array:
    groups = node.attributes["groups"]
    return x.reshape(len(x), groups, -1, *x.shape[2:]).swapaxes(1, 2).reshape(x.shape)


def _subsample(node: Node, x: Array) -> Array:
    step = node.attributes["step"]
    return x[:, :, ::step, ::step]


def _pad(node: Node, x: Array) -> Array:
    return np.pad(x, ((0, 0), *zip(node.attributes["before"], node.attributes["after"], strict=True)))


_OPS: dict[str, Callable[..., Array]] = {
    "conv": _conv,
    "linear": _linear,
    "scale_shift": _scale_shift,
    "add": lambda node, a, b: a + b,
    "mul": lambda node, a, b: a * b,
    "concat": lambda node, *operands: np.concatenate(operands, 1),
    "slice": lambda node, x: x[:, node.attributes["first"] : node.attributes["last"]],
    "shuffle": _shuffle,
    "max_pool": _max_pool,
    "avg_pool": _average,
    "adaptive_avg_pool": _average,
    "global_avg_pool": _average,
    "lrn": _lrn,
    "subsample": _subsample,
    "pad": _pad,
    "flatten": lambda node, x: x.reshape(len(x), -1),
}
_OPS |= {op: lambda node, x, of=function: of(x, node) for op, function in FUNCTIONS.items()}
