"""The float network with every sum in one order: each value has the same bits on any CPU, from C or NumPy, with any
number of threads, in any batch (of a NaN, that it is one). What calibration computes with.

A sum of a conv or linear begins at 0 and adds the products w_k x_k one after the other in the order KH KW C of
docs/format.md, where x has no such pixel as 0; then it is multiplied by its factor, and the bias is added. A mean adds
the elements of its window row by row, and is multiplied by 1 / their number. Every operation is a float32 rounding of
its own: none is fused with the next, none is left to a BLAS. A function of one number is computed in float64, by
operations that have one result (graph.elementary), and rounded once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..graph.codes import row_length, to_rows, unpack_rows
from ..graph.functions import FUNCTIONS
from ..graph.nodes import Graph, Node, Weight, required
from ..graph.shapes import Shape
from .factors import multiplied
from .instructions import FloatTail, nhwc
from .native import _infer, geometry
from .numpy_functions import Function, function, in_turn

Array = np.ndarray
PIXELS = 4096  # rows that NumPy takes at a time, whose sums stay in a cache


class OrderedNetwork:
    """A graph made ready; float32 weights of the layers are all that it keeps."""

    def __init__(self, graph: Graph, shapes: Mapping[str, Shape]) -> None:
        self._graph = graph
        self._functions = [_function(node, shapes) for node in graph.nodes]

    def values(self, x: Array) -> dict[str, Array]:
        """Every value of the graph by name, float32 (N, C, H, W) or (N, C), for the input `x` float32 (N, C, H, W)."""
        known = {self._graph.input: x.transpose(0, 2, 3, 1)}
        for node, run in zip(self._graph.nodes, self._functions, strict=True):
            known[node.name] = run(*(known[name] for name in node.inputs))
        return {name: y.transpose(0, 3, 1, 2) if y.ndim == 4 else y for name, y in known.items()}


def in_order(x: Array, w: Array) -> Array:
    """Sums (M, O) of x (M, K) times w (O, K), k by k."""
    y = np.empty((len(x), len(w)), np.float32)
    for first in range(0, len(x), PIXELS):
        columns = np.ascontiguousarray(x[first : first + PIXELS].T)
        sums = np.zeros((len(w), columns.shape[1]), np.float32)
        product = np.empty_like(sums)
        for k, column in enumerate(columns):
            np.multiply(w[:, k, None], column, out=product)
            sums += product
        y[first : first + PIXELS] = sums.T
    return y


def _function(node: Node, shapes: Mapping[str, Shape]) -> Function:
    """The node as a function of values (N, H, W, C) or (N, C)."""
    if node.op == "global_avg_pool":
        return _mean
    run = function(node, shapes[node.name], in_order)
    if node.op in ("relu", "max_pool"):
        return _positive_zeros(run)
    if node.op in FUNCTIONS:
        return _rounded_once(run)
    if node.weight is None or _infer is None:
        return run
    return _layer(node, shapes[node.inputs[0]])


def _positive_zeros(maximum: Function) -> Function:
    """Which of -0 and +0 `maximum` takes is the CPU's choice: take +0."""
    return lambda x: maximum(x) + np.float32(0)


def _rounded_once(run: Function) -> Function:
    """A function of one number in float64; of zeros, +0 as above."""
    return lambda x: run(x.astype(np.float64)).astype(np.float32) + np.float32(0)


def _mean(x: Array) -> Array:
    """Over all pixels."""
    pixels = x.reshape(len(x), -1, x.shape[3])
    mean: Array = in_turn(pixels, 1) * np.float32(1 / pixels.shape[1])
    return mean


def _layer(node: Node, shape: Shape) -> Function:
    """A conv or linear that reads a value of `shape`, by the kernel of C whose order is defined."""
    (weight, factor), size = multiplied(node), nhwc(shape)
    tail = FloatTail(factor, required(node.bias), -math.inf)
    if node.op == "linear":
        size = (1, 1, math.prod(size))
    layer: Any = _infer.PackedLayer("float32 ordered", "full", _rows(weight), size, *geometry(node), tail)
    if node.op == "linear":
        return lambda x: layer(np.ascontiguousarray(x)[:, None, None, :])[:, 0, 0]
    return lambda x: layer(np.ascontiguousarray(x))


def _rows(weight: Weight) -> Array:
    """Codes or weights as float32 (O, K)."""
    if weight.levels == "float":
        return np.ascontiguousarray(to_rows(weight.data))
    return unpack_rows(weight.data, weight.levels, row_length(weight.shape)).astype(np.float32)
