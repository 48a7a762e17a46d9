"""The definition of every training kernel, in NumPy.

It runs where nothing is compiled, and the C kernels are tested against it. Arrays are N C H W (weights
O C/groups KH KW) with any strides, float32 or float64, one dtype a call. Results of the convolutions are
channels-last in memory (the strides of N H W C under the shape N C H W), as those of the C kernels are. Sums
of batch normalization are taken in float64.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .numpy_pointwise import pointwise, pointwise_backward
from .numpy_pool import max_pool, max_pool_backward

__all__ = [
    "batch_norm",
    "batch_norm_backward",
    "channel_sums",
    "conv2d",
    "conv2d_dw",
    "conv2d_dx",
    "half_of",
    "max_pool",
    "max_pool_backward",
    "nearest_level",
    "objective_gradient",
    "pointwise",
    "pointwise_backward",
    "relu",
    "relu_backward",
    "scale_shift",
]

Pair = tuple[int, int]


def _columns(x: np.ndarray, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> np.ndarray:
    """im2col: (groups, N * P * Q, C / groups * KH * KW), an output's inputs in the order of the weights."""
    n, c = x.shape[:2]
    xp = np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    reach = tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True))
    windows = sliding_window_view(xp, reach, (2, 3))  # N C rows columns KH KW
    windows = windows[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]
    windows = windows.reshape(n, groups, c // groups, *windows.shape[2:])
    return windows.transpose(1, 0, 3, 4, 2, 5, 6).reshape(groups, -1, c // groups * kernel[0] * kernel[1])


def _rows(y: np.ndarray, groups: int) -> np.ndarray:
    """(N, O, P, Q) as (groups, N * P * Q, O / groups)."""
    n, o, p, q = y.shape
    return y.transpose(0, 2, 3, 1).reshape(n * p * q, groups, o // groups).transpose(1, 0, 2)


def conv2d(
    x: np.ndarray,
    w: np.ndarray,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
    bias: np.ndarray | None = None,
) -> np.ndarray:
    """y[n,o,p,q] = bias[o] + sum_{c,i,j} w[o,c,i,j] x[n, c + first(o), p * stride - padding + i * dilation, ...].

    x is 0 outside; first(o) is the first channel of the group of o. No bias is a bias of 0.
    """
    n, o = x.shape[0], w.shape[0]
    p, q = ((x.shape[2 + a] + 2 * padding[a] - dilation[a] * (w.shape[2 + a] - 1) - 1) // stride[a] + 1 for a in (0, 1))
    columns = _columns(x, w.shape[2:], stride, padding, dilation, groups)
    rows = columns @ w.reshape(groups, o // groups, -1).transpose(0, 2, 1)  # (g, NPQ, K) (g, K, O/g)
    y: np.ndarray = rows.transpose(1, 0, 2).reshape(n, p, q, o)
    if bias is not None:
        y += bias
    return y.transpose(0, 3, 1, 2)


def conv2d_dx(
    dy: np.ndarray,
    w: np.ndarray,
    x_shape: tuple[int, ...],
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> np.ndarray:
    """Gradient of sum(dy * conv2d(x, w)) with respect to x, of shape `x_shape`."""
    n, c, h, width = x_shape
    o, _, kh, kw = w.shape
    p, q = dy.shape[2:]
    columns = _rows(dy, groups) @ w.reshape(groups, o // groups, -1)  # (g, NPQ, O/g) (g, O/g, K)
    taps = columns.reshape(groups, n, p, q, c // groups, kh, kw).transpose(5, 6, 1, 2, 3, 0, 4)
    taps = taps.reshape(kh, kw, n, p, q, c)
    dxp = np.zeros((n, h + 2 * padding[0], width + 2 * padding[1], c), dy.dtype)
    for i in range(kh):
        rows = slice(i * dilation[0], i * dilation[0] + (p - 1) * stride[0] + 1, stride[0])
        for j in range(kw):
            first = j * dilation[1]
            dxp[:, rows, first : first + (q - 1) * stride[1] + 1 : stride[1]] += taps[i, j]
    inside = dxp[:, padding[0] : padding[0] + h, padding[1] : padding[1] + width]
    return np.ascontiguousarray(inside).transpose(0, 3, 1, 2)


def conv2d_dw(
    dy: np.ndarray,
    x: np.ndarray,
    w_shape: tuple[int, ...],
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> np.ndarray:
    """Gradient of sum(dy * conv2d(x, w)) with respect to w, of shape `w_shape`."""
    columns = _columns(x, (w_shape[2], w_shape[3]), stride, padding, dilation, groups)
    dw: np.ndarray = _rows(dy, groups).transpose(0, 2, 1) @ columns  # (g, O/g, NPQ) (g, NPQ, K)
    return dw.reshape(w_shape)


def _axes(x: np.ndarray) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def channel_sums(x: np.ndarray) -> np.ndarray:
    """sum of x over everything but its channels, taken in float64: (C) in x's dtype."""
    sums: np.ndarray = x.sum(_axes(x), dtype=np.float64).astype(x.dtype)
    return sums


def _column(v: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A value per channel, shaped to broadcast over x, in the dtype of x."""
    return v.astype(x.dtype, copy=False).reshape((-1,) + (1,) * (x.ndim - 2))


def batch_norm(
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    eps: float,
    residual: np.ndarray | None = None,
    relu: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """y = f(gamma (x - mean) / sqrt(var + eps) + beta + residual), mean and (biased) var: y, mean, var.

    f is max(., 0) if `relu`, else identity.
    """
    mean = x.mean(_axes(x), dtype=np.float64)
    deviation = x - mean.reshape(_column(mean, x).shape)
    var = np.square(deviation).mean(_axes(x))
    y = (deviation * (gamma / np.sqrt(var + eps)).reshape(_column(mean, x).shape)).astype(x.dtype)
    y += _column(beta, x)
    if residual is not None:
        y += residual
    return np.maximum(y, 0) if relu else y, mean.astype(x.dtype), var.astype(x.dtype)


def batch_norm_backward(
    dy: np.ndarray,
    y: np.ndarray,
    x: np.ndarray,
    gamma: np.ndarray,
    mean: np.ndarray,
    var: np.ndarray,
    eps: float,
    residual: bool = False,
    relu: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """Gradients of sum(dy * batch_norm(x, ...)): dx, dgamma, dbeta, and dresidual (None without a residual).

    With dz = dy where y > 0 (all of dy without ReLU), xhat = (x - mean) / sqrt(var + eps), M values a
    channel: dbeta = sum dz, dgamma = sum dz xhat, dresidual = dz,
    dx = gamma / sqrt(var + eps) (dz - dbeta / M - xhat dgamma / M).
    """
    axes, count = _axes(x), x.size // x.shape[1]
    dz = np.where(y > 0, dy, 0) if relu else dy
    inverse = 1 / np.sqrt(var.astype(np.float64) + eps)
    xhat = (x - _column(mean, x)) * _column(inverse, x)
    dbeta = dz.sum(axes, dtype=np.float64)
    dgamma = (dz * xhat).sum(axes, dtype=np.float64)
    dx = _column(gamma * inverse, x) * (dz - _column(dbeta / count, x) - xhat * _column(dgamma / count, x))
    return dx, dgamma.astype(x.dtype), dbeta.astype(x.dtype), dz if residual else None


def scale_shift(
    x: np.ndarray,
    scale: np.ndarray,
    shift: np.ndarray,
    residual: np.ndarray | None = None,
    relu: bool = False,
) -> np.ndarray:
    """y = f(scale x + shift + residual) per channel, f = max(., 0) if `relu` else identity."""
    y: np.ndarray = x * _column(scale, x) + _column(shift, x)
    if residual is not None:
        y += residual
    return np.maximum(y, 0, out=y) if relu else y


def relu(x: np.ndarray) -> np.ndarray:
    """y = max(x, 0), any shape; NaN stays."""
    y: np.ndarray = np.maximum(x, 0)
    return y


def relu_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Gradient of sum(dy * relu(x)), y = relu(x): dy where y > 0, else 0."""
    return np.where(y > 0, dy, 0)


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """np.empty; that of C is on memory which steps use again."""
    return np.empty(shape, dtype)


BLOCK = 1 << 15  # elements, so few that what is computed of them in between stays in the cache


def sgd(
    w: np.ndarray,
    dw: np.ndarray,
    velocity: np.ndarray,
    lr: float,
    momentum: float,
    weight_decay: float,
    nesterov: bool,
    free: np.ndarray | None = None,
    over: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """A step of SGD (elq_ref.training.sgd): new (w, velocity), where `free` is False with their bits.

    over: the new velocity takes the memory of the old one, and where C made dw, the new w takes that of dw.
    """

    def some(w: np.ndarray, dw: np.ndarray, velocity: np.ndarray, free: np.ndarray | None) -> tuple[np.ndarray, ...]:
        d = dw + weight_decay * w if weight_decay else dw
        v = momentum * velocity + d
        new = -lr * (d + momentum * v if nesterov else v) + w  # the bits of w - lr u, one array less
        return (new, v) if free is None else (np.where(free, new, w), np.where(free, v, velocity))

    new, v = np.empty_like(w), velocity if over else np.empty_like(velocity)
    if w.size <= BLOCK:
        new[...], v[...] = some(w, dw, velocity, free)
        return new, v
    rows = max(1, BLOCK // w[0].size)
    for first in range(0, len(w), rows):
        part = slice(first, first + rows)
        new[part], v[part] = some(w[part], dw[part], velocity[part], None if free is None else free[part])
    return new, v


def half_of(alpha: np.ndarray) -> np.ndarray:
    """alpha / 2 >= 0, rounded down: of numbers w of its dtype those above it are those above the exact half.

    Among the denormals an odd alpha has none, and w = 2 is nearer to 3 than to 0.
    """
    half: np.ndarray = alpha / 2
    return np.where(half + half > alpha, np.nextafter(half, alpha.dtype.type(0)), half)


def nearest_level(w: np.ndarray, alpha: np.ndarray, ternary: bool) -> np.ndarray:
    """alpha * codes of the nearest levels, one or (O, 1, ...) alphas of w (O, ...): see elq_ref.elq.levels.

    Codes are (w > alpha/2) - (w < -alpha/2) if `ternary`, else 1 where w >= 0 and -1 elsewhere; every zero is +0.0.
    """
    if ternary:
        half = half_of(alpha)
        codes = (w > half).astype(np.int8) - (w < -half).astype(np.int8)
    else:
        codes = np.where(w >= 0, np.int8(1), np.int8(-1))
    w_hat: np.ndarray = alpha * codes.astype(alpha.dtype) + alpha.dtype.type(0)
    return w_hat


def objective_gradient(
    mix: Sequence[tuple[float, np.ndarray]],
    w: np.ndarray,
    w_hat: np.ndarray,
    a2: float,
    squared: bool,
    frozen: np.ndarray | None = None,
) -> tuple[np.ndarray, float]:
    """(dJ/dW, E) of a layer: sum over `mix` of factor times gradient, + 2 a2 (w - w_hat) or a2 sign(w - w_hat).

    E = sum (w - w_hat)^2 if `squared`, else of |w - w_hat|, in float64. mix: two gradients at most. The gradient is 0
    where `frozen`. All arrays have the shape of w; nothing but the result is as large.
    """
    dw, error = np.empty(w.shape, w.dtype), 0.0
    rows = max(1, BLOCK // max(1, math.prod(w.shape[1:])))
    for start in range(0, len(w), rows):
        some = slice(start, start + rows)
        gap = w[some] - w_hat[some]
        parts = [factor * gradient[some] for factor, gradient in mix]
        part = sum(parts[1:], *parts[:1]) + a2 * (2 * gap if squared else np.sign(gap))
        dw[some] = part if frozen is None else np.where(frozen[some], 0, part)
        error += float(np.sum(np.abs(gap, dtype=np.float64) ** (2 if squared else 1)))
    return dw, error
