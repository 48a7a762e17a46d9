"""The small network of `elq demo`."""

import numpy as np

from .. import ops
from ..nn import BatchNorm2d, Conv2d, Linear, Module
from ..tensor import Tensor


class DigitsCNN(Module):
    """Three 3x3 convolutions with BatchNorm (32, 64, 64 channels), pooling after the second, a linear classifier."""

    def __init__(self, input_shape: tuple[int, int, int] = (1, 8, 8), classes: int = 10, seed: int = 0) -> None:
        channels, height, width = input_shape
        if min(height, width) < 2:
            raise ValueError(f"digits_cnn wants pictures of at least 2x2, given {height}x{width}")
        rng = np.random.default_rng(seed)
        self.conv1 = Conv2d(channels, 32, 3, padding=1, bias=False, rng=rng)
        self.bn1 = BatchNorm2d(32)
        self.conv2 = Conv2d(32, 64, 3, padding=1, bias=False, rng=rng)
        self.bn2 = BatchNorm2d(64)
        self.conv3 = Conv2d(64, 64, 3, padding=1, bias=False, rng=rng)
        self.bn3 = BatchNorm2d(64)
        self.fc = Linear(64, classes, rng=rng)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x), relu=True)
        x = ops.max_pool(self.bn2(self.conv2(x), relu=True), 2)
        x = self.bn3(self.conv3(x), relu=True)
        return self.fc(ops.global_avg_pool(x))


def digits_cnn(input_shape: tuple[int, int, int] = (1, 8, 8), classes: int = 10, seed: int = 0) -> DigitsCNN:
    """The demo's network with random weights from `seed`: 0.057 million parameters.

    >>> net = elq.models.digits_cnn()
    >>> len(net.quantizable()), sum(p.data.size for _, p in net.named_parameters())
    (4, 56554)
    """
    return DigitsCNN(input_shape, classes, seed)
