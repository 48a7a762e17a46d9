"""Layers with weights, made ready to run: C kernels on the packed bits, or NumPy where the extension is
missing.

Activations are (N, H, W, C) here. Either way the weights stay packed; a block of output channels is decoded
when its turn comes, for all pixels that use it, and thrown away.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .codes import rows, to_rows, unpack_rows
from .graph_types import Node

try:
    from .. import _infer
except ImportError:
    _infer = None
else:
    _infer.isa(), _infer.threads()  # a word that ELQ_ISA or ELQ_NUM_THREADS cannot be is refused here

Layer = Callable[[np.ndarray], np.ndarray]

PATCH_FLOATS = 1 << 22  # of the inputs that NumPy gathers at a time
NUMPY_BLOCK = 64  # output channels that NumPy decodes at a time


def kernel_name(node: Node, size: tuple[int, ...]) -> str:
    """The kernel that runs the conv or linear `node` on values of shape `size` (C, H, W) or (C) here."""
    return "NumPy" if _infer is None else _layer(node, size).name


def prepare(node: Node, size: tuple[int, ...], shape: tuple[int, ...]) -> Layer:
    """The conv or linear `node`, which reads values of shape `size` (C, H, W) or (C) and whose value has
    `shape` (O, P, Q) or (O), as a function of x (N, H, W, C) or (N, C).
    """
    run = _prepare_numpy(node, shape) if _infer is None else _prepare_c(node, size)
    if node.op == "conv":
        return run
    return lambda x: run(x[:, None, None, :])[:, 0, 0]


def _factor(node: Node) -> np.ndarray:
    """What the sums of codes times inputs are multiplied by: alpha_o * scale_o, float32 (O)."""
    return node.scale if node.weight.alpha is None else node.weight.alpha * node.scale


def _geometry(node: Node) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int], int]:
    """kernel, stride, padding, dilation, groups; a fully connected layer is a 1x1 convolution of a 1x1
    picture.
    """
    if node.op == "linear":
        return (1, 1), (1, 1), (0, 0), (1, 1), 1
    a = node.attributes
    return node.weight.shape[2:], a["stride"], a["padding"], a["dilation"], a["groups"]


def _layer(node: Node, size: tuple[int, ...]) -> _infer.Layer:
    """The packed layer of C that reads values of shape `size`."""
    channels, height, width = size if len(size) == 3 else (*size, 1, 1)
    weight = node.weight
    rows_ = to_rows(weight.data) if weight.levels == "float" else weight.data
    levels = "full" if weight.levels == "float" else weight.levels
    tail = _factor(node), node.bias, -np.inf
    return _infer.Layer("float32", levels, rows_, (height, width, channels), *_geometry(node), tail)


def _prepare_c(node: Node, size: tuple[int, ...]) -> Layer:
    layer = _layer(node, size)
    return lambda x: layer(np.ascontiguousarray(x))


def _prepare_numpy(node: Node, shape: tuple[int, ...]) -> Layer:
    (kh, kw), (sh, sw), (ph, pw), (dh, dw), groups = _geometry(node)
    weight, factor, bias = node.weight, _factor(node), node.bias
    length, outputs, (rows_out, columns_out) = rows(weight.shape), shape[0] // groups, shape[1:] or (1, 1)

    def decode(first: int, last: int) -> np.ndarray:
        """Rows `first` to `last` of the codes (or weights) as float32 (channels, K)."""
        if weight.levels == "float":
            return to_rows(weight.data[first:last])
        return unpack_rows(weight.data[first:last], weight.levels, length).astype(np.float32)

    def gather(x: np.ndarray, group: int) -> np.ndarray:
        """The inputs (N * P * Q, K) that every output pixel of a group multiplies by its weights."""
        channels = weight.shape[1]
        x = x[..., group * channels : (group + 1) * channels]
        seen = np.empty((len(x), rows_out, columns_out, kh, kw, channels), np.float32)
        for i in range(kh):
            for j in range(kw):
                row, column = slice(i * dh, i * dh + sh * (rows_out - 1) + 1, sh), j * dw
                seen[:, :, :, i, j] = x[:, row, column : column + sw * (columns_out - 1) + 1 : sw]
        return seen.reshape(-1, length)

    def run(x: np.ndarray) -> np.ndarray:
        y = np.empty((len(x), rows_out, columns_out, shape[0]), np.float32)
        step = max(1, PATCH_FLOATS // (rows_out * columns_out * length))
        for first in range(0, len(x), step):
            part = x[first : first + step]
            if ph or pw:
                part = np.pad(part, ((0, 0), (ph, ph), (pw, pw), (0, 0)))
            for group in range(groups):
                seen = gather(part, group)
                for o in range(group * outputs, (group + 1) * outputs, NUMPY_BLOCK):
                    last = min(o + NUMPY_BLOCK, (group + 1) * outputs)
                    sums = seen @ decode(o, last).T
                    y[first : first + step, ..., o:last] = sums.reshape(len(part), rows_out, columns_out, -1)
        y *= factor
        y += bias
        return y

    return run
