"""The ops of one number, defined in NumPy: the interpreter, the tables of int8 and tests of kernels all use them.

Each is f(x, node): x an array of float32 or float64, (N, C, ...) for prelu, which has a slope for every channel; y has
its shape and dtype. None overflows, and NaN stays NaN. In float64 every result has the same bits on every machine:
what is more than a few operations comes from graph.elementary.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from . import elementary
from .nodes import Node, required

Array = np.ndarray
Function = Callable[[Array, Node], Any]


def _elementary(function: Callable[[Array], Array], x: Array) -> Array:
    """A function of graph.elementary, in the dtype of x."""
    y: Array = function(x.astype(np.float64)).astype(x.dtype)
    return y


def _number(x: Array, node: Node, name: str) -> Any:
    """A float attribute in the dtype of x."""
    return x.dtype.type(node.attributes[name])


def _relu(x: Array, node: Node) -> Any:
    return np.maximum(x, 0)


def _clip(x: Array, node: Node) -> Any:
    """min(max(x, low), high)."""
    return np.minimum(np.maximum(x, _number(x, node, "low")), _number(x, node, "high"))


def _leaky_relu(x: Array, node: Node) -> Any:
    """x if x >= 0, else slope x."""
    return np.where(x >= 0, x, _number(x, node, "slope") * x)


def _prelu(x: Array, node: Node) -> Any:
    """x if x >= 0, else slope_c x."""
    slope = required(node.slope).astype(x.dtype).reshape(-1, *(1,) * (x.ndim - 2))
    return np.where(x >= 0, x, slope * x)


def _hard_sigmoid(x: Array, node: Node) -> Any:
    """min(max(alpha x + beta, 0), 1)."""
    return np.minimum(np.maximum(_number(x, node, "alpha") * x + _number(x, node, "beta"), 0), 1)


def _hard_swish(x: Array, node: Node) -> Any:
    """x min(max(x + 3, 0), 6) / 6."""
    return x * (np.minimum(np.maximum(x + 3, 0), 6) / 6)


def _silu(x: Array, node: Node) -> Any:
    """x / (1 + e^-x)."""
    return x * _elementary(elementary.sigmoid, x)


def _elu(x: Array, node: Node) -> Any:
    """x if x > 0, else alpha (e^x - 1)."""
    return np.where(x > 0, x, _number(x, node, "alpha") * _elementary(elementary.expm1, np.minimum(x, 0)))


def _gelu(x: Array, node: Node) -> Any:
    """x (1 + erf(x / sqrt 2)) / 2."""
    return x * _elementary(lambda wide: (1 + elementary.erf(wide / math.sqrt(2))) / 2, x)


def _gelu_tanh(x: Array, node: Node) -> Any:
    """x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2; beyond 30 the tanh is 1."""
    near = np.clip(x, -30, 30)
    inner = x.dtype.type(math.sqrt(2 / math.pi)) * (near + x.dtype.type(0.044715) * near * near * near)
    return x * ((1 + _elementary(elementary.tanh, inner)) / 2)


FUNCTIONS: dict[str, Function] = {
    "relu": _relu,
    "clip": _clip,
    "leaky_relu": _leaky_relu,
    "prelu": _prelu,
    "sigmoid": lambda x, node: _elementary(elementary.sigmoid, x),
    "tanh": lambda x, node: _elementary(elementary.tanh, x),
    "hard_sigmoid": _hard_sigmoid,
    "hard_swish": _hard_swish,
    "silu": _silu,
    "elu": _elu,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
}
