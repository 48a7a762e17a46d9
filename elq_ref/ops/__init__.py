"""Differentiable operations on Tensors, forward and backward side by side.

Arrays are logical NCHW (weights OIHW) with any strides. The heavy ones call elq_ref.kernels on plain arrays.
"""

from ..tensor import add, mul
from .activation import clip, hard_sigmoid, hard_swish, leaky_relu, prelu, relu
from .channels import channel_shuffle, channel_slice, concat
from .conv import conv2d, linear
from .dropout import dropout
from .loss import softmax_cross_entropy
from .lrn import local_response_norm
from .norm import batch_norm, scale_shift
from .pool import adaptive_avg_pool, avg_pool, global_avg_pool, max_pool
from .shape import pad, reshape, subsample
from .smooth import elu, gelu, sigmoid, silu, tanh

__all__ = [
    "adaptive_avg_pool",
    "add",
    "avg_pool",
    "batch_norm",
    "channel_shuffle",
    "channel_slice",
    "clip",
    "concat",
    "conv2d",
    "dropout",
    "elu",
    "gelu",
    "global_avg_pool",
    "hard_sigmoid",
    "hard_swish",
    "leaky_relu",
    "linear",
    "local_response_norm",
    "max_pool",
    "mul",
    "pad",
    "prelu",
    "relu",
    "reshape",
    "scale_shift",
    "sigmoid",
    "silu",
    "softmax_cross_entropy",
    "subsample",
    "tanh",
]
