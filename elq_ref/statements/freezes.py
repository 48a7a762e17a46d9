"""Statements 6 and 7 on a run of the algorithm itself: what freezes, what it leaves alone, what remains of E."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import numpy as np

from ..elq.plan import Plan
from ..nn import Module
from ..training.sgd import SGD
from ..training.stages import freeze, quantize
from ..training.state import State
from .line import EPS, TINY, Compared, Line
from .partitions import same_bits
from .subject import LEVEL_SET, Doubles, SmoothCNN, Subject, closest, plain_conv


class _Watch:
    """Counts of contradictions over a run, and deviations of E."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.wrong = dict.fromkeys(("bits", "grow", "momentum", "w_hat", "loss", "levels", "rises"), 0)
        self.errors = Compared()
        self.freezes = 0
        self.seen: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def step(self, state: State) -> None:
        """After an update: what was frozen before has neither moved nor momentum."""
        for name, weight in state.weights.items():
            if name in self.seen:
                frozen, w = self.seen[name]
                self.wrong["grow"] += int((frozen & ~weight.frozen).sum())
                self.wrong["bits"] += not same_bits(weight.w[frozen], w[frozen])
            self.wrong["momentum"] += int(np.count_nonzero(state.velocity[name][weight.frozen]))
            self.seen[name] = (weight.frozen.copy(), weight.w.copy())

    def freeze(self, state: State) -> None:
        """Freeze the next stage's group; compare W_hat, L(W_hat) and E with what they were."""
        self.freezes += 1
        before, loss, w = state.quantized(), self.deployed(state), {n: a.w for n, a in state.weights.items()}
        free = {n: ~a.frozen for n, a in state.weights.items()}
        freeze(state)
        after = state.quantized()
        self.wrong["w_hat"] += sum(not same_bits(before[n], after[n]) for n in before)
        self.wrong["loss"] += loss != self.deployed(state)
        levels = state.plan.levels
        old = math.fsum(v for n in w for v in squares(w[n] - closest(w[n], state.weights[n].alpha, levels)))
        new = math.fsum(v for n, a in state.weights.items() for v in squares(a.w - closest(a.w, a.alpha, levels)))
        group = math.fsum(v for n, a in state.weights.items() for v in squares((w[n] - before[n])[a.frozen & free[n]]))
        left = math.fsum(v for n, a in state.weights.items() for v in squares((a.w - after[n])[~a.frozen]))
        self.wrong["rises"] += new > old
        self.errors.see([new, old - group], [left, new], max(old, TINY))

    def deployed(self, state: State) -> float:
        """L(W_hat) of a materialised network."""
        return self.subject.loss({n: p.data for n, p in state.net.named_parameters()} | state.quantized())

    def end(self, state: State) -> None:
        """After the last stage: everything stands on a level."""
        for weight in state.weights.values():
            allowed = [weight.w == weight.alpha * c for c in LEVEL_SET[state.plan.levels]]
            self.wrong["levels"] += int((~np.any(allowed, axis=0)).sum() + (~weight.frozen).sum())


def squares(a: np.ndarray) -> list[float]:
    """The squares as Python numbers."""
    return (a**2).ravel().tolist()


def lines(subject: Subject) -> Iterator[Line]:
    """A short ternary and a short binary run, watched."""
    watch = _Watch(subject)
    batches = Doubles(subject.dataset, max(2, len(subject.dataset) // 2))
    averages = Compared()
    for levels in LEVEL_SET:
        plan = Plan(levels, sign="computed", a1=0.8, a2=1e-3, sigma2=(0.3, 0.1, 0.0), epochs=(1.5, 1.0, 1.0, 1.0))
        net = copy.deepcopy(subject.net)
        watch.seen = {}
        for step in quantize(net, batches, plan, SGD(0.01, weight_decay=1e-2, nesterov=levels == "binary")):
            if step.step == 1 and subject.plain:
                _averages(averages, subject, batches, net, levels)
            watch.step(step.state)
            if step.ends_stage and not step.state.done:
                watch.freeze(step.state)
        watch.end(step.state)
    where = f"a run of quantize, {watch.freezes} freezes, ternary and binary, {subject.name}"
    for key, statement, equation, ways in (
        (
            "bits",
            "6 frozen weights in training",
            "W <- W - lr v on the free weights only",
            "frozen bits before and after every step, momentum and weight decay on",
        ),
        (
            "grow",
            "6 the frozen set only grows",
            "frozen(k) within frozen(k + 1)",
            "weights that were frozen and are not",
        ),
        ("momentum", "6 frozen weights have no momentum", "v = 0 where frozen", "momenta that are not 0"),
        (
            "w_hat",
            "6 a freeze leaves W_hat, in a run",
            "Q(W) before = after",
            "bits of W_hat before and after each freeze",
        ),
        ("loss", "6 a freeze leaves L(W_hat)", "L(W_hat) before = after", "bits of the loss of the materialised W_hat"),
        (
            "levels",
            "6 all weights end on a level",
            "w in alpha {-1, 0, 1} or alpha {-1, 1}",
            "weights that equal no level, or are free",
        ),
        ("rises", "7 E never rises at a freeze", "E(after) <= E(before)", "freezes that raised E"),
    ):
        yield Line(statement, equation, f"{ways}, {where}", float(watch.wrong[key]), 0.0, "a count")
    yield watch.errors.line(
        "7 only free weights contribute to E",
        "E = sum_{free} (w - W_hat)^2; a freeze takes away its group's part",
        f"exact sums over all, over the free and over the group, {where}",
        8 * EPS,
        "rounding of exact sums, relative",
    )
    if averages.count:
        yield averages.line(
            "8 running averages follow W_hat",
            "running <- 0.9 running + 0.1 (statistics of the pass at W_hat)",
            "BatchNorm after one step against plain NumPy on the quantized convolution",
            1e3 * EPS,
            "rounding of a mean",
        )


def _averages(seen: Compared, subject: Subject, batches: Doubles, net: Module, levels: str) -> None:
    """bn1's running statistics after the first step, which started at mean 0 and variance 1."""
    assert isinstance(net, SmoothCNN)
    x, _ = next(iter(batches.epoch(0)))
    w = subject.weights()[0]
    alpha = np.abs(w).mean() + (0.05 * np.abs(w).max() if levels == "ternary" else 0)
    y = plain_conv(x, closest(w, np.asarray(alpha), levels), 1)
    mean, var = 0.1 * y.mean((0, 2, 3)), 0.9 + 0.1 * y.var((0, 2, 3), ddof=1)
    seen.see(net.bn1.running_mean, mean, 1.0)
    seen.see(net.bn1.running_var, var, 1.0)
