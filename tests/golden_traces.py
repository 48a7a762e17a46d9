"""Shared by the tests that replay golden traces: where they are, and the network they were made with."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from elq_ref import ops
from elq_ref.nn import BatchNorm2d, Conv2d, Linear, Module
from elq_ref.tensor import Tensor

FOLDER = Path(__file__).parent / "golden"


class SmallCNN(Module):
    """conv 3x3 - bn - relu - max pool - conv 3x3 / 2 - bn - relu - linear, sized as the given weights."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        rng = np.random.default_rng(0)
        (a, _, _, _), (b, _, _, _) = weights["conv1.weight"].shape, weights["conv2.weight"].shape
        self.conv1 = Conv2d(1, a, 3, padding=1, bias=False, rng=rng)
        self.bn1 = BatchNorm2d(a)
        self.conv2 = Conv2d(a, b, 3, padding=1, stride=2, bias=False, rng=rng)
        self.bn2 = BatchNorm2d(b)
        self.fc = Linear(*weights["fc.weight"].shape[::-1], rng=rng)

    def forward(self, x: Tensor) -> Tensor:
        x = ops.max_pool(ops.relu(self.bn1(self.conv1(x))), 2)
        x = ops.relu(self.bn2(self.conv2(x)))
        return self.fc(ops.reshape(x, (x.shape[0], -1)))


class _Unnamed:
    name = "golden"

    def __len__(self) -> int:
        return 0


class GivenBatches:
    """Batches of a trace, in their order, `per_epoch` of them an epoch."""

    dataset, batch_size, seed, augment = _Unnamed(), 0, 0, None

    def __init__(self, batches: list[tuple[np.ndarray, np.ndarray]], per_epoch: int) -> None:
        self.batches, self.per_epoch = batches, per_epoch

    def __len__(self) -> int:
        return self.per_epoch

    def order(self, epoch: int) -> np.ndarray:
        return np.arange(sum(len(x) for x, _ in self.epoch(epoch)))

    def epoch(self, epoch: int, first: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield from self.batches[epoch * self.per_epoch + first : (epoch + 1) * self.per_epoch]


def part(group: dict[str, np.ndarray], kind: str) -> dict[str, np.ndarray]:
    """The tensors KIND/NAME of a step by NAME."""
    return {key[len(kind) + 1 :]: value for key, value in group.items() if key.startswith(f"{kind}/")}


def network(weights: dict[str, np.ndarray], buffers: dict[str, np.ndarray]) -> SmallCNN:
    """The small network in the dtype of `weights`, with these parameters and running statistics."""
    net = SmallCNN(weights)
    net.astype(weights["fc.weight"].dtype)
    net.load_state_dict({**weights, **buffers})
    return net
