"""Evaluation, and the BatchNorm statistics of the very network that is evaluated."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import reduce
from operator import add

import numpy as np

from .. import ops
from ..datasets import Batches, Dataset
from ..nn import BatchNorm2d, Module
from ..parallel import ALONE, World
from ..tensor import Tensor, no_grad
from .micro_batches import Statistics, shares, world_of


def count_correct(net: Module, dataset: Dataset, batch_size: int = 250, world: World = ALONE) -> int:
    """Number of pictures whose largest output (the lowest index of a tie) is their label; net in evaluation mode."""
    return evaluate(net, dataset, batch_size, world)[0]


def evaluate(net: Module, dataset: Dataset, batch_size: int = 250, world: World = ALONE) -> tuple[int, float]:
    """(`count_correct`, mean cross entropy in nats) over the pictures of `dataset`, net in evaluation mode.

    The processes of `world` share the pictures, each has a run of whole batches; all get what one alone would.

    ValueError where an output is no number (NaN or infinite): it names no class.
    """
    was_training = net.training
    net.eval()
    dtype = next((p.dtype for _, p in net.named_parameters()), np.dtype(np.float32))
    starts = range(0, len(dataset), batch_size)
    seen = np.empty((0, 2))  # of every batch: right answers, the sum of the cross entropies
    try:
        with no_grad():
            for start in starts[slice(*world.run(len(starts)))]:
                chosen = np.arange(start, min(start + batch_size, len(dataset)))
                labels, logits = dataset.labels[chosen], net(Tensor(dataset.normalized(chosen, dtype=dtype)))
                right = count_right(logits.data, labels)
                loss = ops.softmax_cross_entropy(logits, labels).item() * len(chosen)
                seen = np.concatenate([seen, [[right, loss]]])
    finally:
        net.train(was_training)
    rights, losses = world.joined(seen).T.tolist()
    return int(sum(rights)), reduce(add, losses, 0.0) / len(dataset)  # `sum` rounds otherwise from Python 3.12 on


def right(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Whether each row of logits (N, classes) is largest, first of a tie, at its label; ValueError for NaN and Inf."""
    lost = len(logits) - np.count_nonzero(np.isfinite(logits).all(1))
    if lost:
        raise ValueError(f"outputs for {lost} of {len(logits)} pictures are no numbers (NaN or infinite): no classes")
    found: np.ndarray = logits.argmax(1) == labels
    return found


def count_right(logits: np.ndarray, labels: np.ndarray) -> int:
    """How many rows are `right`."""
    return int(right(logits, labels).sum())


def at_chance(correct: int, dataset: Dataset) -> bool:
    """Whether `correct` right answers are no more than naming the commonest class of `dataset` gives, within three
    standard deviations of such a count; False where there is one class alone.
    """
    counts, total = np.bincount(dataset.labels), len(dataset)
    share = float(counts.max()) / total
    return share < 1 and correct <= total * share + 3 * math.sqrt(total * share * (1 - share))


def accuracy(net: Module, dataset: Dataset) -> float:
    """Share of `dataset` that `net` classifies correctly, 0 to 1.

    >>> _, test = elq.datasets.digits()
    >>> net = elq.models.digits_cnn()
    >>> net.fc.bias.data = np.array([0, 99] + 8 * [0], np.float32)  # so that it sees a 1 everywhere
    >>> bool(elq.accuracy(net, test) == (test.labels == 1).mean())
    True
    """
    return count_correct(net, dataset) / len(dataset)


def reestimate(net: Module, batches: Batches, count: int) -> None:
    """Set the running statistics of BatchNorm to their mean over the first `count` batches of epoch 0, or rather over
    their micro-batches, which the processes of the batches' world share as in training.

    Those of before count for nothing, whatever they are; without a batch they stay, and so do frozen ones. Everything
    else is in evaluation mode: the network that is evaluated has no dropout.

    The statistics of a quantized network are not those of the float one: read with the old ones, a ternary ResNet-20
    is a coin toss, and the batches must be augmented as in training.
    """
    deployed = net.named_modules(deployed=True)
    norms = [m for _, m in deployed if isinstance(m, BatchNorm2d) and not m.frozen]
    kept = [m.momentum for m in norms]
    world, before = world_of(batches), 0
    net.eval()
    for module in norms:
        module.train()
        module.momentum = 1.0  # one that has none would see nothing
    try:
        with no_grad():
            for seen, batch in zip(range(min(count, len(batches))), shares(batches, 0), strict=False):
                statistics = Statistics(net, world)
                for k in range(*batch.run):
                    with statistics.of(k):
                        net(Tensor(batch.micro(k).x))
                if not seen:  # 0 times NaN would be NaN
                    for module in norms:
                        module.running_mean[...], module.running_var[...] = 0, 0
                statistics.follow([1 / (before + k + 1) for k in range(len(batch.sizes))])
                before += len(batch.sizes)
    finally:
        for module, momentum in zip(norms, kept, strict=True):
            module.momentum = momentum
    net.eval()


@contextmanager
def standing_on(net: Module, weights: Mapping[str, np.ndarray], batches: Batches, count: int) -> Iterator[None]:
    """Inside, `net` has these weights and BatchNorm statistics re-estimated for them; after it, its own again."""
    kept, was_training = net.state_dict(), net.training
    parameters = dict(net.named_parameters())
    try:
        for name, w in weights.items():
            parameters[name].data = w
        reestimate(net, batches, count)
        yield
    finally:
        net.load_state_dict(kept)
        net.train(was_training)
