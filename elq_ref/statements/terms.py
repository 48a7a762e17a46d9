"""Statement 5 where Lp is a sum of terms, one a layer: only that layer is quantized in it (`scope="layer"`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..elq.gradients import objective
from ..elq.plan import Plan
from .derivatives import A1, A2, BOUND, WHY, lp_of, moved
from .line import Compared, Line
from .subject import Subject, quantized, signed_labels

H = 1e-5
MODES = ("constant", "straight-through", "taylor-inner", "taylor-elementwise")
Parameters = dict[str, np.ndarray]


def lines(subject: Subject) -> Iterator[Line]:
    """Every mode and the shared parameters, on the smooth CNN: three layers, three passes, signs of both kinds."""
    if not subject.plain:
        return
    subject, rng = subject.some(6), np.random.default_rng(2)  # of few pictures the terms have signs of both kinds
    seen, signs, values = Compared(), set(), Compared()
    for levels in ("ternary", "binary"):
        w = subject.weights()
        w_hat = quantized(w, levels)
        for labels in signed_labels(subject, w, w_hat).values():
            for plan in plans(levels):
                at = objective(lambda weights, y=labels: subject.forward(weights, y), w, w_hat, plan)  # type: ignore[misc]
                signs.add(f"{at.sign:+.0f}")
                function = Terms(subject, w, w_hat, labels, plan)
                values.see([at.value or np.nan, at.perturbation or 0.0], list(function.value()))
                for layer, name in enumerate(subject.net.quantizable()):
                    index = tuple(int(rng.integers(0, n)) for n in w[layer].shape)
                    seen.see(at.weights[layer][index], function.slope(name, index))
                for position, (name, array) in enumerate(subject.shared().items()):
                    index = tuple(int(rng.integers(0, n)) for n in array.shape)
                    seen.see(at.shared[position][index], function.slope(name, index))
    where = f"three layers, sums of signs {', '.join(sorted(signs))}, {subject.name}"
    yield seen.line(
        "5 one term a layer",
        "dJ of J = L + a1 sum_t |L(W) - L_t| + a2 E, only layer t quantized in L_t",
        f"{seen.count} central differences, every mode, biases and BatchNorm too, {where}",
        BOUND,
        WHY,
    )
    yield values.line(
        "1 one term a layer",
        "Lp = sum_t |L(W) - L_t|, J = L + a1 Lp + a2 E",
        f"J and Lp against losses of separately materialised networks, {where}",
        1e-11,
        "rounding of a few losses",
    )


def plans(levels: str) -> Iterator[Plan]:
    """Every mode, both norms, both forms of Lp."""
    variants: tuple[dict[str, Any], ...] = ({}, {"norm": "absolute"}, {"perturbation": "positive"})
    for mode in MODES:
        for variant in variants:
            if not (mode == "taylor-elementwise" and "perturbation" in variant):
                yield Plan(levels, scope="layer", sign="computed", a1=A1, a2=A2, gradient=mode, **variant)


class Terms:
    """The function whose gradient a mode is, made of losses alone; g at W, which two modes hold, is an argument."""

    def __init__(
        self, subject: Subject, w: list[np.ndarray], w_hat: list[np.ndarray], labels: np.ndarray, plan: Plan
    ) -> None:
        self.subject, self.labels, self.plan = subject, labels, plan
        self.names = list(subject.net.quantizable())
        self.w, self.w_hat = w, w_hat
        self.g0 = subject.forward(w, labels).weights
        self.full = subject.parameters(w)
        self.terms = [subject.parameters([*w[:t], w_hat[t], *w[t + 1 :]]) for t in range(len(w))]

    def loss(self, parameters: Parameters) -> float:
        return self.subject.loss(parameters, self.labels)

    def value(self) -> tuple[float, float]:
        """(J, Lp) as they are, whatever the mode."""
        full = self.loss(self.full)
        lp = sum(lp_of(full - self.loss(term), self.plan) for term in self.terms)
        return full + A1 * lp + A2 * self.error(lambda t: self.w[t]), lp

    def error(self, at: Callable[[int], np.ndarray]) -> float:
        """E with W_hat fixed."""
        power = 2 if self.plan.norm == "squared" else 1
        return float(sum(np.sum(np.abs(at(t) - hat) ** power) for t, hat in enumerate(self.w_hat)))

    def slope(self, name: str, index: tuple[int, ...]) -> float:
        """Central difference at one number of one parameter."""
        return (self.at(name, index, H) - self.at(name, index, -H)) / (2 * H)

    def at(self, name: str, index: tuple[int, ...], step: float) -> float:
        mode, layer = self.plan.gradient, self.names.index(name) if name in self.names else None
        full = self.loss(moved(self.full, name, index, step))
        weights = [moved({"": a}, "", index, step)[""] if t == layer else a for t, a in enumerate(self.w)]
        if layer is None or not mode.startswith("taylor"):
            still = layer if mode == "constant" else None
            terms = [p if t == still else moved(p, name, index, step) for t, p in enumerate(self.terms)]
            lp = sum(lp_of(full - self.loss(term), self.plan) for term in terms)
        else:
            gaps = [a - b for a, b in zip(weights, self.w_hat, strict=True)]
            if mode == "taylor-inner":
                lp = sum(lp_of(float(np.vdot(g, gap)), self.plan) for g, gap in zip(self.g0, gaps, strict=True))
            else:
                lp = sum(float(np.sum(np.abs(g) * np.abs(gap))) for g, gap in zip(self.g0, gaps, strict=True))
        return full + A1 * lp + A2 * self.error(lambda t: weights[t])
