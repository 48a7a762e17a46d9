"""Statement 1: for a1 >= 1 the objective bounds the loss of the network that is deployed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..elq.gradients import objective
from ..elq.plan import Plan
from .line import EPS, Compared, Line
from .subject import Subject, quantized, signed_labels

ROUNDING = 1e4 * EPS  # of a loss: thousands of additions of numbers of its own size


def lines(subject: Subject) -> Iterator[Line]:
    """J >= L(W_hat), when it is an equality, and that it fails below a1 = 1."""
    w = subject.weights()
    below, reported = Compared(), Compared()
    gaps, wrong, counter, judged = [], 0, 0, 0
    for levels in ("ternary", "binary"):
        w_hat = quantized(w, levels)
        signs = signed_labels(subject, w, w_hat)
        for sign, labels in signs.items():
            deployed = subject.loss(subject.parameters(w_hat), labels)
            for a1 in (1.0, 1.5, 3.0):
                for a2 in (0.0, 1e-3):
                    j, loss_hat, error = at(subject, w, w_hat, labels, Plan(levels, a1=a1, a2=a2, sign="computed"))
                    excess = max(0.0, (deployed - j) / (1 + abs(j)))
                    below.judge(np.array([j]), np.array([deployed]), np.array([excess]))
                    reported.see(loss_hat, deployed)
                    equal = a2 * error == 0 and a1 == 1 and sign < 0
                    wrong += (abs(j - deployed) <= ROUNDING * (1 + j)) != equal
                    judged += 1
            if sign < 0:  # L(W_hat) > L(W): J = L(W) + a1 (L(W_hat) - L(W)) stays below
                plans = [Plan(levels, a1=a1, sign="computed") for a1 in (0, 0.5, 0.9)]
                values = [at(subject, w, w_hat, labels, plan)[0] for plan in plans]
                gaps += [deployed - v for v in values]
                counter += sum(v >= deployed for v in values)
        j, loss_hat, _ = at(subject, w_hat, w_hat, subject.labels, Plan(levels, a1=3.0, a2=1.0, sign="computed"))
        wrong += j != loss_hat
    where = f"on {subject.name}"
    yield reported.line(
        "1 L(W_hat) is that of the deployed network",
        "L(W_hat) = L of the network that holds W_hat",
        f"the pass at W_hat against a separately materialised network, {where}",
        ROUNDING,
        "rounding of a loss, 1e4 eps",
    )
    yield below.line(
        "1 the objective bounds the deployed loss",
        "J(W) >= L(W_hat) for a1 >= 1",
        f"J against L(W_hat) of a separately materialised network, {judged} cases, {where}",
        ROUNDING,
        "rounding of a loss, 1e4 eps",
    )
    yield Line(
        "1 equality",
        "J = L(W_hat) iff a2 E = 0 and (Lp = 0, or a1 = 1 and L(W_hat) >= L(W))",
        f"cases where J - L(W_hat) is 0 against cases where the condition says so, {where}",
        float(wrong),
        0.0,
        "a count",
    )
    yield Line(
        "1 a1 < 1 does not bound",
        "a1 < 1, L(W_hat) > L(W): J < L(W_hat)",
        f"constructed counter-examples at a1 = 0, 0.5, 0.9 that do not contradict, of {len(gaps)}, {where}",
        float(counter) if gaps else np.inf,
        0.0,
        "a count",
    )


def at(
    subject: Subject, w: list[np.ndarray], w_hat: list[np.ndarray], labels: np.ndarray, plan: Plan
) -> tuple[float, float, float]:
    """The package's J, L(W_hat) and E, of a plan whose sign is computed."""
    seen = objective(lambda weights: subject.forward(weights, labels), w, w_hat, plan)
    assert seen.value is not None
    assert seen.loss_hat is not None
    return seen.value, seen.loss_hat, seen.error
