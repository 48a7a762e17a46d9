"""Statement 5: every gradient mode against central differences of the function that it truly differentiates.

With losses alone, at coordinate e and step h: the functions of the four modes are made of L(W +- h e), L(W_hat +- h e),
L(W), L(W_hat); g at W, which two of them hold, is an argument of these functions.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..elq.gradients import Objective, objective
from ..elq.levels import scale_slope
from ..elq.plan import Plan
from .line import Compared, Line, largest
from .subject import LEVEL_SET, Subject, closest, quantized, signed_labels

MODES = {
    "constant": "L + a1 |L(W) - L(W_hat0)| + a2 E",
    "straight-through": "L + a1 |L(W) - L(W_hat0 + W - W0)| + a2 E",
    "taylor-inner": "L + a1 |<g0, W - W_hat0>| + a2 E",
    "taylor-elementwise": "L + a1 sum |g0| |W - W_hat0| + a2 E",
}
VARIANTS: tuple[dict[str, Any], ...] = ({}, {"norm": "absolute"}, {"perturbation": "positive"})
A1, A2 = 0.6, 0.01
BOUND = 1e-6
WHY = "h^2 f'''/6 and eps L / h at h = 1e-5 .. 1e-7, relative to 1 + |gradient|"


class Losses(NamedTuple):
    """L(W + h e), L(W - h e), L(W_hat + h e), L(W_hat - h e)."""

    up: float
    down: float
    hat_up: float
    hat_down: float


@dataclass
class Point:
    """Where a gradient is judged: weights, W_hat, frozen sets, labels, and the coordinates with their losses."""

    subject: Subject
    levels: str
    labels: np.ndarray
    w: list[np.ndarray]
    w_hat: list[np.ndarray]
    frozen: list[np.ndarray]

    def __post_init__(self) -> None:
        self.g0 = self.subject.forward(self.w, self.labels).weights
        self.bases = self.subject.parameters(self.w), self.subject.parameters(self.w_hat)
        self.regions = [self.subject.region(base) for base in self.bases]
        self.loss = self.loss_at(self.bases[0])
        self.loss_hat = self.loss_at(self.bases[1])

    def loss_at(self, parameters: dict[str, np.ndarray]) -> float:
        return self.subject.loss(parameters, self.labels)

    def plans(self) -> Iterator[Plan]:
        """Every mode, with each norm of E and each form of Lp that it has."""
        for mode in MODES:
            for variant in VARIANTS:
                if not (mode == "taylor-elementwise" and "perturbation" in variant):
                    yield Plan(self.levels, sign="computed", a1=A1, a2=A2, gradient=mode, **variant)

    def seen(self, plan: Plan) -> Objective:
        """The package's gradients."""
        return objective(lambda w: self.subject.forward(w, self.labels), self.w, self.w_hat, plan, frozen=self.frozen)

    def around(self, name: str, index: tuple[int, ...]) -> tuple[float, Losses] | None:
        """(h, losses) at one coordinate of one parameter, or None where a kink lies within every step tried."""
        for h in (1e-5, 1e-6, 1e-7):
            near = [[moved(base, name, index, step) for step in (h, -h)] for base in self.bases]
            here = zip(near, self.regions, strict=True)
            if all(self.subject.region(p) == region for points, region in here for p in points):
                return h, Losses(*(self.loss_at(p) for points in near for p in points))
        return None


def moved(parameters: dict[str, np.ndarray], name: str, index: tuple[int, ...], step: float) -> dict[str, np.ndarray]:
    """The parameters with one number changed."""
    array = parameters[name].copy()
    array[index] += step
    return {**parameters, name: array}


def lines(subject: Subject) -> Iterator[Line]:
    """The four modes, frozen entries, shared parameters, s = 0, the moving scale."""
    if not subject.plain:
        subject = subject.some(min(len(subject.x), 4))
    rng = np.random.default_rng(1)
    worst = {mode: Compared() for mode in MODES}
    shared = Compared()
    frozen: list[float] = []
    signs = set()
    judged = []
    for point in _points(subject):
        signs.add(f"{np.sign(point.loss - point.loss_hat):+.0f}")
        seen = [(plan, point.seen(plan)) for plan in point.plans()]
        for _, at in seen:
            frozen += [np.abs(dw[f]).max() for dw, f in zip(at.weights, point.frozen, strict=True)]
        for layer, index in _free_coordinates(point, rng):
            found = point.around(list(subject.net.quantizable())[layer], index)
            judged.append(found is not None)
            if found is None:
                continue
            for plan, at in seen:
                want = numeric(point, plan, layer, index, *found)
                worst[plan.gradient].see(at.weights[layer][index], want)
        for position, (name, array) in enumerate(subject.shared().items()):
            index = tuple(int(rng.integers(0, n)) for n in array.shape)
            found = point.around(name, index)
            judged.append(found is not None)
            if found is None:
                continue
            for plan, at in seen:
                shared.see(at.shared[position][index], numeric_shared(plan, *found))
    where = f"ternary and binary, s = {' and '.join(sorted(signs))}, half frozen, both norms of E, {subject.name}"
    if np.mean(judged) < 0.5:
        worst = {mode: Compared() for mode in MODES}  # too few coordinates without a kink: nothing was verified
    for mode, equation in MODES.items():
        yield worst[mode].line(
            f"5 gradient {mode}",
            equation,
            f"{worst[mode].count} central differences, {where}",
            BOUND,
            WHY,
        )
    yield shared.line(
        "5 shared parameters",
        "(1 + a1 s) dL(W) - a1 s dL(W_hat) = dJ, W and W_hat fixed",
        f"biases and BatchNorm, every mode, against central differences of J, {where}",
        BOUND,
        WHY,
    )
    yield Line(
        "5 frozen weights",
        "gradient exactly 0",
        f"largest gradient of a frozen weight, every mode, {where}",
        largest(frozen),
        0.0,
        "selected, not computed",
    )
    yield _at_zero(subject, rng)
    yield _moving_scale(subject, rng)


def lp_of(difference: float, plan: Plan) -> float:
    """Lp for a difference L(W) - L(W_hat)."""
    return abs(difference) if plan.perturbation == "abs" else max(0.0, -difference)


def numeric(point: Point, plan: Plan, layer: int, index: tuple[int, ...], h: float, losses: Losses) -> float:
    """Central difference of the mode's function at one weight."""
    gap = point.w[layer][index] - point.w_hat[layer][index]
    gaps = [a - b for a, b in zip(point.w, point.w_hat, strict=True)]
    inner = sum(float(np.vdot(g, d)) for g, d in zip(point.g0, gaps, strict=True))
    g0 = point.g0[layer][index]

    def value(loss: float, hat: float, step: float) -> float:
        if plan.gradient == "constant":
            lp = lp_of(loss - point.loss_hat, plan)
        elif plan.gradient == "straight-through":
            lp = lp_of(loss - hat, plan)
        elif plan.gradient == "taylor-inner":
            lp = lp_of(inner + g0 * step, plan)
        else:  # only this weight's part of the sums moves
            lp = abs(g0) * abs(gap + step)
        return loss + A1 * float(lp) + A2 * float(abs(gap + step)) ** (2 if plan.norm == "squared" else 1)

    return (value(losses.up, losses.hat_up, h) - value(losses.down, losses.hat_down, -h)) / (2 * h)


def numeric_shared(plan: Plan, h: float, losses: Losses) -> float:
    """Central difference of J at one shared parameter."""
    up, down, hat_up, hat_down = losses
    return (up + A1 * lp_of(up - hat_up, plan) - down - A1 * lp_of(down - hat_down, plan)) / (2 * h)


def _points(subject: Subject) -> Iterator[Point]:
    rng = np.random.default_rng(0)
    for levels in ("ternary", "binary"):
        w_hat = quantized(subject.weights(), levels)
        frozen = [rng.random(a.shape) < 0.5 for a in w_hat]
        w = [np.where(f, b, a) for f, a, b in zip(frozen, subject.weights(), w_hat, strict=True)]
        for labels in signed_labels(subject, w, w_hat).values():
            yield Point(subject, levels, labels, w, w_hat, frozen)


def _free_coordinates(point: Point, rng: np.random.Generator) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Some free weights of every layer (of four layers where there are more), no kink of |W - W_hat| near."""
    layers = range(len(point.w))
    count = 12 if point.subject.plain else 2
    for layer in layers if len(layers) <= 4 else rng.choice(layers, 4, replace=False):
        away = np.abs(point.w[layer] - point.w_hat[layer]) > 1e-4
        places = np.argwhere(~point.frozen[layer] & away)
        for place in rng.permutation(places)[:count]:
            yield int(layer), tuple(int(i) for i in place)


def _at_zero(subject: Subject, rng: np.random.Generator) -> Line:
    """W = W_hat, nothing frozen: L(W) = L(W_hat). The difference of |.| around 0 is even, its central difference 0."""
    w_hat = quantized(subject.weights(), "ternary")
    point = Point(subject, "ternary", subject.labels, w_hat, w_hat, [np.zeros(a.shape, bool) for a in w_hat])
    seen = [(plan, point.seen(plan)) for plan in point.plans() if plan.perturbation == "abs"]
    worst = Compared()
    for layer, name in enumerate(subject.net.quantizable()):
        index = tuple(int(rng.integers(0, n)) for n in w_hat[layer].shape)
        found = point.around(name, index)
        if found is None:
            continue
        for plan, at in seen:
            worst.see(at.weights[layer][index], numeric(point, plan, layer, index, *found))
    for _, at in seen:
        worst.see(at.sign, 0.0)
    return worst.line(
        "5 s = 0",
        "L(W) = L(W_hat): s = 0, the gradient is dL/dW",
        f"W = W_hat, every mode against central differences of its function, {subject.name}",
        1e-4,
        "f'' h / 2 at the kink of |.|, h = 1e-5",
    )


def _moving_scale(subject: Subject, rng: np.random.Generator) -> Line:
    """Stage 0 with a scale that follows W: J itself, codes fixed."""
    worst = Compared()
    options = ((False, True), ("squared", "absolute")) if subject.plain else ((False,), ("squared",))
    for levels, per_channel, norm in itertools.product(LEVEL_SET, *options):
        w = subject.weights()
        plan = Plan(levels, a1=A1, a2=A2, sign="computed", gradient="constant", alpha_from="stage0", norm=norm,
                    per_channel=per_channel)  # fmt: skip
        w_hat = [closest(a, _scale(a, plan), levels) for a in w]
        codes = [np.sign(b) for b in w_hat]
        slopes = [scale_slope(a, levels, per_channel=per_channel) for a in w]
        seen = objective(subject.forward, w, w_hat, plan, slopes=slopes)
        for layer in range(min(len(w), 3)):
            index = tuple(int(rng.integers(0, n)) for n in w[layer].shape)
            values = []
            for h in (1e-5, -1e-5):
                near = [a.copy() for a in w]
                near[layer][index] += h
                hats = [c * _scale(a, plan) for a, c in zip(near, codes, strict=True)]
                loss, hat = (subject.loss(subject.parameters(x)) for x in (near, hats))
                power = 2 if norm == "squared" else 1
                error = sum(float(np.sum(np.abs(a - b) ** power)) for a, b in zip(near, hats, strict=True))
                values.append(loss + A1 * abs(loss - hat) + A2 * error)
            worst.see(seen.weights[layer][index], (values[0] - values[1]) / 2e-5)
    bound, why = (
        (BOUND, WHY)
        if subject.plain
        else (1e-3, "h = 1e-5 crosses kinks of single units, each a small share of the gradient")
    )
    return worst.line(
        "5 a scale that follows W",
        "dJ/dW through alpha(W): - a1 s <ghat, c> dalpha/dW - 2 a2 <W - W_hat, c> dalpha/dW",
        f"mode constant against central differences of J, an alpha a layer or a channel, codes fixed, {subject.name}",
        bound,
        why,
    )


def _scale(w: np.ndarray, plan: Plan) -> np.ndarray:
    """alpha, with all axes of w."""
    rows = np.abs(w).reshape(len(w) if plan.per_channel else 1, -1)
    alpha = rows.mean(1) + (0.05 * rows.max(1) if plan.levels == "ternary" else 0)
    scales: np.ndarray = alpha.reshape(-1, *(1,) * (w.ndim - 1))
    return scales
