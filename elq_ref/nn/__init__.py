"""Modules: where weights live. Names, order and shapes of parameters are PyTorch's, and so are the arguments."""

from .activations import (
    ELU,
    GELU,
    Dropout,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    LeakyReLU,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Tanh,
)
from .containers import ChannelShuffle, Flatten, Identity, Sequential
from .layers import Conv2d, Linear
from .module import Module
from .norm import BatchNorm2d, LocalResponseNorm, freeze_statistics
from .pooling import AdaptiveAvgPool2d, AvgPool2d, GlobalAvgPool, MaxPool2d

__all__ = [
    "ELU",
    "GELU",
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BatchNorm2d",
    "ChannelShuffle",
    "Conv2d",
    "Dropout",
    "Flatten",
    "GlobalAvgPool",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "Identity",
    "LeakyReLU",
    "Linear",
    "LocalResponseNorm",
    "MaxPool2d",
    "Module",
    "PReLU",
    "ReLU",
    "ReLU6",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Tanh",
    "freeze_statistics",
]
