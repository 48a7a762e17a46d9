"""The training kernels: the one place that chooses between C (elq_ref._train) and NumPy (numpy_ops); of fully connected
layers `fully_connected` does, by their shape too.

Functions on plain arrays, N C H W with any strides, float32 or float64 and never mixed. Which kernels run is
decided once, at import: C for the instruction set of this CPU (or the one that ELQ_ISA names), and
NumPy, which is their definition, where the extension is not built. `info` tells.
"""

from typing import Any

import numpy as np

from .. import extensions
from . import fully_connected, numpy_ops, numpy_pool
from .numpy_pool import NO_BORDER, Border, Pair

_train, _reason = extensions.load("_train")
_chosen: Any = numpy_ops if _train is None else _train

conv2d = _chosen.conv2d
conv2d_dx = _chosen.conv2d_dx
conv2d_dw = _chosen.conv2d_dw
batch_norm = _chosen.batch_norm
batch_norm_backward = _chosen.batch_norm_backward
scale_shift = _chosen.scale_shift
channel_sums = _chosen.channel_sums
relu = _chosen.relu
relu_backward = _chosen.relu_backward
nearest_level = _chosen.nearest_level
objective_gradient = _chosen.objective_gradient
half_of = numpy_ops.half_of
empty = _chosen.empty
sgd = _chosen.sgd
linear = fully_connected.linear
linear_dx = fully_connected.linear_dx
linear_dw = fully_connected.linear_dw


pointwise = _chosen.pointwise
pointwise_backward = _chosen.pointwise_backward
avg_pool = numpy_pool.avg_pool
avg_pool_backward = numpy_pool.avg_pool_backward


def max_pool(x: np.ndarray, kernel: Pair, stride: Pair, padding: Border = NO_BORDER) -> tuple[np.ndarray, np.ndarray]:
    """`numpy_pool.max_pool`; C counts the elements of a window in a byte, NumPy serves larger windows."""
    chosen = _chosen if kernel[0] * kernel[1] <= 256 else numpy_pool
    y, place = chosen.max_pool(x, kernel, stride, padding)
    return y, place


def max_pool_backward(
    dy: np.ndarray,
    place: np.ndarray,
    x_shape: tuple[int, ...],
    kernel: Pair,
    stride: Pair,
    padding: Border = NO_BORDER,
) -> np.ndarray:
    """`numpy_pool.max_pool_backward` for what `max_pool` gave."""
    chosen = _chosen if place.dtype == np.uint8 else numpy_pool
    dx: np.ndarray = chosen.max_pool_backward(dy, place, x_shape, kernel, stride, padding)
    return dx


def info() -> dict[str, Any]:
    """What runs: kernel "C avx512", "C avx2", "C neon", "C generic" or "NumPy"; threads; reason, why NumPy, or None."""
    if _train is None:
        return {"kernel": "NumPy", "threads": 1, "reason": _reason}
    return {"kernel": f"C {_train.isa()}", "threads": _train.threads(), "reason": None}
