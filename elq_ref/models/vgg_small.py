"""VGG-small, the CIFAR network of the low-bit literature (Zhang et al. 2018, LQ-Nets): 128-128-256-256-512-512."""

import numpy as np

from .. import ops
from ..nn import BatchNorm2d, Conv2d, Linear, Module
from ..tensor import Tensor

CHANNELS = (128, 128, 256, 256, 512, 512)


class VGGSmall(Module):
    """Six 3x3 convolutions with BatchNorm and ReLU, max pooling after every second, and a linear classifier."""

    def __init__(self, input_shape: tuple[int, int, int] = (3, 32, 32), classes: int = 10, seed: int = 0) -> None:
        channels, height, width = input_shape
        if min(height, width) < 8:
            raise ValueError(f"vgg_small wants pictures of at least 8x8, given {height}x{width}")
        rng = np.random.default_rng(seed)
        for position, outputs in enumerate(CHANNELS, 1):
            setattr(self, f"conv{position}", Conv2d(channels, outputs, 3, padding=1, bias=False, rng=rng))
            setattr(self, f"bn{position}", BatchNorm2d(outputs))
            channels = outputs
        self.fc = Linear(channels * (height // 8) * (width // 8), classes, rng=rng)

    def forward(self, x: Tensor) -> Tensor:
        for position in range(1, len(CHANNELS) + 1):
            x = getattr(self, f"bn{position}")(getattr(self, f"conv{position}")(x), relu=True)
            if position % 2 == 0:
                x = ops.max_pool(x, 2)
        return self.fc(ops.reshape(x, (x.shape[0], -1)))


def vgg_small(input_shape: tuple[int, int, int] = (3, 32, 32), classes: int = 10, seed: int = 0) -> VGGSmall:
    """VGG-small with random weights from `seed`: 4.7 million parameters, 0.6 billion multiply-adds on 32x32.

    >>> net = elq.models.vgg_small()
    >>> len(net.quantizable()), sum(p.data.size for _, p in net.named_parameters())
    (7, 4660106)
    """
    return VGGSmall(input_shape, classes, seed)
