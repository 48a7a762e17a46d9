"""Functions of one number that are made of lines: relu, clip, leaky_relu, prelu, hard_sigmoid, hard_swish.

Where a line meets another the derivative is PyTorch's choice; NaN goes through.
"""

import math

import numpy as np

from .. import kernels
from ..tensor import Tensor, record
from .pointwise import pointwise


def relu(x: Tensor) -> Tensor:
    """y = max(x, 0), any shape. Convention: relu'(0) = 0.

    >>> x = elq.Tensor(np.array([-1.0, 0.0, 2.0]), requires_grad=True)
    >>> elq.ops.relu(x).backward(np.ones(3))
    >>> x.grad
    array([0., 0., 1.])
    """
    y = kernels.relu(x.data)
    return record("relu", y, (x,), lambda dy: (kernels.relu_backward(dy, y),))


def clip(x: Tensor, low: float, high: float) -> Tensor:
    """y = min(max(x, low), high), any shape; the derivative is 0 at both ends. ReLU6 is clip(x, 0, 6).

    ValueError unless low <= high, both numbers.

    >>> elq.ops.clip(elq.Tensor(np.array([-1.0, 2.0, 7.0])), 0, 6).data
    array([0., 2., 6.])
    """
    if not low <= high:
        raise ValueError(f"clip from {low} to {high}: wanted low <= high")
    return pointwise("clip", x, low=float(low), high=float(high))


def leaky_relu(x: Tensor, slope: float = 0.01) -> Tensor:
    """y = x where x >= 0, slope x elsewhere, any shape; the derivative at 0 is `slope`.

    >>> elq.ops.leaky_relu(elq.Tensor(np.array([-1.0, 2.0])), 0.1).data
    array([-0.1,  2. ])
    """
    if not math.isfinite(slope):
        raise ValueError(f"leaky_relu slope is {slope}, wanted a finite number")
    return pointwise("leaky_relu", x, slope=float(slope))


def prelu(x: Tensor, slope: Tensor) -> Tensor:
    """y = x where x >= 0, slope_c x elsewhere: x (N, C, ...), slope (C) or (1), one for all.

    >>> elq.ops.prelu(elq.Tensor(np.array([[-1.0, -1.0]])), elq.Tensor(np.array([0.5, 2.0]))).data
    array([[-0.5, -2. ]])
    """
    channels = x.shape[1:2]
    if len(x.shape) < 2 or slope.shape not in (channels, (1,)):
        raise ValueError(f"prelu of x {x.shape} with slope {slope.shape}: wanted ({', '.join(map(str, channels))},)")
    column = slope.data.reshape(-1, *(1,) * (len(x.shape) - 2))
    y = np.where(x.data >= 0, x.data, column * x.data)

    def backward(dy: np.ndarray) -> list[np.ndarray | None]:
        positive = x.data > 0
        dx = np.where(positive, dy, column * dy) if x.requires_grad else None
        if not slope.requires_grad:
            return [dx, None]
        parts = kernels.channel_sums(np.where(positive, 0, x.data * dy))
        return [dx, parts if slope.shape == channels else parts.sum(keepdims=True)]

    return record("prelu", y, (x, slope), backward)


def hard_sigmoid(x: Tensor, alpha: float = 1 / 6, beta: float = 0.5) -> Tensor:
    """y = min(max(alpha x + beta, 0), 1), any shape; the derivative is 0 at both ends. PyTorch's is that of 1/6, 1/2.

    >>> elq.ops.hard_sigmoid(elq.Tensor(np.array([-4.0, 0.0, 1.5]))).data
    array([0.  , 0.5 , 0.75])
    """
    if not (math.isfinite(alpha) and math.isfinite(beta)):
        raise ValueError(f"hard_sigmoid of alpha {alpha}, beta {beta}: wanted finite numbers")
    return pointwise("hard_sigmoid", x, alpha=float(alpha), beta=float(beta))


def hard_swish(x: Tensor) -> Tensor:
    """y = x min(max(x + 3, 0), 6) / 6, any shape; the derivative is 0 at -3 and 1 at 3.

    >>> elq.ops.hard_swish(elq.Tensor(np.array([-3.0, 1.0, 4.0]))).data.round(6)
    array([-0.      ,  0.666667,  4.      ])
    """
    return pointwise("hard_swish", x)
