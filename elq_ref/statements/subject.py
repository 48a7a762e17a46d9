"""Subject: the network and the pictures that statements about losses are checked on, in float64."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import ops
from ..datasets import Batches, Dataset, digits
from ..datasets.batches import Part
from ..elq.gradients import Pass
from ..elq.levels import scale
from ..nn import BatchNorm2d, Conv2d, Linear, Module
from ..preprocessing import Normalization
from ..tensor import Tensor, no_grad, watched
from ..training.stages import running_averages_kept

LEVEL_SET = {"ternary": (-1.0, 0.0, 1.0), "binary": (-1.0, 1.0)}


class SmoothCNN(Module):
    """Two 3x3 convolutions with BatchNorm, the square as activation, global average, linear: no kink anywhere."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.conv1 = Conv2d(1, 4, 3, padding=1, bias=False, rng=rng)
        self.bn1 = BatchNorm2d(4)
        self.conv2 = Conv2d(4, 6, 3, stride=2, padding=1, bias=False, rng=rng)
        self.bn2 = BatchNorm2d(6)
        self.fc = Linear(6, 10, rng=rng)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x))
        x = self.bn2(self.conv2(ops.mul(x, x)))
        return self.fc(ops.global_avg_pool(ops.mul(x, x)))


@dataclass
class Subject:
    """A float64 network, pictures (at least two) and labels. `plain`: it is a SmoothCNN, which `plain_loss` knows."""

    name: str
    net: Module
    dataset: Dataset
    x: np.ndarray
    labels: np.ndarray
    plain: bool = False

    @classmethod
    def bundled(cls, seed: int = 0, pictures: int = 32) -> Subject:
        """The smooth CNN with random weights on the digits that ship with the package."""
        train, _ = digits()
        return cls.of("smooth CNN on digits", SmoothCNN(seed), train.subset(np.arange(pictures)), plain=True)

    @classmethod
    def of(cls, name: str, net: Module, dataset: Dataset, plain: bool = False) -> Subject:
        """`net`, converted to float64, on all pictures of `dataset`."""
        return cls(
            name, net.astype(np.float64).train(), dataset, dataset.normalized(dtype=np.float64), dataset.labels, plain
        )

    def weights(self) -> list[np.ndarray]:
        """The weights that are quantized, in order."""
        return [p.data for p in self.net.quantizable().values()]

    def forward(self, weights: Sequence[np.ndarray], labels: np.ndarray | None = None) -> Pass:
        """Loss and gradients at these weights, with batch statistics."""
        parameters, names = dict(self.net.named_parameters()), list(self.net.quantizable())
        kept = [parameters[n].data for n in names]
        try:
            for n, w in zip(names, weights, strict=True):
                parameters[n].data = w
            self.net.zero_grad()
            with running_averages_kept(self.net):
                loss = ops.softmax_cross_entropy(self.net(Tensor(self.x)), self.labels if labels is None else labels)
            loss.backward()
            grads = {n: p.grad for n, p in parameters.items() if p.grad is not None}
        finally:
            for n, w in zip(names, kept, strict=True):
                parameters[n].data = w
        shared = [grads[n] for n in parameters if n not in names]
        return Pass(loss.item(), [grads[n] for n in names], shared)

    def shared(self) -> dict[str, np.ndarray]:
        """The parameters that are not quantized, by name."""
        names = self.net.quantizable()
        return {n: p.data for n, p in self.net.named_parameters() if n not in names}

    def parameters(self, weights: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """All parameters by name, with these weights."""
        given = dict(zip(self.net.quantizable(), weights, strict=True))
        return {n: p.data for n, p in self.net.named_parameters()} | given

    def logits(self, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
        """The outputs of a network that is materialised for these parameters: plain NumPy for the smooth CNN, else a
        copy of the model that is given all of them."""
        if self.plain:
            return plain_logits(parameters, self.x)
        twin = copy.deepcopy(self.net)
        twin.load_state_dict({**twin.state_dict(), **parameters})
        with no_grad():
            return twin.train()(Tensor(self.x)).data

    def loss(self, parameters: Mapping[str, np.ndarray], labels: np.ndarray | None = None) -> float:
        """The loss of a network that is materialised for these parameters."""
        return cross_entropy(self.logits(parameters), self.labels if labels is None else labels)

    def region(self, parameters: Mapping[str, np.ndarray]) -> bytes:
        """Which side of every ReLU and which place of every maximum is taken: inside one region the loss is smooth."""
        if self.plain:
            return b""
        seen: list[bytes] = []

        def watch(name: str, operands: tuple[Tensor, ...], y: Tensor, attrs: dict[str, Any]) -> None:
            if name == "relu" or attrs.get("relu"):
                seen.append(np.packbits(y.data > 0).tobytes())
            elif name == "max_pool":
                (kh, kw), (sh, sw) = attrs["kernel"], attrs["stride"]
                top, left, bottom, right = attrs["padding"]
                border = ((0, 0), (0, 0), (top, bottom), (left, right))
                x = np.pad(operands[0].data, border, constant_values=-np.inf)
                windows = np.lib.stride_tricks.sliding_window_view(x, (kh, kw), (2, 3))[:, :, ::sh, ::sw]
                seen.append(windows.reshape(*windows.shape[:4], -1).argmax(-1).astype(np.uint8).tobytes())

        with watched(watch):
            self.loss(parameters)
        return b"".join(seen)

    def some(self, count: int) -> Subject:
        """The same network on the first `count` pictures."""
        return Subject(
            self.name, self.net, self.dataset.subset(np.arange(count)), self.x[:count], self.labels[:count], self.plain
        )


class Doubles(Batches):
    """Batches in float64."""

    def _epoch(self, epoch: int, start: int, part: Part) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for x, y in super()._epoch(epoch, start, part):
            yield x.astype(np.float64), y


def random_pictures(input_shape: tuple[int, int, int], classes: int, count: int) -> Dataset:
    """Noise with random labels, for a network whose data is not at hand."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, *input_shape), np.uint8)
    channels = input_shape[0]
    normalization = Normalization((0.5,) * channels, (0.25,) * channels)
    return Dataset(images, rng.integers(0, classes, count), tuple(map(str, range(classes))), normalization, "noise")


def closest(w: np.ndarray, alpha: np.ndarray, levels: str) -> np.ndarray:
    """W_hat by its definition: of all levels the one at the least distance. Ties: as the method says, 0 or +alpha."""
    order = (0.0, 1.0, -1.0) if levels == "ternary" else (1.0, -1.0)
    candidates = np.stack([np.broadcast_to(alpha * c, w.shape) for c in order])
    w_hat: np.ndarray = np.take_along_axis(candidates, np.abs(candidates - w).argmin(0)[None], 0)[0] + 0.0
    return w_hat


def quantized(weights: Sequence[np.ndarray], levels: str) -> list[np.ndarray]:
    """W_hat of every layer, by `closest`, at the scale of the method."""
    return [closest(w, scale(w, levels), levels) for w in weights]


def signed_labels(subject: Subject, w: Sequence[np.ndarray], w_hat: Sequence[np.ndarray]) -> dict[float, np.ndarray]:
    """Labels under which L(W) - L(W_hat) is positive, and such under which it is negative, by that sign.

    The weights do not depend on the labels: the classes whose probability W_hat raises most, and lowers most, show both
    signs on any network. Where the true labels show a sign, they are the ones.
    """
    gap = log_softmax(subject.logits(subject.parameters(w))) - log_softmax(subject.logits(subject.parameters(w_hat)))
    found = {1.0: gap.argmin(1), -1.0: gap.argmax(1)}
    true = -float(np.sign(np.mean(gap[np.arange(len(gap)), subject.labels])))
    return {sign: subject.labels if sign == true else labels for sign, labels in found.items()}


def log_softmax(z: np.ndarray) -> np.ndarray:
    """z - log sum_k exp(z[n,k])."""
    logs: np.ndarray = z - np.logaddexp.reduce(z, axis=1, keepdims=True)
    return logs


def cross_entropy(z: np.ndarray, labels: np.ndarray) -> float:
    """Mean of -log softmax(z) at the labels."""
    return -float(np.mean(log_softmax(z)[np.arange(len(z)), labels]))


def plain_logits(p: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """The outputs of SmoothCNN in elementary NumPy, with batch statistics."""
    x = plain_norm(plain_conv(x, p["conv1.weight"], 1), p["bn1.weight"], p["bn1.bias"]) ** 2
    x = plain_norm(plain_conv(x, p["conv2.weight"], 2), p["bn2.weight"], p["bn2.bias"]) ** 2
    logits: np.ndarray = x.mean((2, 3)) @ p["fc.weight"].T + p["fc.bias"]
    return logits


def plain_conv(x: np.ndarray, w: np.ndarray, stride: int) -> np.ndarray:
    """y[n,o,p,q] = sum_{c,i,j} w[o,c,i,j] x[n,c,p stride+i-1,q stride+j-1], zeros around x; w (O, C, 3, 3)."""
    x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (2, 3))[:, :, ::stride, ::stride]
    y: np.ndarray = np.einsum("ncpqij,ocij->nopq", windows, w)
    return y


def plain_norm(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """gamma (x - mean) / sqrt(var + 1e-5) + beta with the batch's mean and variance of every channel."""
    centred = x - x.mean((0, 2, 3), keepdims=True)
    unit = centred / np.sqrt((centred**2).mean((0, 2, 3), keepdims=True) + 1e-5)
    y: np.ndarray = unit * gamma[:, None, None] + beta[:, None, None]
    return y
