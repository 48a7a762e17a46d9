"""The pictures of statements that have one, computed by what the statement is checked with."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Protocol

import numpy as np

from ...deploy.calibration import Histogram
from ...deploy.calibration import scale as limit_scale
from ...elq.bands import draw_in, tail_share
from ...elq.levels import scale
from ...graph.codes import pack_codes, pack_trits
from .. import calibrating, gaussian, integers, taylor
from ..subject import Subject, quantized
from .bytes import Bytes
from .chart import BLUE, GOOD, RED, SOFT, Chart


class Drawn(Protocol):
    """A picture."""

    def svg(self, title: str) -> str:
        """It as an element."""


def _remainder() -> Chart:
    subject = Subject.bundled().some(8)
    w = subject.weights()
    d = [b - a for a, b in zip(w, quantized(w, "ternary"), strict=True)]
    t = [2.0**-k for k in range(14, -1, -1)]
    rest = [abs(taylor.remainder(subject, w, d, x)) for x in t]
    chart = Chart((t[0], 1), (1e-10, 1), ("t", "remainder"), (True, True), "left")
    chart.line(t, [rest[4] * (x / t[4]) ** 2 for x in t], SOFT, dashed=True)
    chart.dots(t, rest)
    chart.note("dashed: slope 2")
    return chart


def _error() -> Chart:
    """E against alpha of quantiles of a Gaussian."""
    size = np.array([abs(NormalDist().inv_cdf((i + 0.5) / 999)) for i in range(999)])
    alphas = np.linspace(0.2, 2.6, 121)

    def error(a: float) -> float:
        return float(np.sum((size - np.where(size > a / 2, a, 0)) ** 2) / np.sum(size**2))

    chart = Chart((0.2, 2.6), (0, 1), ("alpha / sigma", "E / ||W||^2"))
    chart.line(alphas.tolist(), [error(a) for a in alphas])
    for rule, name, colour in (("l2", "the least", GOOD), ("elq", "ELQ", RED), ("twn", "TWN", SOFT)):
        a = scale(size[None], "ternary", rule).item()
        chart.dots([a], [error(a)], colour, 4)
        chart.note(f"{name}: alpha = {a:.3f} sigma", colour)
    return chart


def _bell(top: float = 0.85) -> Chart:
    """The density of |w| in units of sigma."""
    x = np.linspace(0, 3, 91)
    chart = Chart((0, 3), (0, top), ("|w| / sigma", "density"))
    chart.line(x.tolist(), gaussian.normal(x).tolist())
    return chart


def _threshold() -> Chart:
    chart = _bell()
    alpha = gaussian.best_scale(gaussian.normal, gaussian.TOP)
    chart.band(0, alpha / 2)
    chart.upright(alpha, RED)
    chart.note(f"shaded: to 0, up to alpha/2 = {alpha / 2:.4f} sigma")
    chart.note(f"line: alpha = {alpha:.4f} sigma", RED)
    return chart


def _rule() -> Chart:
    n = [10.0 ** (k / 4) for k in range(4, 29)]
    chart = Chart((10, 1e7), (0.8, 1.3), ("weights in the layer", "alpha / sigma"), logs=(True, False))
    chart.line(n, [gaussian.rule_at(round(k)) for k in n])
    best = gaussian.best_scale(gaussian.normal, gaussian.TOP)
    chart.line([10, 1e7], [best, best], SOFT, dashed=True)
    chart.note("dashed: the scale of the least error")
    return chart


def _bands() -> Chart:
    chart = Chart((0, 1.6), (0, 4), ("|w| / alpha", "stage"))
    for stage, sigma2 in enumerate((0.4, 0.3, 0.2, 0.0), 1):
        chart.bars([sigma2, 1 - sigma2 if stage < 4 else 1.6], [4.4 - stage], RED if stage % 2 else BLUE)
    for level in (0.0, 0.5, 1.0):
        chart.upright(level)
    chart.note("stages 1 (narrow) to 4 (all), defaults")
    return chart


def _tails() -> Chart:
    w = np.linspace(-2, 2, 81)
    one, free = np.ones(1), np.ones(81, bool)
    chart = Chart((-2, 2), (-2, 2), ("w / alpha before", "w / alpha after"), legend="left")
    for tail, colour in (("last", SOFT), ("pull", BLUE), ("clip", RED)):
        chart.line(w.tolist(), draw_in(w, one, free, tail_share(tail, 0.3)).tolist(), colour, dashed=tail == "last")
        chart.note({"pull": "pull, rate 0.3"}.get(tail, tail), colour)
    return chart


def _rounding() -> Chart:
    """The staircase of a requantization, and the line that it stands for."""
    m = 0.21
    sums = range(-40, 41)
    chart = Chart((-40, 40), (-10, 10), ("acc", "y"), legend="left")
    chart.line([-40, 40], [-40 * m, 40 * m], SOFT, dashed=True)
    e = math.frexp(m)[1]
    q = math.floor(m / 2.0**e * 2**31 + 0.5)
    y = [math.floor(acc * q / 2 ** (31 - e) + 0.5) for acc in sums]
    chart.dots(list(sums), y)
    chart.note(f"m = {m}; dashed: m acc")
    return chart


def _near() -> Chart:
    chart = Chart((-1, 1), (-0.6, 0.6), ("acc / the last with headroom", "y - acc 2^l q / 2^s"))
    for constants, lo, acc in integers.edges()[:40]:
        last, q, s = (2**31 - 1) >> constants.l, int(constants.q[3]), int(constants.s[3])
        inside = [int(v) for v in acc if lo < int(v) * 2**constants.l * q / 2**s < 127]
        exact = [v * 2**constants.l * q / 2**s for v in inside]
        chart.dots([v / last for v in inside], [math.floor(x + 0.5) - x for x in exact], BLUE, 1.8)
    return chart


def _limits() -> Chart:
    x = next(calibrating.samples())
    histogram = Histogram.of(x)
    chart = Chart((0, 20), (1, 1e4), ("|x| / its mean", "elements"), logs=(False, True))
    size = np.abs(x.astype(np.float64)) / float(np.abs(x).mean())
    counts, edges = np.histogram(size, 80, (0, 20))
    chart.bars(edges.tolist(), [max(float(c), 1.0) for c in counts], BLUE)
    for method, colour in (("mse", RED), ("percentile", GOOD)):
        limit = 127 * limit_scale(histogram, method) / float(np.abs(x).mean())
        chart.upright(limit, colour)
        chart.note(f"{method}: T = {limit:.1f}", colour)
    chart.note(f"min-max: T = {size.max():.0f}", SOFT)
    return chart


def _codes() -> Bytes:
    codes = np.array([[1, 0, -1, 1, 1, 0]], np.int8)
    return Bytes(pack_codes(codes, "ternary")[0].tolist(), ["+1", "0", "-1", "+1", "+1", "0"], 2)


def _trits() -> Bytes:
    codes = np.array([[1, 0, -1, 1, 1]], np.int8)
    return Bytes(pack_trits(pack_codes(codes, "ternary"), 5).tolist(), [], 0, "1 + 0·3 + 2·9 + 1·27 + 1·81 = 127")


PICTURES: dict[str, tuple[str, Callable[[], Drawn]]] = {
    "2 the first-order remainder has slope 2": (
        "What is left of the loss after its first order, step by step.",
        _remainder,
    ),
    "3 the exact optimum, many weights": ("The error of 999 Gaussian weights against the scale.", _error),
    "4 Gaussian weights: optimal threshold": ("Where a Gaussian weight goes to 0, and the level.", _threshold),
    "4 the method's scale depends on n": ("The method's scale of Gaussian weights.", _rule),
    "6 the band of a stage": ("Which |w| a stage freezes.", _bands),
    "6 tails are drawn in": ("A step of the tail rules.", _tails),
    "packed codes in bits": ("Six ternary codes, the lowest bits first, and their bytes.", _codes),
    "packed trits": ("The five codes +1 0 -1 +1 +1 as one byte.", _trits),
    "integers a requantization is one rounding": ("Sums become int8.", _rounding),
    "integers how near a requantization is": ("The rounding of sums up to the last with headroom.", _near),
    "integers calibration, least squares": (
        "20,000 numbers of a value, and the limits that the rules choose.",
        _limits,
    ),
}
