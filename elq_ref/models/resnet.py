"""ResNets for ImageNet (He et al. 2016, table 1), with option B: 1x1 convolutions where a block changes the size.

Names, order and shapes are torchvision's, so that its state dicts load. Convolutions start with He's normal numbers: by
fan_out, as there, and those of `resnet18` by fan_in.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from .. import ops
from ..nn import BatchNorm2d, Conv2d, Linear, Module, Sequential
from ..nn.initial import Initial, he, he_fan_out, uniform
from ..tensor import Tensor

CHANNELS = (64, 128, 256, 512)


class BasicBlock(Module):
    """relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)), two 3x3 convolutions, the first with the stride.

    The shortcut is x, or `downsample` (1x1 convolution with the stride, BatchNorm) where size or channels change.
    """

    expansion = 1  # output channels / `width`

    def __init__(self, conv: Callable[..., Conv2d], channels: int, width: int, stride: int) -> None:
        self.conv1 = conv(channels, width, 3, stride=stride, padding=1)
        self.bn1 = BatchNorm2d(width)
        self.conv2 = conv(width, width, 3, padding=1)
        self.bn2 = BatchNorm2d(width)
        self.downsample = _downsample(conv, channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn1(self.conv1(x), relu=True)
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.bn2(self.conv2(y), residual=shortcut, relu=True)


class Bottleneck(Module):
    """relu(bn3(conv3(relu(bn2(conv2(relu(bn1(conv1(x)))))))) + shortcut(x)): 1x1, 3x3 with the stride, 1x1.

    The paper's has the stride in the first one; torchvision's, and this, has it where no pixel is passed over.
    """

    expansion = 4

    def __init__(self, conv: Callable[..., Conv2d], channels: int, width: int, stride: int) -> None:
        outputs = width * self.expansion
        self.conv1 = conv(channels, width, 1)
        self.bn1 = BatchNorm2d(width)
        self.conv2 = conv(width, width, 3, stride=stride, padding=1)
        self.bn2 = BatchNorm2d(width)
        self.conv3 = conv(width, outputs, 1)
        self.bn3 = BatchNorm2d(outputs)
        self.downsample = _downsample(conv, channels, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.bn1(self.conv1(x), relu=True)), relu=True)
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.bn3(self.conv3(y), residual=shortcut, relu=True)


def _downsample(conv: Callable[..., Conv2d], channels: int, outputs: int, stride: int) -> Sequential | None:
    """The shortcut of a block that changes size or channels."""
    if stride == 1 and channels == outputs:
        return None
    return Sequential(conv(channels, outputs, 1, stride=stride), BatchNorm2d(outputs))


class ResNet(Module):
    """conv 7x7/2 - max pool 3x3/2 - four groups of blocks with 64, 128, 256, 512 channels - mean - linear.

    blocks: how many each group has; starts: with what convolutions and the linear layer start.
    """

    layer1: Sequential
    layer2: Sequential
    layer3: Sequential
    layer4: Sequential

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        blocks: tuple[int, int, int, int],
        input_shape: tuple[int, int, int],
        classes: int,
        seed: int,
        starts: tuple[Initial, Initial] = (he_fan_out, uniform),
    ) -> None:
        rng = np.random.default_rng(seed)
        conv = partial(Conv2d, bias=False, rng=rng, initial=starts[0])
        channels = CHANNELS[0]
        self.conv1 = conv(input_shape[0], channels, 7, stride=2, padding=3)
        self.bn1 = BatchNorm2d(channels)
        for group, (width, count) in enumerate(zip(CHANNELS, blocks, strict=True), 1):
            inputs = [channels] + [width * block.expansion] * (count - 1)
            made = [block(conv, n, width, 2 if group > 1 and k == 0 else 1) for k, n in enumerate(inputs)]
            setattr(self, f"layer{group}", Sequential(*made))
            channels = width * block.expansion
        self.fc = Linear(channels, classes, rng=rng, initial=starts[1])

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x), relu=True)
        x = ops.max_pool(x, 3, 2, padding=1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(ops.global_avg_pool(x))


def resnet18(input_shape: tuple[int, int, int] = (3, 224, 224), classes: int = 1000, seed: int = 0) -> ResNet:
    """ResNet-18: 11.69 million parameters, 1.81 billion multiply-adds on 224x224.

    >>> net = elq.models.resnet18()
    >>> len(net.quantizable()), sum(p.data.size for _, p in net.named_parameters())
    (21, 11689512)
    """
    return ResNet(BasicBlock, (2, 2, 2, 2), input_shape, classes, seed, (he, he))


def resnet34(input_shape: tuple[int, int, int] = (3, 224, 224), classes: int = 1000, seed: int = 0) -> ResNet:
    """ResNet-34: 21.80 million parameters, 3.66 billion multiply-adds on 224x224.

    >>> net = elq.models.resnet34()
    >>> len(net.quantizable()), sum(p.data.size for _, p in net.named_parameters())
    (37, 21797672)
    """
    return ResNet(BasicBlock, (3, 4, 6, 3), input_shape, classes, seed)


def resnet50(input_shape: tuple[int, int, int] = (3, 224, 224), classes: int = 1000, seed: int = 0) -> ResNet:
    """ResNet-50: 25.56 million parameters, 4.09 billion multiply-adds on 224x224.

    >>> net = elq.models.resnet50()
    >>> len(net.quantizable()), sum(p.data.size for _, p in net.named_parameters())
    (54, 25557032)
    """
    return ResNet(Bottleneck, (3, 4, 6, 3), input_shape, classes, seed)
