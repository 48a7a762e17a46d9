"""VGG-16 for ImageNet (Simonyan and Zisserman 2015, configuration D), with and without BatchNorm.

Names, order and shapes are torchvision's, so that its state dicts load.
"""

import numpy as np

from .. import ops
from ..nn import AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Dropout, Linear, MaxPool2d, Module, ReLU, Sequential
from ..nn.initial import he_fan_out, normal
from ..tensor import Tensor

CHANNELS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # a pool after each group
LEAST = 32  # pixels of a side: one is left after the fifth pool
HIDDEN = 4096


class VGG16(Module):
    """Thirteen 3x3 convolutions in five groups, the mean over 7x7 parts, three linear layers."""

    def __init__(self, input_shape: tuple[int, int, int], classes: int, seed: int, batch_norm: bool) -> None:
        channels, height, width = input_shape
        if min(height, width) < LEAST:
            name = "vgg16_bn" if batch_norm else "vgg16"
            raise ValueError(f"{name} wants pictures of at least {LEAST}x{LEAST}, given {height}x{width}")
        rng = np.random.default_rng(seed)
        layers: list[Module] = []
        for group in CHANNELS:
            for outputs in group:
                layers.append(Conv2d(channels, outputs, 3, padding=1, rng=rng, initial=he_fan_out))
                layers += [BatchNorm2d(outputs), ReLU()] if batch_norm else [ReLU()]
                channels = outputs
            layers.append(MaxPool2d(2))
        self.features, self.avgpool = Sequential(*layers), AdaptiveAvgPool2d(7)
        inputs, small = channels * 7 * 7, normal(0.01)
        first, second = (Linear(n, HIDDEN, rng=rng, initial=small) for n in (inputs, HIDDEN))
        last = Linear(HIDDEN, classes, rng=rng, initial=small)
        self.classifier = Sequential(first, ReLU(), Dropout(), second, ReLU(), Dropout(), last)

    def forward(self, x: Tensor) -> Tensor:
        normalized = False
        for module in self.features:
            if isinstance(module, BatchNorm2d):
                x = module(x, relu=True)  # one operation with the ReLU that follows
            elif not (normalized and isinstance(module, ReLU)):
                x = module(x)
            normalized = isinstance(module, BatchNorm2d)
        x = self.avgpool(x)
        return self.classifier(ops.reshape(x, (x.shape[0], -1)))


def vgg16(input_shape: tuple[int, int, int] = (3, 224, 224), classes: int = 1000, seed: int = 0) -> VGG16:
    """VGG-16: 138.36 million parameters (124 of them in the linear layers), 15.5 billion multiply-adds on 224x224.

    >>> net = elq.models.vgg16(classes=10)
    >>> len(net.quantizable()), sum(p.data.size for _, p in net.named_parameters())
    (16, 134301514)
    """
    return VGG16(input_shape, classes, seed, batch_norm=False)


def vgg16_bn(input_shape: tuple[int, int, int] = (3, 224, 224), classes: int = 1000, seed: int = 0) -> VGG16:
    """VGG-16 with BatchNorm behind every convolution: 138.37 million parameters.

    >>> net = elq.models.vgg16_bn(classes=10)
    >>> net.features[1].running_var.shape, net.classifier[0].weight.shape
    ((64,), (4096, 25088))
    """
    return VGG16(input_shape, classes, seed, batch_norm=True)
