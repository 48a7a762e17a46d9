"""What every layer costs when its weights are rounded to levels without any training: it alone, and all but it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..datasets import Batches, Dataset
from ..elq.levels import nearest_level, scale
from ..elq.plan import Plan
from ..nn import Module
from .evaluate import evaluate, standing_on

Weights = dict[str, np.ndarray]
Watch = Callable[[Sequence[Weights]], Iterator[Weights]]  # shows how far the networks that are measured are
REESTIMATION_BATCHES = 10


@dataclass(frozen=True)
class Judged:
    """Mean cross entropy in nats and right answers in per cent."""

    loss: float
    top1: float


@dataclass(frozen=True)
class LayerCost:
    """One weight of the network: how it does when this one alone is rounded, and when all but this one are."""

    name: str
    weights: int
    alone: Judged
    all_but: Judged


@dataclass(frozen=True)
class Sensitivity:
    """How the network does in float and with all its weights rounded, and what each layer has to do with it."""

    levels: str
    in_float: Judged
    rounded: Judged
    layers: tuple[LayerCost, ...]

    def most(self, count: int) -> tuple[str, ...]:
        """The names of the `count` weights whose rounding alone costs the most loss, the costliest first.

        ValueError unless there are as many.
        """
        if not 1 <= count <= len(self.layers):
            raise ValueError(f"the {count} most sensitive weights: the network has {len(self.layers)}")
        ranked = sorted(self.layers, key=lambda layer: -layer.alone.loss)  # of equals the first in the network
        return tuple(layer.name for layer in ranked[:count])

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def sensitivity(
    net: Module,
    batches: Batches,
    held: Dataset,
    plan: Plan | None = None,
    *,
    reestimation: int = REESTIMATION_BATCHES,
    watch: Watch = iter,
) -> Sensitivity:
    """Measure `net` on `held` with each weight rounded alone, with all but it, with none and with all.

    Rounding is W_hat of ELQ before its first step, the nearest level at the scale of `plan` (its levels, scale and
    per_channel; default Plan()). For every one of these networks BatchNorm's statistics are taken anew over the first
    `reestimation` batches of `batches`, as for everything that is measured of W_hat elsewhere: read with those of the
    float network most of what is seen would be wrong statistics. `net` is as it was afterwards.
    watch: wraps the sequence of networks, to show progress.

    >>> train, test = elq.datasets.digits()
    >>> net = elq.models.digits_cnn()
    >>> for step in elq.fit(net, elq.Batches(train, 64), epochs=2, sgd=elq.SGD(lr=0.1)):
    ...     pass
    >>> rest, held = elq.datasets.hold_out(train, 200)
    >>> found = elq.sensitivity(net, elq.Batches(rest, 64), held)
    >>> [layer.name for layer in found.layers]
    ['conv1.weight', 'conv2.weight', 'conv3.weight', 'fc.weight']
    >>> found.rounded.loss > found.in_float.loss
    True
    """
    plan = plan or Plan()
    weights = {name: p.data for name, p in net.quantizable().items()}
    w_hat = {name: rounded(w, plan) for name, w in weights.items()}
    networks: list[Weights] = [{}, w_hat]
    for name in weights:
        networks += [{name: w_hat[name]}, {other: w for other, w in w_hat.items() if other != name}]
    seen = []
    for changed in watch(networks):
        with standing_on(net, changed, batches, min(reestimation, len(batches))):
            correct, loss = evaluate(net, held)
        seen.append(Judged(loss, 100 * correct / len(held)))
    pairs = zip(seen[2::2], seen[3::2], strict=True)
    layers = (LayerCost(name, w.size, *pair) for (name, w), pair in zip(weights.items(), pairs, strict=True))
    return Sensitivity(plan.levels, seen[0], seen[1], tuple(layers))


def rounded(w: np.ndarray, plan: Plan) -> np.ndarray:
    """The nearest level of every weight at the scale that `plan` says, in w's shape and dtype."""
    return nearest_level(w, scale(w, plan.levels, plan.scale, plan.per_channel), plan.levels)
