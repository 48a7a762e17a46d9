"""Statement 8: a multi-stage run on a linear classifier, replayed by hand in elementary NumPy.

(Agreement with PyTorch's automatic differentiation is a test on recorded traces: tests/training/test_golden_run.py.)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from ..datasets import digits
from ..elq.plan import Plan
from ..nn import Flatten, Linear, Sequential
from ..training.sgd import SGD, Schedule
from ..training.stages import quantize
from .line import Compared, Line
from .subject import Doubles, cross_entropy

CASES = {
    "ternary": (
        Plan("ternary", a1=0.7, a2=0.01, sign="computed", sigma2=(0.3, 0.0), epochs=(2, 1, 1)),
        SGD(0.1, 0.9, 0.01),
    ),
    "binary": (
        Plan(
            "binary",
            a1=1.5,
            a2=0.003,
            sign="computed",
            sigma2=(0.4, 0.25, 0.0),
            epochs=(1, 1.6, 1.2, 1),
            momentum_at_freeze="reset",
            tail="pull",
            tail_rate=0.2,
        ),
        SGD(0.05, 0.8, 0.02, nesterov=True, schedule=Schedule("step", milestones=(0.4,), gamma=0.5)),
    ),
    "positive": (
        Plan("ternary", a1=0.7, sign="computed", perturbation="positive", tail="clip", sigma2=(0.0,), epochs=(2, 1)),
        SGD(0.1, 0.5, schedule=Schedule("constant", warmup=0.5)),
    ),
    "assumed": (Plan("ternary", a2=0.01, tail="2alpha", sigma2=(0.2, 0.0), epochs=(0, 1, 1)), SGD(0.1)),
    "float": (
        Plan(
            "ternary", a1=0.7, a2=0.01, sign="computed", sigma2=(0.2, 0.0), epochs=(1, 1, 1), keep_float=("1.weight",)
        ),
        SGD(0.1, 0.9, 0.01),
    ),
    "moving": (
        Plan(
            "ternary",
            alpha_from="stage0",
            a1=0.5,
            a2=0.02,
            sign="computed",
            sigma2=(0.35, 0.2, 0.0),
            epochs=(2, 1, 1, 1),
            tail="pull",
            tail_rate=0.3,
        ),
        SGD(0.2, 0.9, 0.001),
    ),
    "channels": (
        Plan(
            "binary",
            alpha_from="stage0",
            per_channel=True,
            norm="absolute",
            restart=0.5,
            a1=2.0,
            a2=0.01,
            sign="computed",
            sigma2=(0.45, 0.1, 0.0),
            epochs=(1.6, 1, 1, 0.1),
        ),
        SGD(0.1, 0.9, schedule=Schedule("cosine", warmup=0.3)),
    ),
    "rising": (
        Plan("ternary", a1_rise=(0.1, 0.6), a2=0.05, a2_rise=(0.5, 1.0), sigma2=(0.2, 0.0), epochs=(2, 1, 0.4)),
        SGD(0.1),
    ),
}


def lines() -> Iterator[Line]:
    """One line a case."""
    train, _ = digits()
    batches = Doubles(train.subset(np.arange(96)), 32)
    for name, (plan, sgd) in CASES.items():
        rng = np.random.default_rng(4)
        net = Sequential(Flatten(), Linear(64, 10, rng=rng)).astype(np.float64)
        net.load_state_dict({"1.weight": 0.3 * rng.standard_normal((10, 64)), "1.bias": 0.1 * rng.standard_normal(10)})
        states = by_hand(net.state_dict(), batches, plan, sgd)
        worst, signs = Compared(), set()
        count = 0
        for step, at in itertools.zip_longest(quantize(net, batches, plan, sgd), states):
            if step is None or at is None:
                worst.see(np.nan, count)  # one of the two has fewer steps
                break
            count, (w, b, loss_hat, objective, share) = step.step, at
            state = net.state_dict()
            assert step.loss_hat is not None
            for ours, theirs in ((state["1.weight"], w), (state["1.bias"], b), (step.loss_hat, loss_hat)):
                worst.see(ours, theirs)
            worst.see(step.frozen, share, 1.0)
            if step.objective is not None:
                worst.see(step.objective, objective)
            signs.add(f"{step.sign:+.0f}")
        yield worst.line(
            f"8 a run replayed by hand, {name}",
            "W, b, L(W_hat), J and the share frozen of every step",
            f"quantize on a linear classifier against NumPy by hand, {count} steps, s = {' '.join(sorted(signs))}",
            1e-11,
            "rounding, 1e5 eps over the steps",
        )


def by_hand(
    start: dict[str, np.ndarray], batches: Doubles, plan: Plan, sgd: SGD
) -> Iterator[tuple[np.ndarray, np.ndarray, float, float, float]]:
    """(w, b, L(W_hat), J, share frozen) after every step; mode straight-through."""
    w, b = start["1.weight"], start["1.bias"]
    alpha = _alpha(w, plan)
    frozen = np.zeros(w.shape, bool)
    vw, vb = np.zeros(w.shape), np.zeros(b.shape)
    pictures = [pair for epoch in range(math.ceil(sum(plan.epochs))) for pair in batches.epoch(epoch)]
    number = 0
    for stage, epochs in enumerate(plan.epochs):
        if stage and not plan.keep_float:
            group = ~frozen & _chosen(w, alpha, plan, stage)
            w = np.where(group, _levels(w, alpha, plan), w)
            frozen = frozen | group
            if plan.momentum_at_freeze == "reset":
                vw = 0 * vw
            vw = np.where(frozen, 0, vw)
        steps = max(1, math.floor(epochs * len(batches) + 0.5)) if epochs else 0
        for index in range(steps):
            x, labels = pictures[number]
            number += 1
            w_hat = w if plan.keep_float else _levels(w, alpha, plan)
            loss, gw, gb = _pass(x, labels, w, b)
            hat, hw, hb = _pass(x, labels, w_hat, b)
            a1, a2 = _weights_of_terms(plan, stage, index / steps)
            d = loss - hat
            s = -1.0 if plan.sign == "assumed" else float((d > 0) - (d < 0))
            s = 0.0 if plan.perturbation == "positive" and d > 0 else s
            j = (
                loss
                + a1 * (max(0.0, -d) if plan.perturbation == "positive" else abs(d))
                + a2 * ((w - w_hat) ** 2 if plan.norm == "squared" else abs(w - w_hat)).sum()
            )
            pull = 2 * (w - w_hat) if plan.norm == "squared" else np.sign(w - w_hat)
            dw = gw + a1 * s * (gw - hw) + a2 * pull
            moves = plan.alpha_from == "stage0" and stage == 0
            if moves:
                axis = 1 if plan.per_channel else None
                dw = dw - a2 * (pull * np.sign(w_hat)).sum(axis, keepdims=True) * _slope(w, plan)
            dw = dw + sgd.weight_decay * w
            db = gb + a1 * s * (gb - hb) + sgd.weight_decay * b
            vw, vb = np.where(frozen, 0, sgd.momentum * vw + dw), sgd.momentum * vb + db
            lr = sgd.lr * (plan.restart if stage else 1) * _factor(sgd.schedule, index, steps)
            uw, ub = (dw + sgd.momentum * vw, db + sgd.momentum * vb) if sgd.nesterov else (vw, vb)
            w, b = np.where(frozen, w, w - lr * uw), b - lr * ub
            alpha = _alpha(w, plan) if moves else alpha
            rate = {"pull": plan.tail_rate, "clip": 1.0}.get(plan.tail, 0.0)
            beyond = ~frozen & (abs(w) > alpha)
            w = np.where(beyond, w - rate * (abs(w) - alpha) * np.sign(w), w)
            yield w, b, hat, j, frozen.mean()


def _weights_of_terms(plan: Plan, stage: int, share: float) -> tuple[float, float]:
    """a1 and a2 at this moment: a quarter of a sine's wave, squared."""
    passes = sum(plan.epochs[:stage]) + share * plan.epochs[stage]
    found = []
    for weight, ends in ((plan.a1, plan.a1_rise), (plan.a2, plan.a2_rise)):
        begin, end = (sum(plan.epochs) * e for e in ends or (-1.0, 0.0))
        found.append(weight * math.sin(math.pi / 2 * min(1, max(0, (passes - begin) / (end - begin)))) ** 2)
    return found[0], found[1]


def _factor(schedule: Schedule, index: int, steps: int) -> float:
    """The schedules that CASES use, restarted at every stage."""
    rise = 1.0
    if schedule.warmup:
        rise = min(1.0, (index + 1) / max(1.0, schedule.warmup * steps))
    if schedule.shape == "cosine":
        return rise * (0.5 + 0.5 * math.cos(math.pi * index / steps))
    if schedule.shape == "step":
        return 0.5 if index >= 0.4 * steps else 1.0
    return rise


def _alpha(w: np.ndarray, plan: Plan) -> np.ndarray:
    """(1, 1), or (O, 1) with one a channel."""
    size = abs(w) if plan.per_channel else abs(w).reshape(1, -1)
    alpha: np.ndarray = size.mean(1, keepdims=True)
    return alpha + 0.05 * size.max(1, keepdims=True) if plan.levels == "ternary" else alpha


def _slope(w: np.ndarray, plan: Plan) -> np.ndarray:
    """d alpha / dw where no two |w| are the largest; ternary with one scale, binary with one a channel."""
    count = w.shape[1] if plan.per_channel else w.size
    largest = (abs(w) == abs(w).max()) if plan.levels == "ternary" else np.zeros(w.shape)
    slope: np.ndarray = np.sign(w) * (1 / count + 0.05 * largest)
    return slope


def _levels(w: np.ndarray, alpha: np.ndarray, plan: Plan) -> np.ndarray:
    if plan.levels == "binary":
        return np.where(w >= 0, alpha, -alpha)
    return np.where(abs(w) > alpha / 2, alpha * np.sign(w), 0.0)


def _chosen(w: np.ndarray, alpha: np.ndarray, plan: Plan, stage: int) -> np.ndarray:
    sigma2 = plan.sigma2[stage - 1]
    if stage == len(plan.sigma2):
        return np.ones(w.shape, bool)
    if plan.levels == "binary":
        return abs(w) < (1 - 2 * sigma2) * alpha
    outside = plan.tail == "2alpha"
    return ((abs(w) >= sigma2 * alpha) & (abs(w) < (1 - sigma2) * alpha)) | (outside & (abs(w) > 2 * alpha))


def _pass(x: np.ndarray, labels: np.ndarray, w: np.ndarray, b: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Loss, dL/dw and dL/db of softmax(w x + b)."""
    flat = x.reshape(len(x), -1)
    z = flat @ w.T + b
    p = np.exp(z - np.logaddexp.reduce(z, axis=1, keepdims=True))
    p[np.arange(len(z)), labels] -= 1
    return cross_entropy(z, labels), p.T @ flat / len(z), p.mean(0)
