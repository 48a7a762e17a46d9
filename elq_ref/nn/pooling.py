"""Maxima and means over windows and whole pictures.

`padding` is one number, (rows, columns) or (top, left, bottom, right).
"""

from __future__ import annotations

from .. import ops
from ..ops._check import Border, Pair
from ..tensor import Tensor
from .module import Module


class MaxPool2d(Module):
    """ops.max_pool; `stride` None is the window's size.

    >>> elq.nn.MaxPool2d(2)(elq.Tensor(np.arange(16.0).reshape(1, 1, 4, 4))).data[0, 0]
    array([[ 5.,  7.],
           [13., 15.]])
    """

    def __init__(
        self, kernel_size: Pair, stride: Pair | None = None, padding: Border = 0, *, ceil_mode: bool = False
    ) -> None:
        self.kernel_size, self.stride, self.padding, self.ceil_mode = kernel_size, stride, padding, ceil_mode

    def forward(self, x: Tensor) -> Tensor:
        return ops.max_pool(x, self.kernel_size, self.stride, padding=self.padding, ceil_mode=self.ceil_mode)


class AvgPool2d(Module):
    """ops.avg_pool; `stride` None is the window's size.

    >>> elq.nn.AvgPool2d(2)(elq.Tensor(np.arange(16.0).reshape(1, 1, 4, 4))).data[0, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]])
    """

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Border = 0,
        ceil_mode: bool = False,
        count_include_pad: bool | Border = True,
    ) -> None:
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        return ops.avg_pool(
            x,
            self.kernel_size,
            self.stride,
            padding=self.padding,
            ceil_mode=self.ceil_mode,
            count_include_pad=self.count_include_pad,
        )


class AdaptiveAvgPool2d(Module):
    """ops.adaptive_avg_pool to `output_size`: (N, C, H, W) -> (N, C, P, Q); of one pixel the mean of the channel.

    >>> elq.nn.AdaptiveAvgPool2d(1)(elq.Tensor(np.arange(16.0).reshape(1, 1, 4, 4))).data
    array([[[[7.5]]]])
    """

    def __init__(self, output_size: Pair) -> None:
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        if self.output_size in (1, (1, 1)):
            return ops.avg_pool(x, (x.shape[2], x.shape[3]))
        return ops.adaptive_avg_pool(x, self.output_size)


class GlobalAvgPool(Module):
    """ops.global_avg_pool: (N, C, H, W) -> (N, C), what AdaptiveAvgPool2d(1) and Flatten() are together.

    >>> elq.nn.GlobalAvgPool()(elq.Tensor(np.arange(16.0).reshape(1, 1, 4, 4))).data
    array([[7.5]])
    """

    def forward(self, x: Tensor) -> Tensor:
        return ops.global_avg_pool(x)
