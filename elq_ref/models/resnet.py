"""ResNet-18 for ImageNet (He et al. 2016, table 1), with option B: 1x1 convolutions where a block changes the size.

Names, order and shapes are torchvision's `resnet18`, so that its state dicts load.
"""

import numpy as np

from .. import ops
from ..nn import BatchNorm2d, Conv2d, Linear, Module, Sequential
from ..tensor import Tensor

CHANNELS = (64, 128, 256, 512)


class BasicBlock(Module):
    """relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)), two 3x3 convolutions, the first with the stride.

    The shortcut is x, or `downsample` (1x1 convolution with the stride, BatchNorm) where size or channels change.
    """

    def __init__(self, rng: np.random.Generator, channels: int, outputs: int, stride: int) -> None:
        self.conv1 = Conv2d(channels, outputs, 3, stride=stride, padding=1, bias=False, rng=rng)
        self.bn1 = BatchNorm2d(outputs)
        self.conv2 = Conv2d(outputs, outputs, 3, padding=1, bias=False, rng=rng)
        self.bn2 = BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or channels != outputs:
            projection = Conv2d(channels, outputs, 1, stride=stride, bias=False, rng=rng)
            self.downsample = Sequential(projection, BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn1(self.conv1(x), relu=True)
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.bn2(self.conv2(y), residual=shortcut, relu=True)


class ResNet(Module):
    """conv 7x7/2 - max pool 3x3/2 - four groups of two blocks with 64, 128, 256, 512 channels - mean - linear."""

    layer1: Sequential
    layer2: Sequential
    layer3: Sequential
    layer4: Sequential

    def __init__(self, input_shape: tuple[int, int, int], classes: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        width = CHANNELS[0]
        self.conv1 = Conv2d(input_shape[0], width, 7, stride=2, padding=3, bias=False, rng=rng)
        self.bn1 = BatchNorm2d(width)
        for group, outputs in enumerate(CHANNELS, 1):
            first = BasicBlock(rng, width, outputs, 1 if group == 1 else 2)
            setattr(self, f"layer{group}", Sequential(first, BasicBlock(rng, outputs, outputs, 1)))
            width = outputs
        self.fc = Linear(width, classes, rng=rng)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x), relu=True)
        # Padding of a maximum is minus infinity. After a ReLU zeros do the same exactly: every window holds a pixel,
        # and that is at least 0. The gradient is the same too: where only zeros are, the ReLU's is 0.
        x = ops.max_pool(ops.pad(x, (0, 0, 1, 1), (0, 0, 1, 1)), 3, 2)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(ops.global_avg_pool(x))


def resnet18(input_shape: tuple[int, int, int] = (3, 224, 224), classes: int = 1000, seed: int = 0) -> ResNet:
    """ResNet-18: 11.69 million parameters, 1.81 billion multiply-adds on 224x224.

    >>> net = elq.models.resnet18()
    >>> len(net.quantizable()), sum(p.data.size for _, p in net.named_parameters())
    (21, 11689512)
    """
    return ResNet(input_shape, classes, seed)
