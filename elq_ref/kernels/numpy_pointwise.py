"""Functions of one number and their derivatives: the definitions in NumPy.

FUNCTIONS[name] is (f, slope): f(x, *parameters) and df/dx(x, *parameters), arrays of any shape in x's dtype. Where f
has a kink, the slope is PyTorch's; NaN stays NaN.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Array = Any  # a NumPy array: what its functions return has no type
_ROOT_HALF = math.sqrt(0.5)
_TANH_SCALE = math.sqrt(2 / math.pi)
_CUBIC = 0.044715
_erf = np.vectorize(math.erf, otypes=[np.float64])


def clip(x: Array, low: float, high: float) -> Array:
    return np.minimum(np.maximum(x, x.dtype.type(low)), x.dtype.type(high))


def clip_slope(x: Array, low: float, high: float) -> Array:
    return (~((x <= x.dtype.type(low)) | (x >= x.dtype.type(high)))).astype(x.dtype)


def leaky_relu(x: Array, slope: float) -> Array:
    return np.where(x >= 0, x, x.dtype.type(slope) * x)


def leaky_relu_slope(x: Array, slope: float) -> Array:
    return np.where(x > 0, x.dtype.type(1), x.dtype.type(slope))


def hard_sigmoid(x: Array, alpha: float, beta: float) -> Array:
    return clip(x.dtype.type(alpha) * x + x.dtype.type(beta), 0, 1)


def hard_sigmoid_slope(x: Array, alpha: float, beta: float) -> Array:
    line = x.dtype.type(alpha) * x + x.dtype.type(beta)
    return np.where((line > 0) & (line < 1), x.dtype.type(alpha), x.dtype.type(0))


def hard_swish(x: Array) -> Array:
    return x * clip(x + 3, 0, 6) / 6


def hard_swish_slope(x: Array) -> Array:
    return np.where(x <= -3, x.dtype.type(0), np.where(x >= 3, x.dtype.type(1), x / 3 + x.dtype.type(0.5)))


def sigmoid(x: Array) -> Array:
    with np.errstate(over="ignore"):  # exp of a large number is infinite and its inverse 0
        return 1 / (1 + np.exp(-x))


def sigmoid_slope(x: Array) -> Array:
    s = sigmoid(x)
    return s * (1 - s)


def tanh_slope(x: Array) -> Array:
    t = np.tanh(x)
    return 1 - t * t


def silu(x: Array) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        return x / (1 + np.exp(-x))


def silu_slope(x: Array) -> Array:
    s = sigmoid(x)
    with np.errstate(invalid="ignore"):
        return s * (1 + x * (1 - s))


def elu(x: Array, alpha: float) -> Array:
    return np.where(x > 0, x, x.dtype.type(alpha) * np.expm1(np.minimum(x, 0)))


def elu_slope(x: Array, alpha: float) -> Array:
    return np.where(x > 0, x.dtype.type(1), x.dtype.type(alpha) * np.exp(np.minimum(x, 0)))


def _normal_share(x: Array) -> Array:
    """Phi(x) = (1 + erf(x / sqrt 2)) / 2, the share of the standard normal distribution below x."""
    share: Array = (0.5 * (1 + _erf(x.astype(np.float64) * _ROOT_HALF))).astype(x.dtype)
    return share


def gelu(x: Array) -> Array:
    with np.errstate(invalid="ignore"):
        return x * _normal_share(x)


def gelu_slope(x: Array) -> Array:
    with np.errstate(invalid="ignore", over="ignore"):
        density: Array = np.exp(x * x * x.dtype.type(-0.5)) * x.dtype.type(_TANH_SCALE / 2)
        return _normal_share(x) + x * density


def _tanh_share(x: Array) -> Array:
    """(1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, the approximation of `_normal_share`."""
    with np.errstate(over="ignore"):
        inner = x.dtype.type(_TANH_SCALE) * (x + x.dtype.type(_CUBIC) * x * x * x)
    share: Array = x.dtype.type(0.5) * (1 + np.tanh(inner))
    return share


def gelu_tanh(x: Array) -> Array:
    with np.errstate(invalid="ignore"):
        return x * _tanh_share(x)


def gelu_tanh_slope(x: Array) -> Array:
    s = _tanh_share(x)
    with np.errstate(invalid="ignore", over="ignore"):
        inner = x.dtype.type(_TANH_SCALE) * (1 + x.dtype.type(3 * _CUBIC) * x * x)
        return s + 2 * x * s * (1 - s) * inner


FUNCTIONS: dict[str, tuple[Callable[..., Array], Callable[..., Array]]] = {
    "clip": (clip, clip_slope),
    "leaky_relu": (leaky_relu, leaky_relu_slope),
    "hard_sigmoid": (hard_sigmoid, hard_sigmoid_slope),
    "hard_swish": (hard_swish, hard_swish_slope),
    "sigmoid": (sigmoid, sigmoid_slope),
    "tanh": (np.tanh, tanh_slope),
    "silu": (silu, silu_slope),
    "elu": (elu, elu_slope),
    "gelu": (gelu, gelu_slope),
    "gelu_tanh": (gelu_tanh, gelu_tanh_slope),
}


def pointwise(name: str, x: Array, *parameters: float) -> Array:
    """y = f(x)."""
    return FUNCTIONS[name][0](x, *parameters)


def pointwise_backward(name: str, dy: Array, x: Array, *parameters: float) -> Array:
    """Gradient of sum(dy * f(x)) with respect to x."""
    return dy * FUNCTIONS[name][1](x, *parameters)
