"""ResNets for CIFAR (He et al. 2016, section 4.2): 6n + 2 layers, shortcuts without parameters (option A)."""

import numpy as np

from .. import ops
from ..nn import BatchNorm2d, Conv2d, Linear, Module, Sequential
from ..tensor import Tensor


class BasicBlock(Module):
    """relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)), two 3x3 convolutions.

    Where the size changes, the shortcut keeps every second row and column and adds zero channels on both sides.
    """

    def __init__(self, rng: np.random.Generator, channels: int, outputs: int, stride: int) -> None:
        self.conv1 = Conv2d(channels, outputs, 3, stride=stride, padding=1, bias=False, rng=rng)
        self.bn1 = BatchNorm2d(outputs)
        self.conv2 = Conv2d(outputs, outputs, 3, padding=1, bias=False, rng=rng)
        self.bn2 = BatchNorm2d(outputs)
        self.stride, self.added = stride, outputs - channels

    def shortcut(self, x: Tensor) -> Tensor:
        """x itself, or option A where the block changes the size."""
        if self.stride == 1 and self.added == 0:
            return x
        before = self.added // 2
        return ops.pad(ops.subsample(x, self.stride), (0, before, 0, 0), (0, self.added - before, 0, 0))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn1(self.conv1(x), relu=True)
        return self.bn2(self.conv2(y), residual=self.shortcut(x), relu=True)


class ResNetCifar(Module):
    """conv 16 - three groups of n blocks with 16, 32, 64 channels - global average - linear."""

    layer1: Sequential
    layer2: Sequential
    layer3: Sequential

    def __init__(self, depth: int, input_shape: tuple[int, int, int], classes: int, seed: int) -> None:
        channels, height, width = input_shape
        if min(height, width) < 4:
            raise ValueError(f"resnet{depth} wants pictures of at least 4x4, given {height}x{width}")
        rng = np.random.default_rng(seed)
        self.conv1 = Conv2d(channels, 16, 3, padding=1, bias=False, rng=rng)
        self.bn1 = BatchNorm2d(16)
        width = 16
        for group, outputs in enumerate((16, 32, 64), 1):
            blocks = []
            for position in range((depth - 2) // 6):
                blocks.append(BasicBlock(rng, width, outputs, 2 if group > 1 and position == 0 else 1))
                width = outputs
            setattr(self, f"layer{group}", Sequential(*blocks))
        self.linear = Linear(64, classes, rng=rng)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x), relu=True)
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(ops.global_avg_pool(x))


def resnet20(input_shape: tuple[int, int, int] = (3, 32, 32), classes: int = 10, seed: int = 0) -> ResNetCifar:
    """ResNet-20: 0.27 million parameters, 41 million multiply-adds on 32x32.

    >>> net = elq.models.resnet20()
    >>> len(net.quantizable()), sum(p.data.size for _, p in net.named_parameters())
    (20, 269722)
    """
    return ResNetCifar(20, input_shape, classes, seed)


def resnet32(input_shape: tuple[int, int, int] = (3, 32, 32), classes: int = 10, seed: int = 0) -> ResNetCifar:
    """ResNet-32.

    >>> net = elq.models.resnet32()
    >>> len(net.quantizable()), sum(p.data.size for _, p in net.named_parameters())
    (32, 464154)
    """
    return ResNetCifar(32, input_shape, classes, seed)


def resnet44(input_shape: tuple[int, int, int] = (3, 32, 32), classes: int = 10, seed: int = 0) -> ResNetCifar:
    """ResNet-44.

    >>> net = elq.models.resnet44()
    >>> len(net.quantizable()), sum(p.data.size for _, p in net.named_parameters())
    (44, 658586)
    """
    return ResNetCifar(44, input_shape, classes, seed)


def resnet56(input_shape: tuple[int, int, int] = (3, 32, 32), classes: int = 10, seed: int = 0) -> ResNetCifar:
    """ResNet-56.

    >>> net = elq.models.resnet56()
    >>> len(net.quantizable()), sum(p.data.size for _, p in net.named_parameters())
    (56, 853018)
    """
    return ResNetCifar(56, input_shape, classes, seed)


def resnet110(input_shape: tuple[int, int, int] = (3, 32, 32), classes: int = 10, seed: int = 0) -> ResNetCifar:
    """ResNet-110.

    >>> net = elq.models.resnet110()
    >>> len(net.quantizable()), sum(p.data.size for _, p in net.named_parameters())
    (110, 1727962)
    """
    return ResNetCifar(110, input_shape, classes, seed)
