"""Whole networks on int8 activations for the emulated boards, and pictures for them.

Trained: LeNet-5 on the digits (a file of examples/) and on MNIST (here, in a minute), ResNet-20 on CIFAR-10 (files of
benchmarks/results). With random weights: VGG-small and a depthwise-separable network.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

import elq_ref as elq
from elq_ref import datasets, models, ops
from elq_ref.deploy import calibrate
from elq_ref.nn import BatchNorm2d, Conv2d, Linear, Module
from elq_ref.runtime import PackedNetwork
from elq_ref.tensor import Tensor
from elq_ref.training.evaluate import reestimate

ROOT = Path(__file__).parents[2]
Found = tuple[PackedNetwork, np.ndarray]  # and pictures uint8 (N, C, H, W)
CALIBRATED_ON = 256  # pictures


class DepthwiseSeparable(Module):
    """conv 3x3 16 - four times (depthwise 3x3, BatchNorm, ReLU, pointwise, BatchNorm, ReLU) - mean - linear."""

    BLOCKS = ((32, 1), (64, 2), (64, 1), (128, 2))  # outputs, stride

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.conv = Conv2d(3, 16, 3, padding=1, bias=False, rng=rng)
        self.bn = BatchNorm2d(16)
        channels = 16
        for k, (outputs, stride) in enumerate(self.BLOCKS):
            depthwise = Conv2d(channels, channels, 3, stride=stride, padding=1, groups=channels, bias=False, rng=rng)
            setattr(self, f"depthwise{k}", depthwise)
            setattr(self, f"bn{k}a", BatchNorm2d(channels))
            setattr(self, f"pointwise{k}", Conv2d(channels, outputs, 1, bias=False, rng=rng))
            setattr(self, f"bn{k}b", BatchNorm2d(outputs))
            channels = outputs
        self.fc = Linear(channels, 10, rng=rng)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x), relu=True)
        for k in range(len(self.BLOCKS)):
            x = getattr(self, f"bn{k}a")(getattr(self, f"depthwise{k}")(x), relu=True)
            x = getattr(self, f"bn{k}b")(getattr(self, f"pointwise{k}")(x), relu=True)
        return self.fc(ops.global_avg_pool(x))


def untrained(net: Module, seed: int = 0) -> Found:
    """A network for pictures 3x32x32 with random ternary weights, BatchNorm that fits them, and random pictures."""
    rng = np.random.default_rng(seed)
    pictures = rng.integers(0, 256, (32, 3, 32, 32), np.uint8)
    for weight in net.quantizable().values():
        codes, alpha = elq.ternarize(weight.data)
        weight.data = alpha * codes
    normalization = datasets.Normalization((0.5,) * 3, (0.25,) * 3)
    like = datasets.Dataset(pictures, np.arange(32) % 10, tuple("0123456789"), normalization, "noise")
    reestimate(net, elq.Batches(like, 32), 1)
    net.eval()
    return calibrate(elq.pack(net, like), pictures), pictures


def lenet5_digits() -> Found:
    _, test = datasets.digits()
    return PackedNetwork.load(ROOT / "examples" / "lenet5-int8.elq"), test.images


def lenet5_mnist() -> Found:
    """Trained on 20,000 of the digits: two passes in float, three of ELQ."""
    train, test = datasets.load("mnist", None, "train"), datasets.load("mnist", None, "test")
    net = models.lenet5(input_shape=train.input_shape)
    batches = elq.Batches(train.subset(slice(20000)), 64)
    for _ in elq.fit(net, batches, epochs=2, sgd=elq.SGD(lr=0.05)):
        pass
    for _ in elq.quantize(net, batches, elq.Plan("ternary", epochs=(1, 0.5, 0.5, 0.5, 0.5)), elq.SGD(lr=0.02)):
        pass
    return calibrate(elq.pack(net, test), train.images[:CALIBRATED_ON]), test.images


def resnet20(levels: str) -> Found:
    packed = PackedNetwork.load(ROOT / "benchmarks" / "results" / f"cifar10-resnet20-{levels}.elq")
    train, test = cifar10()
    return calibrate(packed, train), test


@functools.cache
def cifar10() -> tuple[np.ndarray, np.ndarray]:
    """Some pictures of the training and of the test images."""
    return tuple(datasets.load("cifar10", None, part).images[:CALIBRATED_ON].copy() for part in ("train", "test"))


WHOLE: dict[str, Callable[[], Found]] = {
    "lenet5-digits": lenet5_digits,
    "lenet5-mnist": lenet5_mnist,
    "resnet20-ternary": lambda: resnet20("ternary"),
    "resnet20-binary": lambda: resnet20("binary"),
    "depthwise": lambda: untrained(DepthwiseSeparable()),
    "vgg-small": lambda: untrained(models.vgg_small()),
}


def absent(name: str) -> str:
    """Why a network cannot be had here; empty if it can."""
    folder = {"lenet5-mnist": "mnist"}.get(name, "cifar-10-batches-bin" if name.startswith("resnet20") else "")
    if folder and not Path(os.environ.get("ELQ_DATA", "data"), folder).is_dir():
        return f"{folder}/ is not under ELQ_DATA"
    return ""
