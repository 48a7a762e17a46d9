"""AlexNet for ImageNet: torchvision's, without normalization, and the one of 2012, with it and with groups.

Names, order and shapes of `alexnet` are torchvision's (Krizhevsky 2014, "One weird trick", one column), so that its
state dicts load. `alexnet_lrn` is Krizhevsky, Sutskever, Hinton 2012: 96 to 384 channels, the second, fourth and fifth
convolution in two groups, and after the ReLU of the first two x / (2 + 1e-4 sum of x^2 over 5 channels)^0.75 (section
3.3 there; Caffe's copy of it has 1 for 2, and the 1e-4 divided by 5).
"""

import numpy as np

from .. import ops
from ..nn import AdaptiveAvgPool2d, Conv2d, Dropout, Linear, LocalResponseNorm, MaxPool2d, Module, ReLU, Sequential
from ..nn.initial import normal, uniform
from ..tensor import Tensor

LEAST = 63  # pixels of a side: one is left after the third pool
HIDDEN = 4096


class AlexNet(Module):
    """Five convolutions, pools after the first two and the last, the mean over 6x6 parts, three linear layers."""

    def __init__(self, features: Sequential, classifier: Sequential) -> None:
        self.features, self.avgpool, self.classifier = features, AdaptiveAvgPool2d(6), classifier

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))
        return self.classifier(ops.reshape(x, (x.shape[0], -1)))


def alexnet(input_shape: tuple[int, int, int] = (3, 224, 224), classes: int = 1000, seed: int = 0) -> AlexNet:
    """AlexNet: 61.10 million parameters, 0.71 billion multiply-adds on 224x224.

    >>> net = elq.models.alexnet(classes=10)
    >>> len(net.quantizable()), sum(p.data.size for _, p in net.named_parameters())
    (8, 57044810)
    """
    _check("alexnet", input_shape)
    rng = np.random.default_rng(seed)
    features = Sequential(
        Conv2d(input_shape[0], 64, 11, stride=4, padding=2, rng=rng, initial=uniform),
        ReLU(),
        MaxPool2d(3, 2),
        Conv2d(64, 192, 5, padding=2, rng=rng, initial=uniform),
        ReLU(),
        MaxPool2d(3, 2),
        Conv2d(192, 384, 3, padding=1, rng=rng, initial=uniform),
        ReLU(),
        Conv2d(384, 256, 3, padding=1, rng=rng, initial=uniform),
        ReLU(),
        Conv2d(256, 256, 3, padding=1, rng=rng, initial=uniform),
        ReLU(),
        MaxPool2d(3, 2),
    )
    hidden = [Linear(inputs, HIDDEN, rng=rng, initial=uniform) for inputs in (256 * 6 * 6, HIDDEN)]
    return AlexNet(features, _classifier(hidden, Linear(HIDDEN, classes, rng=rng, initial=uniform)))


def alexnet_lrn(input_shape: tuple[int, int, int] = (3, 224, 224), classes: int = 1000, seed: int = 0) -> AlexNet:
    """The AlexNet of 2012: 60.97 million parameters. It starts as section 5 there says: normal with standard deviation
    0.01, biases 1 in the second, fourth and fifth convolution and the hidden linear layers, else 0.

    >>> net = elq.models.alexnet_lrn(classes=10)
    >>> len(net.quantizable()), sum(p.data.size for _, p in net.named_parameters())
    (8, 56909194)
    """
    _check("alexnet_lrn", input_shape)
    rng, zero, one = np.random.default_rng(seed), normal(0.01), normal(0.01, 1.0)
    size = 5
    features = Sequential(
        Conv2d(input_shape[0], 96, 11, stride=4, padding=2, rng=rng, initial=zero),
        ReLU(),
        LocalResponseNorm(size, alpha=size * 1e-4, beta=0.75, k=2.0),
        MaxPool2d(3, 2),
        Conv2d(96, 256, 5, padding=2, groups=2, rng=rng, initial=one),
        ReLU(),
        LocalResponseNorm(size, alpha=size * 1e-4, beta=0.75, k=2.0),
        MaxPool2d(3, 2),
        Conv2d(256, 384, 3, padding=1, rng=rng, initial=zero),
        ReLU(),
        Conv2d(384, 384, 3, padding=1, groups=2, rng=rng, initial=one),
        ReLU(),
        Conv2d(384, 256, 3, padding=1, groups=2, rng=rng, initial=one),
        ReLU(),
        MaxPool2d(3, 2),
    )
    hidden = [Linear(inputs, HIDDEN, rng=rng, initial=one) for inputs in (256 * 6 * 6, HIDDEN)]
    return AlexNet(features, _classifier(hidden, Linear(HIDDEN, classes, rng=rng, initial=zero)))


def _check(name: str, input_shape: tuple[int, int, int]) -> None:
    _, height, width = input_shape
    if min(height, width) < LEAST:
        raise ValueError(f"{name} wants pictures of at least {LEAST}x{LEAST}, given {height}x{width}")


def _classifier(hidden: list[Linear], last: Linear) -> Sequential:
    """Dropout of a half before both hidden layers."""
    first, second = hidden
    return Sequential(Dropout(), first, ReLU(), Dropout(), second, ReLU(), last)
