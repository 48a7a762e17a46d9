"""Statement 3: levels and scales are least-squares optima, against enumeration and numerical minimisation."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from ..elq.levels import dequantize, nearest_codes, scale, scale_slope
from .arrays import adversarial
from .line import EPS, TINY, Compared, Line, largest
from .subject import LEVEL_SET

SMALL = 7


def lines() -> Iterator[Line]:
    """Codes, scales, Lloyd's alternation, closed forms, derivatives of the scale."""
    small = {name: w[:1, :SMALL] for name, w in adversarial().items()}
    both = [(w, levels) for w in small.values() for levels in LEVEL_SET]
    codes, scales, searched, binary, rules, slopes = (Compared() for _ in range(6))
    for w, levels in both:
        _codes_against_all(codes, w, levels)
        _scale_against_all(scales, w, levels)
    yield codes.line(
        "3 the nearest level minimises E",
        "codes = argmin_c sum (w - alpha c)^2, alpha given",
        f"E of the method's codes against the least E of all codes of {SMALL} weights, random and adversarial",
        20 * EPS,
        f"rounding of {SMALL} squares, relative",
    )
    yield scales.line(
        "3 the exact optimum",
        "alpha = S_k / k, k = argmax (S_k^2 / k), S_k the k largest |w| together",
        f"E at the scale l2 against the least E over all codes of {SMALL} weights, each with its best alpha",
        50 * EPS,
        f"rounding of {SMALL} squares, relative",
    )
    rng = np.random.default_rng(0)
    large = {
        "normal": rng.standard_normal((1, 4000)),
        "uniform": rng.random((1, 4000)),
        "heavy": rng.standard_t(3, (1, 4000)),
    }
    for w in large.values():
        for levels in LEVEL_SET:
            _scale_against_search(searched, w, levels)
    yield searched.line(
        "3 the exact optimum, many weights",
        "alpha = argmin_alpha min_c ||W - alpha c||^2",
        "E at the scale l2 against a grid and golden-section minimum over alpha, 4,000 weights of three distributions",
        1e-9,
        "the search stops at 1e-9 of alpha: E differs by its square",
    )
    rises, ratio = _lloyd(list(large.values()) + [rng.standard_normal((1, 12)) for _ in range(300)])
    yield rises.line(
        "3 Lloyd's alternation never raises E",
        "codes <- nearest(W, alpha); alpha <- mean of c w over the support",
        f"E after each half step against before; it stops at up to {ratio:.3f} times the optimum's E",
        1e3 * EPS,
        "rounding of up to 4,000 squares, relative",
    )
    for w in small.values():
        _scale_against_all(binary, w, "binary", rule="elq")
    yield binary.line(
        "3 BWN's closed form",
        "alpha = mean |w|, codes = sign(w)",
        "the method's binary layer against the best of all sign patterns",
        50 * EPS,
        f"rounding of {SMALL} squares, relative",
    )
    for w in adversarial().values():
        for rule in ("elq", "twn"):
            for per_channel in (False, True):
                _rule(rules, w, rule, per_channel)
    yield rules.line(
        "3 scale rules",
        "mean|w| + 0.05 max|w|; mean(|w| : |w| > 0.7 mean|w|)",
        "alpha against loops over Python numbers",
        100 * EPS,
        "rounding of a sum, relative",
    )
    for levels, rule in (("ternary", "elq"), ("ternary", "twn"), ("ternary", "l2"), ("binary", "elq")):
        _slope(slopes, levels, rule)
    yield slopes.line(
        "3 d alpha / dw",
        "sign(w)/n, + 0.05 sign(w) at the largest; sign(w)/k on the support",
        "scale_slope against central differences of scale",
        1e-8,
        "alpha is linear between its kinks: eps / h, h = 1e-6",
    )


def error(w: np.ndarray, w_hat: np.ndarray) -> float:
    """sum (w - w_hat)^2."""
    return float(np.sum((w - w_hat) ** 2))


def _codes(levels: str, n: int) -> np.ndarray:
    return np.array(list(itertools.product(LEVEL_SET[levels], repeat=n)))


def _size(w: np.ndarray) -> float:
    """||W||^2, the unit of E; not 0."""
    return max(float(np.sum(w**2)), TINY)


def _codes_against_all(seen: Compared, w: np.ndarray, levels: str) -> None:
    """E of the method's codes and the least of all, in units of ||W||^2."""
    for alpha in (scale(w, levels), np.full((1, 1), 0.9), np.full((1, 1), 0.1)):
        best = float(((w - alpha * _codes(levels, w.shape[1])) ** 2).sum(1).min())
        seen.see(error(w, dequantize(nearest_codes(w, alpha, levels), alpha)), best, _size(w))


def _scale_against_all(seen: Compared, w: np.ndarray, levels: str, rule: str = "l2") -> None:
    codes = _codes(levels, w.shape[1])
    support = np.maximum((codes**2).sum(1), 1)
    alphas = np.maximum(codes @ w[0] / support, 0)
    best = float(((w - alphas[:, None] * codes) ** 2).sum(1).min())
    alpha = scale(w, levels, rule)
    seen.see(error(w, dequantize(nearest_codes(w, alpha, levels), alpha)), best, _size(w))


def _scale_against_search(seen: Compared, w: np.ndarray, levels: str) -> None:
    def at(alpha: float) -> float:
        size = np.abs(w)
        return error(size, np.where(size > alpha / 2, alpha, 0.0) if levels == "ternary" else np.full(w.shape, alpha))

    best = at(search(at, 1e-3, float(np.abs(w).max())))
    alpha = scale(w, levels, "l2")
    seen.see(error(w, dequantize(nearest_codes(w, alpha, levels), alpha)), best, _size(w))


def search(function: Callable[[float], float], low: float, high: float) -> float:
    """The minimum of a function of one number: the best of 400 places, then golden sections around it."""
    grid = np.linspace(low, high, 400)
    best = int(np.argmin([function(x) for x in grid]))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    golden = (np.sqrt(5) - 1) / 2
    while high - low > 1e-9 * high:
        a, b = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, b) if function(a) < function(b) else (a, high)
    return float((low + high) / 2)


def _lloyd(arrays: list[np.ndarray]) -> tuple[Compared, float]:
    """(E after and before each half step, as far as it rose; largest E at the end / E of the optimum)."""
    rises, ratios = Compared(), []
    for w in arrays:
        alpha, before = scale(w, "ternary", "twn"), error(w, np.zeros(1))
        for _ in range(30):
            codes = nearest_codes(w, alpha, "ternary")
            e = error(w, alpha * codes)
            rises.see(max(e, before), before, e)
            alpha = np.reshape((w * codes).sum() / max(np.abs(codes).sum(), 1), (1, 1))
            before = error(w, alpha * codes)
            rises.see(max(e, before), e, e)
        best = scale(w, "ternary", "l2")
        ratios.append(before / error(w, dequantize(nearest_codes(w, best, "ternary"), best)))
    return rises, largest(ratios)


def _rule(seen: Compared, w: np.ndarray, rule: str, per_channel: bool) -> None:
    rows = [[abs(float(v)) for v in row] for row in w] if per_channel else [[abs(float(v)) for v in w.ravel()]]
    expected = []
    for row in rows:
        mean = sum(row) / len(row)
        above = [v for v in row if v > 0.7 * mean]
        expected.append(mean + 0.05 * max(row) if rule == "elq" else sum(above) / max(len(above), 1))
    got = scale(w, "ternary", rule, per_channel).ravel()
    seen.see(got, expected, np.maximum(expected, TINY))


def _slope(seen: Compared, levels: str, rule: str) -> None:
    w = np.random.default_rng(3).standard_normal((3, 5))
    slope, step = scale_slope(w, levels, rule, per_channel=True), 1e-6
    for i, j in np.ndindex(w.shape):
        d = np.zeros_like(w)
        d[i, j] = step
        up, down = scale(w + d, levels, rule, True), scale(w - d, levels, rule, True)
        seen.see(slope[i, j], (up - down)[i, 0] / (2 * step), 1.0)
