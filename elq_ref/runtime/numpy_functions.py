"""Every op in NumPy on float32 activations (N, H, W, C) or (N, C): what runs where the extension is missing.

The weights stay packed; a block of output channels is decoded when its turn comes, for all pixels that use it, and
thrown away.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np

from ..graph.codes import row_length, to_rows, unpack_rows
from ..graph.functions import FUNCTIONS
from ..graph.nodes import Node, required
from ..graph.windows import counts, windows
from .factors import multiplied
from .native import geometry

Function = Callable[..., np.ndarray]
Product = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (M, K), (O, K) -> (M, O)

PATCH_FLOATS = 1 << 22  # of the inputs that are gathered at a time: of whole pictures, where they are this small
MOST_PATCH_FLOATS = 1 << 26  # else of as many rows of one
BLOCK = 64  # output channels that are decoded at a time


def matmul(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """x w^T by the BLAS."""
    y: np.ndarray = x @ w.T
    return y


def function(node: Node, shape: tuple[int, ...], product: Product = matmul) -> Function:
    """The `node`, whose value has `shape` (C, H, W) or (C), as a function of the values that it reads.

    product: what sums up, of inputs (M, K) and weights (O, K) in the order KH KW C.
    """
    if node.weight is None:
        return _FUNCTIONS[node.op](node)
    run = _conv(node, shape, product)
    return run if node.op == "conv" else lambda x: run(x[:, None, None, :])[:, 0, 0]


def _conv(node: Node, shape: tuple[int, ...], product: Product) -> Function:
    (kh, kw), (sh, sw), (ph, pw), (dh, dw), groups = geometry(node)
    (weight, factor), bias = multiplied(node), required(node.bias)
    length, outputs, (rows_out, columns_out) = row_length(weight.shape), shape[0] // groups, shape[1:] or (1, 1)

    def decode(first: int, last: int) -> np.ndarray:
        """Rows `first` to `last` of the codes (or weights) as float32 (channels, K)."""
        if weight.levels == "float":
            return to_rows(weight.data[first:last])
        return unpack_rows(weight.data[first:last], weight.levels, length).astype(np.float32)

    def gather(x: np.ndarray, group: int, top: int, bottom: int) -> np.ndarray:
        """The inputs (N * rows * Q, K) that output pixels of rows `top` to `bottom` multiply by a group's weights."""
        channels = weight.shape[1]
        x = x[..., group * channels : (group + 1) * channels]
        seen = np.empty((len(x), bottom - top, columns_out, kh, kw, channels), np.float32)
        for i in range(kh):
            for j in range(kw):
                row, column = slice(top * sh + i * dh, (bottom - 1) * sh + i * dh + 1, sh), j * dw
                seen[:, :, :, i, j] = x[:, row, column : column + sw * (columns_out - 1) + 1 : sw]
        return seen.reshape(-1, length)

    def run(x: np.ndarray) -> np.ndarray:
        y = np.empty((len(x), rows_out, columns_out, shape[0]), np.float32)
        step = max(1, PATCH_FLOATS // (rows_out * columns_out * length))
        rows = max(1, min(rows_out, MOST_PATCH_FLOATS // (columns_out * length)))
        for first in range(0, len(x), step):
            part = x[first : first + step]
            if ph or pw:
                part = np.pad(part, ((0, 0), (ph, ph), (pw, pw), (0, 0)))
            for group, top in itertools.product(range(groups), range(0, rows_out, rows)):
                bottom = min(top + rows, rows_out)
                seen = gather(part, group, top, bottom)
                for o in range(group * outputs, (group + 1) * outputs, BLOCK):
                    last = min(o + BLOCK, (group + 1) * outputs)
                    sums = product(seen, decode(o, last))
                    sums = sums.reshape(len(part), bottom - top, columns_out, -1)
                    y[first : first + step, top:bottom, :, o:last] = sums
        y *= factor
        y += bias
        return y

    return run


def _scale_shift(node: Node) -> Function:
    scale, bias = required(node.scale), required(node.bias)
    return lambda x: x * scale + bias


def _max_pool(node: Node) -> Function:
    return lambda x: _reduce(node, x, np.maximum, -math.inf)


def _average(node: Node) -> Function:
    """The sum of every window, times the float32 of 1 / its count."""

    def run(x: np.ndarray) -> np.ndarray:
        size = (x.shape[3], *x.shape[1:3])
        share = (1 / counts(node, size)).astype(np.float32)[:, :, None]
        return (_reduce(node, x, np.add, 0) if node.op == "avg_pool" else _adaptive(node, x, size)) * share

    return run


def _adaptive(node: Node, x: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """The sum of every window: each row of it from left to right, then these."""
    rows, columns = windows(node, size)
    x = np.stack([in_turn(x[:, :, w.first : w.last], 2) for w in columns], 2)
    return np.stack([in_turn(x[:, w.first : w.last], 1) for w in rows], 1)


def in_turn(x: np.ndarray, axis: int) -> np.ndarray:
    """The sum over an axis: an accumulation has no other order than that of its elements."""
    sums: np.ndarray = np.add.accumulate(x, axis=axis).take(-1, axis)
    return sums


def _reduce(node: Node, x: np.ndarray, combine: np.ufunc, outside: float) -> np.ndarray:
    """`combine` over all places of the windows, one place at a time, with `outside` in the border."""
    (kh, kw), (sh, sw) = node.attributes["kernel"], node.attributes["stride"]
    top, left, bottom, right = node.attributes["padding"]
    if top or left or bottom or right:
        x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=outside)
    rows, columns = (x.shape[1] - kh) // sh + 1, (x.shape[2] - kw) // sw + 1
    y: np.ndarray | None = None
    for i in range(kh):
        for j in range(kw):
            seen = x[:, i : i + sh * (rows - 1) + 1 : sh, j : j + sw * (columns - 1) + 1 : sw]
            y = seen.copy() if y is None else combine(y, seen, out=y)
    return required(y)


def _global_avg_pool(node: Node) -> Function:
    return lambda x: x.mean((1, 2))


def _lrn(node: Node) -> Function:
    """Channels first in the definition; one place of its window at a time here."""
    a = node.attributes
    alpha, beta, k = (np.float32(v) for v in (a["alpha"] / a["size"], a["beta"], a["bias"]))

    def run(x: np.ndarray) -> np.ndarray:
        channels = x.shape[3]
        before, after = (min(side, channels - 1) for side in (a["size"] // 2, (a["size"] - 1) // 2))
        padded = np.pad(np.square(x), ((0, 0), (0, 0), (0, 0), (before, after)))
        squares = padded[..., :channels].copy()
        for place in range(1, before + after + 1):
            squares += padded[..., place : place + channels]
        y: np.ndarray = x / (k + alpha * squares) ** beta
        return y

    return run


def _concat(node: Node) -> Function:
    return lambda *operands: np.concatenate(operands, -1)


def _slice(node: Node) -> Function:
    first, last = node.attributes["first"], node.attributes["last"]
    return lambda x: x[..., first:last]


def _shuffle(node: Node) -> Function:
    groups = node.attributes["groups"]
    return lambda x: x.reshape(*x.shape[:-1], groups, -1).swapaxes(-1, -2).reshape(x.shape)


def _of_one_number(node: Node) -> Function:
    """The definition itself; prelu wants its channels first."""
    of = FUNCTIONS[node.op]
    if node.op != "prelu":
        return lambda x: of(x, node)
    return lambda x: np.moveaxis(of(np.moveaxis(x, -1, 1), node), 1, -1)


def _subsample(node: Node) -> Function:
    step = node.attributes["step"]
    return lambda x: x[:, ::step, ::step]


def _pad(node: Node) -> Function:
    (c0, h0, w0), (c1, h1, w1) = node.attributes["before"], node.attributes["after"]
    return lambda x: np.pad(x, ((0, 0), (h0, h1), (w0, w1), (c0, c1)))


def _flatten(node: Node) -> Function:
    """Elements in the order (C, H, W), as in the graph."""
    return lambda x: (x.transpose(0, 3, 1, 2) if x.ndim == 4 else x).reshape(len(x), math.prod(x.shape[1:]))


_FUNCTIONS: dict[str, Callable[[Node], Function]] = {
    "scale_shift": _scale_shift,
    "add": lambda node: np.add,
    "mul": lambda node: np.multiply,
    "concat": _concat,
    "slice": _slice,
    "shuffle": _shuffle,
    "max_pool": _max_pool,
    "avg_pool": _average,
    "adaptive_avg_pool": _average,
    "global_avg_pool": _global_avg_pool,
    "lrn": _lrn,
    "subsample": _subsample,
    "pad": _pad,
    "flatten": _flatten,
}
_FUNCTIONS |= dict.fromkeys(FUNCTIONS, _of_one_number)
