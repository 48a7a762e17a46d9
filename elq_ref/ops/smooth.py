"""Functions of one number that are smooth: sigmoid, tanh, silu, elu, gelu. PyTorch's definitions; NaN goes through."""

import math

from ..tensor import Tensor
from .pointwise import pointwise


def sigmoid(x: Tensor) -> Tensor:
    """y = 1 / (1 + exp(-x)), any shape.

    >>> elq.ops.sigmoid(elq.Tensor(np.array([0.0, 1e4, -1e4]))).data
    array([0.5, 1. , 0. ])
    """
    return pointwise("sigmoid", x)


def tanh(x: Tensor) -> Tensor:
    """y = tanh(x), any shape.

    >>> elq.ops.tanh(elq.Tensor(np.array([0.0, 1e4]))).data
    array([0., 1.])
    """
    return pointwise("tanh", x)


def silu(x: Tensor) -> Tensor:
    """y = x / (1 + exp(-x)), any shape; also called swish.

    >>> elq.ops.silu(elq.Tensor(np.array([0.0, 1.0]))).data.round(6)
    array([0.      , 0.731059])
    """
    return pointwise("silu", x)


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """y = x where x > 0, alpha (exp(x) - 1) elsewhere, any shape; the derivative at 0 is alpha.

    >>> elq.ops.elu(elq.Tensor(np.array([-1e4, 2.0])), 0.5).data
    array([-0.5,  2. ])
    """
    if not math.isfinite(alpha):
        raise ValueError(f"elu alpha is {alpha}, wanted a finite number")
    return pointwise("elu", x, alpha=float(alpha))


def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    """y = x Phi(x), any shape, Phi(x) = (1 + erf(x / sqrt 2)) / 2; approximate "tanh": Phi(x) is about
    (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.

    >>> x = elq.Tensor(np.array([-1.0, 2.0]))
    >>> elq.ops.gelu(x).data.round(4), elq.ops.gelu(x, "tanh").data.round(4)
    (array([-0.1587,  1.9545]), array([-0.1588,  1.9546]))
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu approximate is {approximate!r}, wanted none or tanh")
    return pointwise("gelu" if approximate == "none" else "gelu_tanh", x)
