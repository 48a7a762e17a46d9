"""Statements 1 and 5 for the second loss of the network in which only what is frozen is quantized."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..elq.gradients import objective
from ..elq.plan import Plan
from .derivatives import A1, A2, BOUND, WHY, lp_of, moved
from .line import Compared, Line
from .subject import LEVEL_SET, Subject, quantized, signed_labels

H = 1e-5
VARIANTS: tuple[dict[str, Any], ...] = ({}, {"norm": "absolute"}, {"perturbation": "positive"})


@dataclass
class Groups:
    """J as its definition has it, of losses of materialised networks: b and w differ in the weights that are frozen."""

    subject: Subject
    labels: np.ndarray
    b: list[np.ndarray]
    w: list[np.ndarray]
    w_hat: list[np.ndarray]
    plan: Plan

    def value(self, name: str = "", index: tuple[int, ...] = (), step: float = 0.0) -> tuple[float, float, float]:
        """(J, Lp, L(W)) with one number of one parameter moved in both networks."""
        networks = [self.subject.parameters(weights) for weights in (self.b, self.w)]
        if name:
            networks = [moved(network, name, index, step) for network in networks]
        first, second = (self.subject.loss(network, self.labels) for network in networks)
        gaps = [networks[1][n] - hat for n, hat in zip(self.subject.net.quantizable(), self.w_hat, strict=True)]
        error = sum(float(np.sum(abs(gap) ** (2 if self.plan.norm == "squared" else 1))) for gap in gaps)
        lp = lp_of(first - second, self.plan)
        return first + A1 * lp + A2 * error, lp, second

    def slope(self, name: str, index: tuple[int, ...]) -> float:
        """Central difference of J."""
        return (self.value(name, index, H)[0] - self.value(name, index, -H)[0]) / (2 * H)


def lines(subject: Subject) -> Iterator[Line]:
    """On the smooth CNN, half of whose weights are frozen, at both signs of L(B) - L(W)."""
    if not subject.plain:
        return
    rng = np.random.default_rng(3)
    slopes, values, signs = Compared(), Compared(), set()
    names = list(subject.net.quantizable())
    for levels in LEVEL_SET:
        b, w_hat = subject.weights(), quantized(subject.weights(), levels)
        frozen = [rng.random(a.shape) < 0.5 for a in b]
        w = [np.where(f, hat, a) for f, hat, a in zip(frozen, w_hat, b, strict=True)]
        for labels in signed_labels(subject, b, w).values():
            for variant in VARIANTS:
                plan = Plan(levels, second_loss="group1", sign="computed", a1=A1, a2=A2, **variant)
                at = objective(
                    lambda weights, y=labels: subject.forward(weights, y),  # type: ignore[misc]
                    w, w_hat, plan, frozen=frozen, before=b,
                )  # fmt: skip
                signs.add(f"{at.sign:+.0f}")
                function = Groups(subject, labels, b, w, w_hat, plan)
                values.see([at.value or np.nan, at.perturbation or 0.0, at.loss or np.nan], list(function.value()))
                for layer, name in enumerate(names):
                    free = np.argwhere(~frozen[layer] & (np.abs(w[layer] - w_hat[layer]) > 1e-4))
                    for place in rng.permutation(free)[:3]:
                        index = tuple(int(i) for i in place)
                        slopes.see(at.weights[layer][index], function.slope(name, index))
                for position, (name, array) in enumerate(subject.shared().items()):
                    index = tuple(int(rng.integers(0, n)) for n in array.shape)
                    slopes.see(at.shared[position][index], function.slope(name, index))
    where = f"half frozen, s = {' and '.join(sorted(signs))}, {subject.name}"
    yield slopes.line(
        "5 a second loss with only group 1 quantized",
        "dJ = (1 + a1 s) dL(B) - a1 s dL(W) + a2 dE, s = sign(L(B) - L(W))",
        f"{slopes.count} central differences of J, free weights, biases and BatchNorm, {where}",
        BOUND,
        WHY,
    )
    yield values.line(
        "1 a second loss with only group 1 quantized",
        "J = L(B) + a1 |L(B) - L(W)| + a2 E(W, W_hat)",
        f"J, Lp and L(W) against losses of separately materialised networks, {where}",
        1e-11,
        "rounding of a few losses",
    )
