"""Layers without weights, in NumPy, on activations (N, H, W, C) or (N, C)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .graph_types import Node

Layer = Callable[..., np.ndarray]


def prepare(node: Node) -> Layer:
    """The `node` as a function of the values that it reads."""
    return _PREPARE[node.op](node)


def _scale_shift(node: Node) -> Layer:
    return lambda x: x * node.scale + node.bias


def _max_pool(node: Node) -> Layer:
    return lambda x: _reduce(node, x, np.maximum)


def _avg_pool(node: Node) -> Layer:
    kh, kw = node.attributes["kernel"]
    share = np.float32(1 / (kh * kw))
    return lambda x: _reduce(node, x, np.add) * share


def _reduce(node: Node, x: np.ndarray, combine: np.ufunc) -> np.ndarray:
    """`combine` over all places of whole windows, one place at a time."""
    (kh, kw), (sh, sw) = node.attributes["kernel"], node.attributes["stride"]
    rows, columns = (x.shape[1] - kh) // sh + 1, (x.shape[2] - kw) // sw + 1
    y = None
    for i in range(kh):
        for j in range(kw):
            seen = x[:, i : i + sh * (rows - 1) + 1 : sh, j : j + sw * (columns - 1) + 1 : sw]
            y = seen.copy() if y is None else combine(y, seen, out=y)
    return y


def _global_avg_pool(node: Node) -> Layer:
    return lambda x: x.mean((1, 2))


def _subsample(node: Node) -> Layer:
    step = node.attributes["step"]
    return lambda x: x[:, ::step, ::step]


def _pad(node: Node) -> Layer:
    (c0, h0, w0), (c1, h1, w1) = node.attributes["before"], node.attributes["after"]
    return lambda x: np.pad(x, ((0, 0), (h0, h1), (w0, w1), (c0, c1)))


def _flatten(node: Node) -> Layer:
    """Elements in the order (C, H, W), as in the graph."""
    return lambda x: (x.transpose(0, 3, 1, 2) if x.ndim == 4 else x).reshape(len(x), math.prod(x.shape[1:]))


_PREPARE: dict[str, Callable[[Node], Layer]] = {
    "scale_shift": _scale_shift,
    "relu": lambda node: lambda x: np.maximum(x, 0),
    "add": lambda node: np.add,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "global_avg_pool": _global_avg_pool,
    "subsample": _subsample,
    "pad": _pad,
    "flatten": _flatten,
}
