"""Layers with weights: convolutions and fully connected layers.

A layer draws its weights from the generator `rng`, as `initial` says. One that is given none has a stream of its own:
layer k of a process (k counts the layers that were given none) draws stream k, so that no two start equal and the same
program always starts with the same weights. What else the program built before counts too: where a network must start
equal wherever it is built, give its layers one generator, as elq_ref.models does from `seed`.
"""

from __future__ import annotations

from itertools import count

import numpy as np

from .. import ops
from ..ops._check import Border, Pair
from ..tensor import Tensor
from .initial import Initial, he
from .module import Module

_streams = count()  # one number for every layer that was given no generator


def _started(
    initial: Initial, rng: np.random.Generator | None, shape: tuple[int, ...], bias: bool
) -> tuple[Tensor, Tensor | None]:
    """The weight of that shape and its bias, or none."""
    if rng is None:
        rng = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(next(_streams),)))
    weight, values = initial(rng, shape)
    return Tensor(weight, requires_grad=True), Tensor(values, requires_grad=True) if bias else None


class Conv2d(Module):
    """ops.conv2d with a weight (O, C/groups, KH, KW), drawn from `rng`, and a bias (O) or none.

    padding: one number, (rows, columns) or (top, left, bottom, right). initial: what weight and bias start with
    (elq_ref.nn.initial). ValueError unless `groups` divides both numbers of channels.

    >>> layer = elq.nn.Conv2d(3, 16, 3, padding=1, rng=np.random.default_rng(0))
    >>> layer.weight.shape, layer(elq.Tensor(np.ones((1, 3, 8, 8), np.float32))).shape
    ((16, 3, 3, 3), (1, 16, 8, 8))
    """

    _quantizable = ("weight",)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Border = 0,
        dilation: Pair = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        rng: np.random.Generator | None = None,
        initial: Initial = he,
    ) -> None:
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(f"{groups} groups of {in_channels} to {out_channels} channels: wanted a divisor of both")
        size = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
        self.weight, self.bias = _started(initial, rng, (out_channels, in_channels // groups, *size), bias)
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups

    def forward(self, x: Tensor) -> Tensor:
        return ops.conv2d(
            x,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
        )


class Linear(Module):
    """ops.linear with a weight (O, C), drawn from `rng`, and a bias (O) or none.

    initial: what weight and bias start with (elq_ref.nn.initial).

    >>> layer = elq.nn.Linear(64, 10, bias=False)
    >>> layer.weight.shape, layer.bias is None
    ((10, 64), True)
    """

    _quantizable = ("weight",)

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        rng: np.random.Generator | None = None,
        initial: Initial = he,
    ) -> None:
        self.weight, self.bias = _started(initial, rng, (out_features, in_features), bias)

    def forward(self, x: Tensor) -> Tensor:
        return ops.linear(x, self.weight, self.bias)
