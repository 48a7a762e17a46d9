"""Maximum and mean over windows."""

from collections.abc import Iterator

import numpy as np

from .. import kernels
from ..tensor import Tensor, record
from ._check import Pair, pair, rank, window


def max_pool(x: Tensor, kernel: Pair, stride: Pair | None = None) -> Tensor:
    """y[n,c,p,q] = max over the window at (p * stride, q * stride); x (N, C, H, W).

    No padding, an incomplete window is dropped. The gradient goes to the first maximum in row order.

    >>> elq.ops.max_pool(elq.Tensor(np.arange(16.0).reshape(1, 1, 4, 4)), 2).data[0, 0]
    array([[ 5.,  7.],
           [13., 15.]])
    """
    rank("max_pool", x, 4, "N C H W")
    kernel = pair("kernel", kernel, 1)
    stride = kernel if stride is None else pair("stride", stride, 1)
    window("max_pool", x.shape[2:], kernel, stride, (0, 0))  # type: ignore[arg-type]
    y, place = kernels.max_pool(x.data, kernel, stride)

    def backward(dy: np.ndarray) -> tuple[np.ndarray]:
        return (kernels.max_pool_backward(dy, place, x.shape, kernel, stride),)

    return record("max_pool", y, (x,), backward, kernel=kernel, stride=stride)


def taps(
    x: np.ndarray, kernel: tuple[int, int], stride: tuple[int, int], out: tuple[int, int]
) -> Iterator[tuple[slice, ...]]:
    """For every place in the window, the slice of x (N, C, H, W) that it sees: KH * KW index tuples of P x Q."""
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            rows = slice(i, i + stride[0] * (out[0] - 1) + 1, stride[0])
            yield np.s_[:, :, rows, j : j + stride[1] * (out[1] - 1) + 1 : stride[1]]


def avg_pool(x: Tensor, kernel: Pair, stride: Pair | None = None) -> Tensor:
    """y[n,c,p,q] = mean over the window at (p * stride, q * stride); x (N, C, H, W); no padding.

    >>> elq.ops.avg_pool(elq.Tensor(np.arange(16.0).reshape(1, 1, 4, 4)), 2).data[0, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]])
    """
    rank("avg_pool", x, 4, "N C H W")
    kernel = pair("kernel", kernel, 1)
    stride = kernel if stride is None else pair("stride", stride, 1)
    out = window("avg_pool", x.shape[2:], kernel, stride, (0, 0))  # type: ignore[arg-type]
    places = list(taps(x.data, kernel, stride, out))
    share = x.dtype.type(1 / len(places))
    y = x.data[places[0]].copy(order="K")
    for tap in places[1:]:
        y += x.data[tap]
    y *= share

    def backward(dy: np.ndarray) -> tuple[np.ndarray]:
        dx = np.zeros_like(x.data)
        part = dy * share
        for tap in places:
            dx[tap] += part
        return (dx,)

    return record("avg_pool", y, (x,), backward, kernel=kernel, stride=stride)


def global_avg_pool(x: Tensor) -> Tensor:
    """y[n,c] = mean over rows and columns: (N, C, H, W) -> (N, C).

    >>> elq.ops.global_avg_pool(elq.Tensor(np.arange(16.0).reshape(1, 1, 4, 4))).data
    array([[7.5]])
    """
    rank("global_avg_pool", x, 4, "N C H W")
    share = x.dtype.type(1 / (x.shape[2] * x.shape[3]))

    def backward(dy: np.ndarray) -> tuple[np.ndarray]:
        dx = np.empty_like(x.data)
        dx[:] = (dy * share)[:, :, None, None]
        return (dx,)

    return record("global_avg_pool", x.data.sum((2, 3)) * share, (x,), backward)
