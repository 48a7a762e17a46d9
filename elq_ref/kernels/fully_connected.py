"""Fully connected layers: convolutions of one element, but where C reads large weights as they lie."""

import numpy as np

from .. import extensions
from . import numpy_ops

_train, _ = extensions.load("_train")
_convolution = numpy_ops if _train is None else _train

FEW = 64  # rows of y: more share what a convolution makes of the weights
LARGE = 1 << 20  # weights


def linear(x: np.ndarray, w: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """y = x w^T + bias: x (N, C), w (O, C), bias (O) or None -> (N, O)."""
    if len(x) <= FEW and _streams(len(x), w.size):
        y: np.ndarray = _train.linear(x, w, bias)
        return y
    return _rows(_convolution.conv2d(_pixels(x), w[:, :, None, None], bias=bias))


def linear_dx(dy: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Gradient of sum(dy * linear(x, w)) with respect to x: dy w, (N, C)."""
    if _streams(len(dy), w.size):
        dx: np.ndarray = _train.linear_dx(dy, w)
        return dx
    return _rows(_convolution.conv2d_dx(_pixels(dy), w[:, :, None, None], (1, w.shape[1], 1, len(dy))))


def linear_dw(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Gradient of sum(dy * linear(x, w)) with respect to w: dy^T x, (O, C)."""
    shape = dy.shape[1], x.shape[1]
    if _streams(len(x), shape[0] * shape[1]):
        dw: np.ndarray = _train.linear_dw(dy, x)
        return dw
    made: np.ndarray = _convolution.conv2d_dw(_pixels(dy), _pixels(x), (*shape, 1, 1))
    return made[:, :, 0, 0]


def _streams(rows: int, weights: int) -> bool:
    return _train is not None and rows > 0 and weights >= LARGE


def _pixels(x: np.ndarray) -> np.ndarray:
    """(N, C) as one picture of N pixels, (1, C, 1, N): no BLAS with a pool of threads of its own takes the cores from
    ours."""
    return x.T[None, :, None, :]


def _rows(y: np.ndarray) -> np.ndarray:
    """The inverse of `_pixels`."""
    return y[0, :, 0, :].T
