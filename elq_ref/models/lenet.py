"""LeNet-5 (LeCun et al. 1998), with ReLU and max pooling as in today's re-implementations."""

import numpy as np

from .. import ops
from ..nn import Conv2d, Linear, Module
from ..tensor import Tensor


class LeNet5(Module):
    """conv 5x5 6 - pool - conv 5x5 16 - pool - 120 - 84 - classes, with names conv1 conv2 fc1 fc2 fc3.

    The original reads 32x32. A convolution is padded by 2 where the picture would otherwise be too small: the first
    below 32 pixels (28x28 behaves as in the original), the second below 20 (so 8x8 works).
    """

    def __init__(self, input_shape: tuple[int, int, int] = (1, 28, 28), classes: int = 10, seed: int = 0) -> None:
        channels, height, width = input_shape
        least = min(height, width)
        if least < 4:
            raise ValueError(f"lenet5 wants pictures of at least 4x4, given {height}x{width}")
        rng = np.random.default_rng(seed)
        pads = (2 if least < 32 else 0, 2 if least < 20 else 0)
        size = [height, width]
        for p in pads:
            size = [(n + 2 * p - 4) // 2 for n in size]
        self.conv1 = Conv2d(channels, 6, 5, padding=pads[0], rng=rng)
        self.conv2 = Conv2d(6, 16, 5, padding=pads[1], rng=rng)
        self.fc1 = Linear(16 * size[0] * size[1], 120, rng=rng)
        self.fc2 = Linear(120, 84, rng=rng)
        self.fc3 = Linear(84, classes, rng=rng)

    def forward(self, x: Tensor) -> Tensor:
        x = ops.max_pool(ops.relu(self.conv1(x)), 2)
        x = ops.max_pool(ops.relu(self.conv2(x)), 2)
        x = ops.reshape(x, (x.shape[0], -1))
        return self.fc3(ops.relu(self.fc2(ops.relu(self.fc1(x)))))


def lenet5(input_shape: tuple[int, int, int] = (1, 28, 28), classes: int = 10, seed: int = 0) -> LeNet5:
    """LeNet-5 with random weights from `seed`.

    >>> net = elq.models.lenet5()
    >>> len(net.quantizable()), sum(p.data.size for _, p in net.named_parameters())
    (5, 61706)
    """
    return LeNet5(input_shape, classes, seed)
