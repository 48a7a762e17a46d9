"""Statement 3 where arrays are float32, as in training, and where weights tie."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ..elq.gradients import Pass, objective
from ..elq.levels import dequantize, nearest_codes, nearest_level, scale, scale_slope
from ..elq.plan import Plan
from ..kernels import numpy_ops
from .arrays import adversarial
from .line import Compared, Counted, Line
from .subject import LEVEL_SET

TIES = ([0.5, -1.0, 1.0, -1.0, 0.25], [-2.0, 2.0, 2.0, 0.0, -2.0])  # several largest |w|; the first one counts


def lines() -> Iterator[Line]:
    """Sums of float32, one sweep, ties of the largest weight."""
    yield _sums()
    yield _sweep()
    yield _ties()


def _sums() -> Line:
    """alpha of each rule in steps of float32, and E, of weights whose float32 sums would drift."""
    seen, rng = Compared(), np.random.default_rng(17)
    for w in (
        rng.standard_normal((1, 60001)).astype(np.float32),
        (1e-3 + 1e-6 * rng.random((2, 20000))).astype(np.float32),
        np.concatenate([np.full((1, 1), 3e4), 1e-3 * rng.random((1, 40000))], 1).astype(np.float32),
    ):
        size = [abs(v) for v in w.ravel().tolist()]
        mean = math.fsum(size) / len(size)
        above = [v for v in size if v > 0.7 * mean]
        sums, best = 0.0, (0.0, 0.0)
        for k, v in enumerate(sorted(size, reverse=True), 1):
            sums += v
            best = max(best, (sums**2 / k, sums / k))
        wanted = {"elq": mean + 0.05 * max(size), "twn": math.fsum(above) / len(above), "l2": best[1]}
        for rule, alpha in wanted.items():
            seen.see(scale(w, "ternary", rule).item(), alpha, float(np.spacing(np.float32(alpha))))
        seen.see(scale(w, "binary").item(), mean, float(np.spacing(np.float32(mean))))
        w_hat = nearest_level(w, scale(w, "ternary"), "ternary")
        gaps = [abs(v) for v in (w - w_hat).ravel().tolist()]
        for norm, e in (("squared", math.fsum(v * v for v in gaps)), ("absolute", math.fsum(gaps))):
            at = objective(_nothing, [w], [w_hat], Plan(norm=norm, sign="computed"))
            seen.see(at.error, e, 1e-9 * e)
    return seen.line(
        "3 sums in float64",
        "alpha = mean|w| + 0.05 max|w|, E = sum (w - W_hat)^2",
        "float32 weights: alpha of every rule in steps of float32, E in 1e-9 of itself, against exact sums",
        0.51,
        "alpha is rounded once, to float32",
    )


def _nothing(weights: object) -> Pass:
    """A loss of 0 without gradients."""
    assert isinstance(weights, list)
    return Pass(0.0, [np.zeros_like(w) for w in weights], [])


def _sweep() -> Line:
    """The kernel that training quantizes with, in both precisions, and the one without C."""
    seen = Counted()
    for dtype in (np.float32, np.float64):
        for w in adversarial().values():
            if dtype == np.float32:
                w = np.clip(w, -1e38, 1e38)
            w = w.astype(dtype)
            for levels in LEVEL_SET:
                for alpha in (scale(w, levels), scale(w, levels, per_channel=True), np.full((1, 1), 1, dtype)):
                    kind = f"u{w.itemsize}"
                    rows = zip(w, np.broadcast_to(alpha, (len(w), 1))[:, 0], strict=True)
                    wanted = np.array([[_level(v, a, levels) for v in row] for row, a in rows], dtype).view(kind)
                    seen.see(nearest_level(w, alpha, levels).view(kind), wanted)
                    seen.see(numpy_ops.nearest_level(w, alpha, levels == "ternary").view(kind), wanted)
                    codes = nearest_codes(w, alpha, levels)
                    seen.see(dequantize(codes, alpha).view(kind), wanted)
    return seen.line(
        "3 the nearest level in one sweep",
        "W_hat = alpha if w > alpha/2, -alpha if w < -alpha/2, else 0; binary: alpha if w >= 0, else -alpha",
        "{count} W_hat of both precisions, random and adversarial, bit for bit against one decision after the other",
    )


def _level(w: np.floating, alpha: np.floating, levels: str) -> np.floating:
    if levels == "binary":
        return alpha if w >= 0 else -alpha
    half = alpha / alpha.dtype.type(2)
    if w > half:
        return alpha
    return -alpha if w < -half else alpha * 0


def _ties() -> Line:
    """d alpha / dw of one layer and of two channels whose largest weights tie."""
    seen = Counted()
    for dtype in (np.float64, np.float32):
        w = np.array(TIES, dtype)
        for levels in LEVEL_SET:
            flat = _slopes(w.ravel(), levels)
            seen.see(scale_slope(w, levels), np.array(flat).reshape(w.shape))
            seen.see(scale_slope(w, levels, per_channel=True), [_slopes(row, levels) for row in w])
    return seen.line(
        "3 d alpha / dw where weights tie",
        "+ 0.05 sign(w) at the first of the largest |w|",
        "{count} slopes of layers and channels with several largest weights against their definition",
    )


def _slopes(row: np.ndarray, levels: str) -> list[np.floating]:
    """sign(w) / n, and at the first of the largest 0.05 sign(w) more, in the precision of the row."""
    signs = [row.dtype.type(int(v > 0) - int(v < 0)) for v in row]
    slopes = [sign / row.dtype.type(len(row)) for sign in signs]
    if levels == "ternary":
        size = [abs(float(v)) for v in row]
        first = size.index(max(size))
        slopes[first] += row.dtype.type(0.05) * signs[first]
    return slopes
