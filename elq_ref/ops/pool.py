"""Maximum and mean over windows, and the mean over parts of a picture."""

from typing import Any

import numpy as np

from .. import kernels
from ..tensor import Tensor, record
from ._check import Border, Pair, border, pair, pool_window, rank


def max_pool(
    x: Tensor, kernel: Pair, stride: Pair | None = None, *, padding: Border = 0, ceil_mode: bool = False
) -> Tensor:
    """y[n,c,p,q] = max over what the window at (p * stride - top, q * stride - left) sees of x (N, C, H, W).

    padding: one number, (rows, columns) or (top, left, bottom, right); every window must hold a pixel. An incomplete
    window is dropped, with `ceil_mode` kept, unless it begins below or right of the picture. The gradient goes to the
    first maximum in row order.

    >>> elq.ops.max_pool(elq.Tensor(np.arange(16.0).reshape(1, 1, 4, 4)), 2).data[0, 0]
    array([[ 5.,  7.],
           [13., 15.]])
    >>> elq.ops.max_pool(elq.Tensor(np.arange(16.0).reshape(1, 1, 4, 4)), 3, 2, ceil_mode=True).data[0, 0]
    array([[10., 11.],
           [14., 15.]])
    """
    kernel, stride, padding = pool_window("max_pool", x, kernel, stride, padding, ceil_mode)
    y, place = kernels.max_pool(x.data, kernel, stride, padding)

    def backward(dy: np.ndarray) -> tuple[np.ndarray]:
        return (kernels.max_pool_backward(dy, place, x.shape, kernel, stride, padding),)

    return record("max_pool", y, (x,), backward, kernel=kernel, stride=stride, padding=padding)


def avg_pool(
    x: Tensor,
    kernel: Pair,
    stride: Pair | None = None,
    *,
    padding: Border = 0,
    ceil_mode: bool = False,
    count_include_pad: bool | Border = True,
) -> Tensor:
    """y[n,c,p,q] = sum over what the window sees of x (N, C, H, W) / number of its places that count.

    Windows as in `max_pool`. count_include_pad: places in the padding count (True), do not (False), or those of a
    border (top, left, bottom, right) within it do; what `ceil_mode` adds beyond the padding never counts.

    >>> elq.ops.avg_pool(elq.Tensor(np.arange(16.0).reshape(1, 1, 4, 4)), 2).data[0, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]])
    >>> one = elq.Tensor(np.ones((1, 1, 1, 1)))
    >>> [elq.ops.avg_pool(one, 3, padding=1, count_include_pad=c).item() for c in (False, True)]
    [1.0, 0.1111111111111111]
    """
    given = border("padding", padding)
    kernel, stride, padding = pool_window("avg_pool", x, kernel, stride, padding, ceil_mode)
    counted = border("count_include_pad", count_include_pad if _is_border(count_include_pad) else 0)
    if count_include_pad is True:
        counted = given
    if any(c > p for c, p in zip(counted, padding, strict=True)):
        raise ValueError(f"avg_pool counts a border of {counted}, wanted at most the padding {padding}")
    geometry = (kernel, stride, padding, counted)
    y = kernels.avg_pool(x.data, *geometry)

    def backward(dy: np.ndarray) -> tuple[np.ndarray]:
        return (kernels.avg_pool_backward(dy, x.data, *geometry),)

    attributes: dict[str, Any] = dict(zip(("kernel", "stride", "padding", "counted"), geometry, strict=True))
    return record("avg_pool", y, (x,), backward, **attributes)


def _is_border(given: bool | Border) -> bool:
    return not isinstance(given, bool | np.bool_)


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


def adaptive_avg_pool(x: Tensor, output: Pair) -> Tensor:
    """y[n,c,p,q] = mean over rows floor(p H / P) .. ceil((p + 1) H / P) - 1 and the same of columns; output (P, Q).

    >>> elq.ops.adaptive_avg_pool(elq.Tensor(np.arange(3.0).reshape(1, 1, 1, 3)), (1, 2)).data[0, 0]
    array([[0.5, 1.5]])
    """
    rank("adaptive_avg_pool", x, 4, "N C H W")
    output = pair("output", output, 1)
    rows, columns = (
        [(p * n // out, -(-(p + 1) * n // out)) for p in range(out)] for n, out in zip(x.shape[2:], output, strict=True)
    )
    parts = [
        (p, q, np.s_[:, :, top:bottom, left:right], x.dtype.type(1 / ((bottom - top) * (right - left))))
        for p, (top, bottom) in enumerate(rows)
        for q, (left, right) in enumerate(columns)
    ]
    y = np.empty_like(x.data, shape=(*x.shape[:2], *output))
    for p, q, part, share in parts:
        y[:, :, p, q] = x.data[part].sum((2, 3)) * share

    def backward(dy: np.ndarray) -> tuple[np.ndarray]:
        dx = np.zeros_like(x.data)
        for p, q, part, share in parts:
            dx[part] += (dy[:, :, p, q] * share)[:, :, None, None]
        return (dx,)

    return record("adaptive_avg_pool", y, (x,), backward, output=output)
