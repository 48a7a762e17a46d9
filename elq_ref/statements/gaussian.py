"""Statement 4: the constants of Gaussian and uniform weights by quadrature; the method's scale depends on n."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from statistics import NormalDist

import numpy as np

from ..elq.levels import scale
from .line import Compared, Line
from .optimum import search

TOP = 12.0  # phi(12) < 1e-31
NODES, WEIGHTS = np.polynomial.legendre.leggauss(100)
Density = Callable[[np.ndarray], np.ndarray]


def lines() -> Iterator[Line]:
    """Optimal scale and threshold; TWN's and ELQ's rules beside them."""
    mean = integral(normal, lambda x: x, 0, TOP)
    alpha = best_scale(normal, TOP)
    yield Line(
        "4 Gaussian weights: optimal scale",
        "alpha = 1.2240 sigma, the argmin of int (|x| - nearest level)^2 phi(x) dx",
        "minimised quadrature of E against the four published digits",
        abs(alpha - 1.2240),
        5e-5,
        "four digits are given",
        (alpha, 1.2240),
    )
    yield Line(
        "4 Gaussian weights: optimal threshold",
        "alpha/2 = 0.6120 sigma = 0.767 mean|W|",
        "minimised quadrature against the published digits of 0.767",
        abs(alpha / 2 / mean - 0.767),
        5e-4,
        "three digits are given",
        (alpha / 2 / mean, 0.767),
    )
    conditional = integral(normal, lambda x: x, alpha / 2, TOP) / integral(normal, lambda x: x**0, alpha / 2, TOP)
    yield Line(
        "4 the optimum is a fixed point",
        "alpha = (int_{alpha/2} x phi(x) dx) / (int_{alpha/2} phi(x) dx)",
        "conditional mean by quadrature against the minimiser",
        abs(conditional - alpha),
        1e-6,
        "the square root of the minimiser's precision, 1e-9, times 30",
        (conditional, alpha),
    )
    n = 20001
    quantiles = np.array([[NormalDist().inv_cdf((i + 0.5) / n) for i in range(n)]])
    ours = scale(quantiles, "ternary", "l2").item()
    yield Line(
        "4 the package's optimum on Gaussian weights",
        "scale l2 -> 1.2240 sigma",
        f"scale of {n:,} quantiles against quadrature",
        abs(ours - alpha),
        1e-3,
        "quantiles stand for the density to O(log n / n), the optimum is flat",
        (ours, alpha),
    )
    ratio = best_scale(uniform, 1.0) / 2 / integral(uniform, lambda x: x, 0, 1.0)
    yield Line(
        "4 TWN's 0.7 lies between two optima",
        "2/3 (uniform) < 0.7 < 0.767 (Gaussian), in units of mean|W|",
        "quadrature for both densities; distance of the uniform one from 2/3",
        abs(ratio - 2 / 3) if ratio < 0.7 < alpha / 2 / mean else np.inf,
        1e-6,
        "precision of the minimiser",
        (ratio, 2 / 3),
    )
    means = Compared()
    for count in (100, 1000, 10000, 100000):
        rng = np.random.default_rng(count)
        seen = [scale(rng.standard_normal((1, count)), "ternary").item() for _ in range(40)]
        means.see(np.mean(seen), rule_at(count), np.std(seen, ddof=1) / np.sqrt(len(seen)))
    curve = ", ".join(f"{rule_at(10**k):.3f}" for k in (2, 3, 4, 5, 6))
    yield means.line(
        "4 the method's scale depends on n",
        f"mean|W| + 0.05 E max|W|: {curve} sigma at n = 1e2 .. 1e6",
        "quadrature of the expected maximum against means over 40 samples, n = 1e2 .. 1e5",
        5.0,
        "standard errors of the mean",
    )


def normal(x: np.ndarray) -> np.ndarray:
    """Density of |x|, x normal with sigma = 1."""
    density: np.ndarray = np.sqrt(2 / np.pi) * np.exp(-(x**2) / 2)
    return density


def uniform(x: np.ndarray) -> np.ndarray:
    """Density of |x|, x uniform in [-1, 1]."""
    return np.ones_like(x)


def integral(density: Density, function: Density, low: float, high: float) -> float:
    """int_low^high function density dx, Gauss-Legendre with 100 nodes."""
    x = low + (NODES + 1) / 2 * (high - low)
    return float(np.sum(WEIGHTS * function(x) * density(x)) * (high - low) / 2)


def expected_error(density: Density, top: float, alpha: float) -> float:
    """E per weight at scale alpha: zero below alpha/2, alpha above."""
    below = integral(density, lambda x: x**2, 0, min(alpha / 2, top))
    return below + integral(density, lambda x: (x - alpha) ** 2, min(alpha / 2, top), top)


def best_scale(density: Density, top: float) -> float:
    """The scale of the least expected error."""
    return search(lambda alpha: expected_error(density, top, alpha), 0.1, 2.0 if top > 2 else 1.9 * top)


def rule_at(n: int) -> float:
    """Expected ELQ scale of n normal weights with sigma = 1: E|x| + 0.05 E max|x|, E max = int 1 - P(|x| < t)^n dt."""
    mean = integral(normal, lambda x: x, 0, TOP)
    erf = np.vectorize(math.erf)
    highest = integral(uniform, lambda t: 1 - erf(t / np.sqrt(2)) ** n, 0, TOP)
    return mean + 0.05 * highest
