"""Statements 6 and 7 where a freeze goes to the most frequent code: W_hat may change then, and how is judged."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import numpy as np

from ..elq.plan import Plan
from ..training.sgd import SGD
from ..training.stages import freeze, quantize
from ..training.state import State
from .freezes import squares
from .line import Counted, Line
from .subject import LEVEL_SET, Doubles, Subject, closest


class _Watch:
    """All codes that every weight has had, and what the freezes make of them."""

    def __init__(self, levels: str) -> None:
        self.levels = levels
        self.codes: dict[str, list[np.ndarray]] = {}

    def step(self, state: State) -> None:
        """Codes after an update, or before the first."""
        for name, weight in state.weights.items():
            code = np.sign(closest(weight.w, weight.alpha, self.levels))
            self.codes.setdefault(name, []).append(code)

    def frequent(self, name: str) -> np.ndarray:
        """The code nearest the mean of all codes, the last weighing 1/100, each before it 99/100 of the next."""
        first, *later = self.codes[name]
        shares = [0.01 * 0.99**k for k in range(len(later))][::-1]
        mean = 0.99 ** len(later) * first + sum(share * code for share, code in zip(shares, later, strict=True))
        return closest(mean, np.ones((1,) * mean.ndim), self.levels)

    def freeze(self, state: State, frozen: Counted, moved: Counted, rises: Counted) -> None:
        """Freeze the next stage's group, half of the free weights having changed sides in the last moment."""
        for weight in state.weights.values():
            turn = ~weight.frozen & (np.arange(weight.w.size).reshape(weight.w.shape) % 2 == 0)
            weight.w = np.where(turn, -weight.w, weight.w)
        before, free = state.quantized(), {name: ~weight.frozen for name, weight in state.weights.items()}
        old = self._error(state)
        freeze(state)
        new, after = self._error(state), state.quantized()
        rises.see(new > old, False)
        for name, weight in state.weights.items():
            group = weight.frozen & free[name]
            level = weight.alpha * self.frequent(name)
            frozen.see(weight.w[group], np.broadcast_to(level, group.shape)[group])
            moved.see(after[name] != before[name], group & (level != before[name]))

    def _error(self, state: State) -> float:
        """E, summed exactly."""
        gaps = (w.w - closest(w.w, w.alpha, self.levels) for w in state.weights.values())
        return math.fsum(value for gap in gaps for value in squares(gap))


def lines(subject: Subject) -> Iterator[Line]:
    """A short ternary and a short binary run."""
    frozen, moved, rises, ends = Counted(), Counted(), Counted(), Counted()
    batches = Doubles(subject.dataset, max(2, len(subject.dataset) // 2))
    for levels in LEVEL_SET:
        plan = Plan(levels, freeze_to="frequent", a1=0.8, sigma2=(0.3, 0.0), epochs=(1.5, 1.0, 1.0))
        state = State.start(copy.deepcopy(subject.net), plan, SGD(0.05), batches)
        watch = _Watch(levels)
        watch.step(state)
        for step in quantize(state.net, batches, plan, state=state):
            watch.step(state)
            if step.ends_stage and not state.done:
                watch.freeze(state, frozen, moved, rises)
        for weight in state.weights.values():
            allowed = np.stack([np.broadcast_to(weight.alpha * c, weight.w.shape) for c in LEVEL_SET[levels]])
            ends.see((allowed == weight.w).any(0) & weight.frozen, np.ones(weight.w.shape, bool))
    where = f"a run of quantize with freeze_to frequent, ternary and binary, {subject.name}"
    yield frozen.line(
        "6 frequent: what freezes goes to the code it had most often",
        "w = alpha c, c nearest m, m <- m + 0.01 (c - m) after every step",
        "{count} weights that froze against sums over all their codes, " + where,
    )
    yield moved.line(
        "6 frequent: a freeze moves W_hat there and nowhere else",
        "Q(W) after = before, but where w is in group 1 and had another code more often",
        "{count} weights of W_hat before and after, half having changed sides in the last moment, " + where,
    )
    yield ends.line(
        "6 frequent: all weights end on a level",
        "w in alpha {-1, 0, 1} or alpha {-1, 1}",
        "{count} weights, " + where,
    )
    yield rises.line(
        "7 frequent: E never rises at a freeze",
        "E(after) <= E(before)",
        "{count} freezes, exact sums, " + where,
    )
