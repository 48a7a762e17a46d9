"""What every layer costs when its weights are rounded to levels without any training: it alone, and all but it.

A network that differs from another in one layer computes the same before it. So a batch goes once through the network
that all are compared with, and at each layer a branch leaves that has the other weight there: half of the work of as
many whole passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .. import ops
from ..datasets import Batches, Dataset
from ..elq.levels import nearest_level, scale
from ..elq.plan import Plan
from ..graph_builder import to_graph
from ..graph_net import GraphNet
from ..nn import BatchNorm2d, Module
from ..tensor import Tensor, no_grad
from .evaluate import count_right

Watch = Callable[[Sequence[int]], Iterator[int]]  # shows how far the batches are
REESTIMATION_BATCHES = 10
BATCH = 64  # pictures that are judged at a time


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
    float network most of what is seen would be wrong statistics. `net`, whose forward pass fits a graph, is left as it
    is. watch: wraps the sequence of batches, which go through all networks, to show progress.

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
    graph_net = GraphNet(to_graph(net, batches.dataset.input_shape), net.state_dict())
    state = graph_net.state_dict()  # what has several names in `net` has one here
    weights = {name: p.data for name, p in graph_net.quantizable().items()}
    w_hat = {name: rounded(w, plan) for name, w in weights.items()}
    frozen = {name for name, module in net.named_modules() if isinstance(module, BatchNorm2d) and module.frozen}
    count = min(reestimation, len(batches))
    numbers = watch(range(2 * (count + -(-len(held) // BATCH))))
    seen = []
    for changed, others in (({}, w_hat), (w_hat, weights)):
        family = _Family(graph_net, state | changed, others, frozen)
        for number, (x, _) in zip(range(count), batches.epoch(0), strict=False):
            next(numbers)
            family.estimate(x, number)
        for first in range(0, len(held), BATCH):
            next(numbers)
            family.judge(held, np.arange(first, min(first + BATCH, len(held))))
        seen.append(family.judged(len(held)))
    next(numbers, None)  # the bar is full
    layers = (LayerCost(name, w.size, seen[0][name], seen[1][name]) for name, w in weights.items())
    return Sensitivity(plan.levels, seen[0][None], seen[1][None], tuple(layers))


def rounded(w: np.ndarray, plan: Plan) -> np.ndarray:
    """The nearest level of every weight at the scale that `plan` says, in w's shape and dtype."""
    return nearest_level(w, scale(w, plan.levels, plan.scale, plan.per_channel), plan.levels)


class _Family:
    """A network, and one beside it for every weight that has another value there.

    Each has its own statistics of BatchNorm, by name of the weight (None: of the network itself), where they differ.
    """

    def __init__(
        self, net: GraphNet, state: dict[str, np.ndarray], others: Mapping[str, np.ndarray], frozen: set[str]
    ) -> None:
        self.net, self.others = net, others
        net.eval().load_state_dict(state)
        self.parameters = dict(net.named_parameters())
        self.norms = [m for n, m in net.named_modules() if isinstance(m, BatchNorm2d) and n not in frozen]
        self.first = {name: min(k for k, names in enumerate(net.reads) if name in names) for name in others}
        self.base = {name: self.parameters[name].data for name in others}
        self.statistics = {name: self._taken() for name in others}
        self.found: dict[str | None, tuple[float, int]] = dict.fromkeys((None, *others), (0.0, 0))

    def _taken(self) -> list[tuple[np.ndarray, np.ndarray]]:
        return [(m.running_mean.copy(), m.running_var.copy()) for m in self.norms]

    def estimate(self, x: np.ndarray, number: int) -> None:
        """Let the statistics be the mean over this batch and the `number` before it."""
        if number == 0:
            nothing = [(np.zeros_like(m.running_mean), np.zeros_like(m.running_var)) for m in self.norms]
            self._put(nothing)
            self.statistics = dict.fromkeys(self.statistics, nothing)
        for module in self.norms:
            module.training, module.momentum = True, 1 / (number + 1)
        for _ in self._passes(x):
            pass

    def judge(self, held: Dataset, chosen: np.ndarray) -> None:
        """Add what every network says of some pictures."""
        self.net.eval()
        labels = held.labels[chosen]
        dtype = next(iter(self.parameters.values())).dtype
        for kind, logits in self._passes(held.normalized(chosen, dtype=dtype)):
            loss, right = self.found[kind]
            loss += ops.softmax_cross_entropy(logits, labels).item() * len(chosen)
            self.found[kind] = loss, right + count_right(logits.data, labels)

    def judged(self, total: int) -> dict[str | None, Judged]:
        """Of every network, over all pictures."""
        return {kind: Judged(loss / total, 100 * right / total) for kind, (loss, right) in self.found.items()}

    def _passes(self, x: np.ndarray) -> Iterator[tuple[str | None, Tensor]]:
        """The outputs of every network; the branches leave the trunk in its order."""
        net, output = self.net, self.net.graph.output
        at: dict[int, list[str]] = {}
        for name, number in self.first.items():
            at.setdefault(number, []).append(name)
        values = {net.graph.input: Tensor(x)}
        with no_grad():
            for number in range(len(net.reads)):
                for name in at.get(number, []):
                    trunk = self._taken()
                    self._put(self.statistics[name])
                    self.parameters[name].data = self.others[name]
                    branch = dict(values)
                    for further in range(number, len(net.reads)):
                        net.compute(further, branch)
                    yield name, branch[output]
                    self.parameters[name].data = self.base[name]
                    self.statistics[name] = self._taken()
                    self._put(trunk)
                net.compute(number, values)
        yield None, values[output]

    def _put(self, statistics: list[tuple[np.ndarray, np.ndarray]]) -> None:
        for module, (mean, var) in zip(self.norms, statistics, strict=True):
            module.running_mean[...], module.running_var[...] = mean, var
