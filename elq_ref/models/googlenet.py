"""GoogLeNet for ImageNet (Szegedy et al. 2015): torchvision's, with BatchNorm, and the original, with LRN.

Names, order and shapes of `googlenet` are torchvision's, so that its state dicts load; what that departs from the paper
in is kept: BatchNorm and no biases, 3x3 where the paper has 5x5, dropout of 0.2 for 0.4. `googlenet_lrn` has what the
paper has, and x / (1 + 1e-4/5 sum of x^2 over 5 channels)^0.75 where its table says LocalRespNorm: its constants, and
what the layers start with, are those of Caffe's bvlc_googlenet, since the paper names none. The auxiliary heads of
both take the mean over 4x4 parts as torchvision's do, for any size of picture; the paper's 5x5 windows fit one.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from .. import ops
from ..nn import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    Module,
    Sequential,
)
from ..nn.initial import normal, uniform, xavier
from ..nn.module import Loss
from ..tensor import Tensor, mul

LEAST, LEAST_LRN = 15, 31  # pixels of a side: one is left after the fourth pool, which is larger in the original
AUXILIARY_WEIGHT = 0.3  # of the loss of each auxiliary head (section 5 of the paper)
_HEADS = ("aux1", "aux2")
_INCEPTIONS = {  # name: input channels, then those of 1x1, 3x3 reduced, 3x3, 5x5 reduced, 5x5, after the pool
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}


class NormedConv(Module):
    """Convolution, BatchNorm, ReLU."""

    def __init__(self, rng: np.random.Generator, channels: int, outputs: int, size: int, stride: int = 1) -> None:
        self.conv = Conv2d(channels, outputs, size, stride, size // 2, bias=False, rng=rng, initial=normal(0.01))
        self.bn = BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x), relu=True)


class PlainConv(Module):
    """Convolution with a bias, ReLU."""

    def __init__(self, rng: np.random.Generator, channels: int, outputs: int, size: int, stride: int = 1) -> None:
        self.conv = Conv2d(channels, outputs, size, stride, size // 2, rng=rng, initial=xavier(0.2))

    def forward(self, x: Tensor) -> Tensor:
        return ops.relu(self.conv(x))


Conv = Callable[..., NormedConv | PlainConv]  # (channels, outputs, size, stride=1)


class Inception(Module):
    """Channels of four branches: 1x1; 1x1 then 3x3; 1x1 then `large`; maxima over 3x3 then 1x1."""

    def __init__(self, conv: Conv, large: int, channels: tuple[int, ...]) -> None:
        inputs, one, reduced3, three, reduced5, five, pooled = channels
        self.branch1 = conv(inputs, one, 1)
        self.branch2 = Sequential(conv(inputs, reduced3, 1), conv(reduced3, three, 3))
        self.branch3 = Sequential(conv(inputs, reduced5, 1), conv(reduced5, five, large))
        self.branch4 = Sequential(MaxPool2d(3, 1, 1), conv(inputs, pooled, 1))

    def forward(self, x: Tensor) -> Tensor:
        return ops.concat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)])


class AuxiliaryHead(Module):
    """A classifier in the middle of the network: mean over 4x4 parts, 1x1 convolution, two linear layers."""

    def __init__(self, conv: Conv, linear: Callable[[int, int], Linear], channels: int, classes: int) -> None:
        self.pool, self.dropout = AdaptiveAvgPool2d(4), Dropout(0.7)
        self.conv = conv(channels, 128, 1)
        self.fc1 = linear(128 * 4 * 4, 1024)
        self.fc2 = linear(1024, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(self.pool(x))
        x = ops.relu(self.fc1(ops.reshape(x, (x.shape[0], -1))))
        return self.fc2(self.dropout(x))


class GoogLeNet(Module):
    """Three convolutions, nine inceptions, mean, linear; behind the inceptions 4a and 4d heads for training.

    A state dict without the tensors of the heads, as torchvision's of a network whose heads were taken off, leaves the
    network without them.
    """

    training_only = _HEADS

    def __init__(self, input_shape: tuple[int, int, int], classes: int, seed: int, lrn: bool) -> None:
        channels, height, width = input_shape
        name, least = ("googlenet_lrn", LEAST_LRN) if lrn else ("googlenet", LEAST)
        if min(height, width) < least:
            raise ValueError(f"{name} wants pictures of at least {least}x{least}, given {height}x{width}")
        rng = np.random.default_rng(seed)
        conv: Conv = partial(PlainConv if lrn else NormedConv, rng)
        linear = partial(Linear, rng=rng, initial=xavier(0.0) if lrn else _small)
        self.lrn = LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0) if lrn else None
        self.conv1, self.conv2, self.conv3 = conv(channels, 64, 7, 2), conv(64, 64, 1), conv(64, 192, 3)
        for name, widths in _INCEPTIONS.items():
            setattr(self, f"inception{name}", Inception(conv, 5 if lrn else 3, widths))
        self.aux1: AuxiliaryHead | None = AuxiliaryHead(conv, linear, _INCEPTIONS["4b"][0], classes)
        self.aux2: AuxiliaryHead | None = AuxiliaryHead(conv, linear, _INCEPTIONS["4e"][0], classes)
        self.dropout = Dropout(0.4 if lrn else 0.2)
        self.fc = linear(1024, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self._end(self._inceptions(self._inceptions(self._start(x), "4a"), "4b 4c 4d"))

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Outputs of the network and of its auxiliary heads, aux1 and aux2. ValueError where it has none."""
        if self.aux1 is None or self.aux2 is None:
            raise ValueError("the network has no auxiliary heads: the state dict that it was loaded from had none")
        x = self._inceptions(self._start(x), "4a")
        first = self.aux1(x)
        x = self._inceptions(x, "4b 4c 4d")
        second = self.aux2(x)
        return self._end(x), first, second

    def training_loss(self, x: Tensor, labels: np.ndarray, loss: Loss) -> Tensor:
        """The loss of the output, and 0.3 of that of each head."""
        if self.aux1 is None:
            return loss(self(x), labels)
        total, *others = (loss(output, labels) for output in self.heads(x))
        for other in others:
            total = total + mul(other, Tensor(np.full(other.shape, AUXILIARY_WEIGHT, other.dtype)))
        return total

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        kept = self.aux1, self.aux2
        if not any(name.startswith(tuple(f"{head}." for head in _HEADS)) for name in state):
            self.aux1 = self.aux2 = None
        try:
            super().load_state_dict(state)
        except ValueError:
            self.aux1, self.aux2 = kept
            raise

    def _start(self, x: Tensor) -> Tensor:
        """To the end of 3b and its pool."""
        x = ops.max_pool(self.conv1(x), 3, 2, ceil_mode=True)
        x = self.conv3(self.conv2(x if self.lrn is None else self.lrn(x)))
        x = ops.max_pool(x if self.lrn is None else self.lrn(x), 3, 2, ceil_mode=True)
        return ops.max_pool(self._inceptions(x, "3a 3b"), 3, 2, ceil_mode=True)

    def _inceptions(self, x: Tensor, names: str) -> Tensor:
        for name in names.split():
            x = getattr(self, f"inception{name}")(x)
        return x

    def _end(self, x: Tensor) -> Tensor:
        """From 4e on."""
        size = 3 if self.lrn else 2
        x = ops.max_pool(self._inceptions(x, "4e"), size, 2, ceil_mode=True)
        x = ops.global_avg_pool(self._inceptions(x, "5a 5b"))
        return self.fc(self.dropout(x))


def _small(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """torchvision's: weights normal with standard deviation 0.01, biases as PyTorch's layers start."""
    return normal(0.01)(rng, shape)[0], uniform(rng, shape)[1]


def googlenet(input_shape: tuple[int, int, int] = (3, 224, 224), classes: int = 1000, seed: int = 0) -> GoogLeNet:
    """GoogLeNet: 6.62 million parameters, 1.5 billion multiply-adds on 224x224, and 6.38 million of its two heads.

    >>> net = elq.models.googlenet()
    >>> sizes = [(name.startswith("aux"), p.data.size) for name, p in net.named_parameters()]
    >>> len(net.quantizable()), sum(n for aux, n in sizes if not aux), sum(n for aux, n in sizes if aux)
    (58, 6624904, 6379984)
    """
    return GoogLeNet(input_shape, classes, seed, lrn=False)


def googlenet_lrn(input_shape: tuple[int, int, int] = (3, 224, 224), classes: int = 1000, seed: int = 0) -> GoogLeNet:
    """The original GoogLeNet, without BatchNorm.

    >>> net = elq.models.googlenet_lrn()
    >>> net.inception3a.branch3[1].conv.weight.shape
    (32, 16, 5, 5)
    """
    return GoogLeNet(input_shape, classes, seed, lrn=True)
