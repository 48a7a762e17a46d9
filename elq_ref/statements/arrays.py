"""Weights that are meant to break rules: each (1, n) or (2, n), float64."""

import numpy as np


def adversarial() -> dict[str, np.ndarray]:
    """By name: random, equal, zero, one outlier, denormals, ties at every boundary, a wide range, one weight."""
    rng = np.random.default_rng(7)
    tiny = np.finfo(np.float64).smallest_subnormal
    outlier = 1e-3 * rng.standard_normal((1, 40))
    outlier[0, 3] = 1e6
    halves = np.array([[-2, -1, -0.5, 0.5, 1, 2, 0.0]])
    return {
        "normal": rng.standard_normal((1, 200)),
        "two channels": rng.standard_normal((2, 50)) * [[1], [100]],
        "all equal": np.full((1, 40), 0.7),
        "all equal, both signs": np.full((1, 40), 0.7) * np.where(np.arange(40) % 2, 1, -1),
        "all zero": np.zeros((1, 40)),
        "minus zero": np.full((1, 5), -0.0),
        "one outlier": outlier,
        "denormals": tiny * rng.integers(-9, 10, (1, 40)),
        "ties": np.concatenate([halves, np.nextafter(halves, 9), np.nextafter(halves, -9), halves], axis=1),
        "wide": np.exp(rng.uniform(-300, 300, (1, 40))) * np.where(rng.random((1, 40)) < 0.5, -1, 1),
        "one weight": np.array([[-0.3]]),
    }
