"""Activations: functions of one number, and the noise of training between them."""

from __future__ import annotations

import numpy as np

from .. import ops
from ..tensor import Tensor
from .module import Module


class ReLU(Module):
    """ops.relu.

    >>> elq.nn.ReLU()(elq.Tensor(np.array([-1.0, 2.0]))).data
    array([0., 2.])
    """

    def forward(self, x: Tensor) -> Tensor:
        return ops.relu(x)


class Hardtanh(Module):
    """ops.clip from `min_val` to `max_val`.

    >>> elq.nn.Hardtanh()(elq.Tensor(np.array([-2.0, 0.5]))).data
    array([-1. ,  0.5])
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0) -> None:
        self.min_val, self.max_val = min_val, max_val

    def forward(self, x: Tensor) -> Tensor:
        return ops.clip(x, self.min_val, self.max_val)


class ReLU6(Hardtanh):
    """ops.clip from 0 to 6.

    >>> elq.nn.ReLU6()(elq.Tensor(np.array([-1.0, 2.0, 7.0]))).data
    array([0., 2., 6.])
    """

    def __init__(self) -> None:
        super().__init__(0.0, 6.0)


class LeakyReLU(Module):
    """ops.leaky_relu.

    >>> elq.nn.LeakyReLU(0.1)(elq.Tensor(np.array([-1.0, 2.0]))).data
    array([-0.1,  2. ])
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        return ops.leaky_relu(x, self.negative_slope)


class PReLU(Module):
    """ops.prelu with a slope for every channel, or one for all: its parameter `weight` (num_parameters).

    >>> elq.nn.PReLU()(elq.Tensor(np.array([[-1.0, 2.0]], np.float32))).data
    array([[-0.25,  2.  ]], dtype=float32)
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        self.weight = Tensor(np.full(num_parameters, init, np.float32), requires_grad=True)

    def forward(self, x: Tensor) -> Tensor:
        return ops.prelu(x, self.weight)


class Sigmoid(Module):
    """ops.sigmoid.

    >>> elq.nn.Sigmoid()(elq.Tensor(np.array([0.0, 1e3]))).data
    array([0.5, 1. ])
    """

    def forward(self, x: Tensor) -> Tensor:
        return ops.sigmoid(x)


class Tanh(Module):
    """ops.tanh.

    >>> elq.nn.Tanh()(elq.Tensor(np.array([0.0, 1e3]))).data
    array([0., 1.])
    """

    def forward(self, x: Tensor) -> Tensor:
        return ops.tanh(x)


class Hardsigmoid(Module):
    """ops.hard_sigmoid of 1/6 and 1/2.

    >>> elq.nn.Hardsigmoid()(elq.Tensor(np.array([-4.0, 0.0]))).data
    array([0. , 0.5])
    """

    def forward(self, x: Tensor) -> Tensor:
        return ops.hard_sigmoid(x)


class Hardswish(Module):
    """ops.hard_swish.

    >>> elq.nn.Hardswish()(elq.Tensor(np.array([-4.0, 0.0, 3.0]))).data
    array([-0.,  0.,  3.])
    """

    def forward(self, x: Tensor) -> Tensor:
        return ops.hard_swish(x)


class SiLU(Module):
    """ops.silu.

    >>> elq.nn.SiLU()(elq.Tensor(np.array([0.0, 1.0]))).data.round(4)
    array([0.    , 0.7311])
    """

    def forward(self, x: Tensor) -> Tensor:
        return ops.silu(x)


class ELU(Module):
    """ops.elu.

    >>> elq.nn.ELU(0.5)(elq.Tensor(np.array([-1e3, 2.0]))).data
    array([-0.5,  2. ])
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        return ops.elu(x, self.alpha)


class GELU(Module):
    """ops.gelu; `approximate` "none" or "tanh".

    >>> elq.nn.GELU()(elq.Tensor(np.array([-1.0, 2.0]))).data.round(4)
    array([-0.1587,  1.9545])
    """

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        return ops.gelu(x, self.approximate)


class Dropout(Module):
    """ops.dropout with the rate `p`; in evaluation mode y = x.

    >>> elq.nn.Dropout(0.5).eval()(elq.Tensor(np.ones((1, 3)))).data
    array([[1., 1., 1.]])
    """

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"p is {p}, wanted 0 to 1")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return ops.dropout(x, self.p, training=self.training)
