"""Differentiable operations on Tensors, forward and backward side by side.

Arrays are logical NCHW (weights OIHW) with any strides. The heavy ones call elq_ref.kernels on plain arrays.
"""

from ..tensor import add, mul
from .activation import relu
from .conv import conv2d, linear
from .loss import softmax_cross_entropy
from .norm import batch_norm
from .pool import avg_pool, global_avg_pool, max_pool
from .shape import pad, reshape, subsample

__all__ = [
    "add",
    "avg_pool",
    "batch_norm",
    "conv2d",
    "global_avg_pool",
    "linear",
    "max_pool",
    "mul",
    "pad",
    "relu",
    "reshape",
    "softmax_cross_entropy",
    "subsample",
]
