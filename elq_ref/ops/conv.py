"""Convolution and fully connected layers."""

import numpy as np

from .. import kernels
from ..tensor import Tensor, record
from ._check import Border, Pair, border, pair, rank, window
from .shape import pad


def conv2d(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    *,
    stride: Pair = 1,
    padding: Border = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    """y[n,o,p,q] = b[o] + sum_{c,i,j} w[o,c,i,j] x[n, c + first(o), p * stride - padding + i * dilation, ...].

    x (N, C, H, W), w (O, C/groups, KH, KW), b (O) or None -> y (N, O, P, Q); cross-correlation, as in every
    framework. padding, zeros: one number, (rows, columns) or (top, left, bottom, right); of four that differ it is a
    `pad` before a convolution without. Raises ValueError with the shapes where they do not fit.

    >>> x, w = elq.Tensor(np.arange(9.0).reshape(1, 1, 3, 3)), elq.Tensor(np.array([[[[1.0, -1.0]]]]))
    >>> elq.ops.conv2d(x, w).data[0, 0]  # each pixel minus the one to its right
    array([[-1., -1.],
           [-1., -1.],
           [-1., -1.]])
    """
    rank("conv2d", x, 4, "N C H W")
    rank("conv2d weight", w, 4, "O C/groups KH KW")
    stride, dilation = pair("stride", stride, 1), pair("dilation", dilation, 1)
    top, left, bottom, right = border("padding", padding)
    if (top, left) != (bottom, right):
        x, top, left = pad(x, (0, 0, top, left), (0, 0, bottom, right)), 0, 0
    padding = top, left
    channels, outputs = x.shape[1], w.shape[0]
    if groups < 1 or channels % groups or outputs % groups or w.shape[1] != channels // groups:
        raise ValueError(f"conv2d of x {x.shape} with w {w.shape} in {groups} group(s): C must be groups * w.shape[1]")
    if b is not None and b.shape != (outputs,):
        raise ValueError(f"conv2d bias has shape {b.shape}, w {w.shape} wants ({outputs},)")
    window("conv2d", x.shape[2:], w.shape[2:], stride, padding, dilation)  # type: ignore[arg-type]
    geometry = (stride, padding, dilation, groups)
    y = kernels.conv2d(x.data, w.data, *geometry, None if b is None else b.data)

    def backward(dy: np.ndarray) -> list[np.ndarray | None]:
        dx = kernels.conv2d_dx(dy, w.data, x.shape, *geometry) if x.requires_grad else None
        dw = kernels.conv2d_dw(dy, x.data, w.shape, *geometry) if w.requires_grad else None
        return [dx, dw] if b is None else [dx, dw, kernels.channel_sums(dy)]

    parents = (x, w) if b is None else (x, w, b)
    return record("conv2d", y, parents, backward, stride=stride, padding=padding, dilation=dilation, groups=groups)


def linear(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    """y = x w^T + b: x (N, C), w (O, C), b (O) or None -> y (N, O).

    >>> x, w = elq.Tensor(np.array([[1.0, 2.0]])), elq.Tensor(np.array([[1.0, 1.0], [0.5, -1.0]]))
    >>> elq.ops.linear(x, w).data
    array([[ 3. , -1.5]])
    """
    rank("linear", x, 2, "N C")
    rank("linear weight", w, 2, "O C")
    if x.shape[1] != w.shape[1]:
        raise ValueError(f"linear of x {x.shape} with w {w.shape}: the last axes must be equal")
    if b is not None and b.shape != w.shape[:1]:
        raise ValueError(f"linear bias has shape {b.shape}, w {w.shape} wants ({w.shape[0]},)")
    y = kernels.linear(x.data, w.data, None if b is None else b.data)

    def backward(dy: np.ndarray) -> list[np.ndarray | None]:
        dx = kernels.linear_dx(dy, w.data) if x.requires_grad else None
        dw = kernels.linear_dw(dy, x.data) if w.requires_grad else None
        return [dx, dw] if b is None else [dx, dw, kernels.channel_sums(dy)]

    return record("linear", y, (x, w) if b is None else (x, w, b), backward)
