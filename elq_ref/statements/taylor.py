"""Statement 2: the loss difference opened to first order, and what remains of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .line import Line
from .subject import Subject, quantized

NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(20)


def lines(subject: Subject) -> Iterator[Line]:
    """Slope 2, the curvature behind it and, without kinks, the remainder as an integral."""
    subject = subject.some(min(len(subject.x), 32 if subject.plain else 2))
    w = subject.weights()
    d = [b - a for a, b in zip(w, quantized(w, "ternary"), strict=True)]
    t = smooth_step(subject, w, d)
    window = f"at t = {t:.3g} and t/2" + ("" if subject.plain else ", inside one region of the ReLUs")
    above, half = abs(remainder(subject, w, d, t)), abs(remainder(subject, w, d, t / 2))
    yield Line(
        "2 the first-order remainder has slope 2",
        "|L(W + t D) - L(W) - t <g, D>| ~ t^2, D = W_hat - W",
        f"slope of the remainder on log axes, {window}, against 2, on {subject.name}",
        abs(float(np.log2(above / half)) - 2),
        0.02,
        "the third-order term changes the slope by O(t)",
        (float(np.log2(above / half)), 2.0),
    )
    h = t if subject.plain else t / 4
    second = (remainder(subject, w, d, t) + remainder(subject, w, d, -t)) / t**2
    curvature = (slope(subject, w, d, h) - slope(subject, w, d, -h)) / (2 * h)
    yield Line(
        "2 its factor is the curvature",
        "L(W + t D) + L(W - t D) - 2 L(W) = t^2 D' H D",
        f"losses alone against differences of the gradient, {window}, on {subject.name}",
        abs(second - curvature) / (1 + abs(curvature)),
        0.01,
        "fourth-order term, O(t^2), and rounding of losses, eps / t^2",
        (second, curvature),
    )
    if subject.plain:
        points = (NODES + 1) / 2
        second_order = [(slope(subject, w, d, p + 1e-4) - slope(subject, w, d, p - 1e-4)) / 2e-4 for p in points]
        integral = float(np.sum(NODE_WEIGHTS / 2 * (1 - points) * second_order))
        whole = remainder(subject, w, d, 1.0)
        yield Line(
            "7 the remainder is bounded by ||W_hat - W||^2",
            "L(W_hat) - L(W) - <g, D> = int (1 - t) D' H(W + t D) D dt <= M/2 ||D||^2",
            f"losses against quadrature of the curvature along the way, and its maximum M, on {subject.name}",
            max(abs(whole - integral), abs(whole) - max(map(abs, second_order)) / 2) / (1 + abs(whole)),
            1e-3,
            "20 nodes; curvature by differences, O(h^2)",
            (whole, integral),
        )


def remainder(subject: Subject, w: list[np.ndarray], d: list[np.ndarray], t: float) -> float:
    """L(W + tD) - L(W) - t <g, D>, the losses of materialised networks."""
    gain = subject.loss(subject.parameters(along(w, d, t))) - subject.loss(subject.parameters(w))
    return gain - t * slope(subject, w, d, 0.0)


def slope(subject: Subject, w: list[np.ndarray], d: list[np.ndarray], t: float) -> float:
    """<gradient at W + tD, D>."""
    return float(sum(np.vdot(g, b) for g, b in zip(subject.forward(along(w, d, t)).weights, d, strict=True)))


def along(w: list[np.ndarray], d: list[np.ndarray], t: float) -> list[np.ndarray]:
    """W + tD."""
    return [a + t * b for a, b in zip(w, d, strict=True)]


def smooth_step(subject: Subject, w: list[np.ndarray], d: list[np.ndarray]) -> float:
    """The largest t = 2^-k, k >= 10, for which W +- tD lies in the region of W."""
    home = subject.region(subject.parameters(w))
    t = 2.0**-10
    while t > 2.0**-24 and any(subject.region(subject.parameters(along(w, d, u))) != home for u in (t, -t)):
        t /= 2
    return t
