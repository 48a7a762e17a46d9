"""PARQ: Piecewise-Affine Regularized Quantization (Jin, Ma, Liu, Xiao 2025)."""

import math
from dataclasses import dataclass, field

import numpy as np

from .base import QuantizedWeight
from .relaxed import Relaxed, RelaxedPlan


@dataclass(frozen=True)
class PARQPlan(RelaxedPlan):
    """A RelaxedPlan with the steepness (> 0) of the sigmoid by which PARQ's inverse slope falls."""

    method: str = "parq"
    steepness: float = field(default=10.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.steepness <= 500:
            raise ValueError(f"steepness is {self.steepness}, wanted a number in (0, 500]")


class PARQ(Relaxed):
    """Between two levels lo < hi with the centre c the network runs at clip(c + (w - c) / rho, lo, hi); beyond the
    outer levels at them. rho, the inverse slope, falls from 1, where nothing but what lies beyond is cut, to 0, W_hat:

        rho(t) = (f(t) - f(1)) / (f(0) - f(1)),   f(t) = 1 / (1 + exp(steepness (t - 1/2)))

    over the share t of the way. The point is the least (u - w)^2 / 2 + (1 - rho)/2 (u - lo)(hi - u) over u [D].
    Standing: S, the rules of the authors' public code.
    """

    plan_type = PARQPlan
    options = Relaxed.options | {"steepness"}
    plan: PARQPlan

    def point(self, weight: QuantizedWeight, way: float) -> np.ndarray:
        return ramp(weight.w, weight.alpha, self.plan.levels, inverse_slope(way, self.plan.steepness))


def inverse_slope(way: float, steepness: float) -> float:
    """rho for 0 <= way < 1."""

    def sigmoid(t: float) -> float:
        return 1 / (1 + math.exp(steepness * (t - 0.5)))

    return (sigmoid(way) - sigmoid(1)) / (sigmoid(0) - sigmoid(1))


def ramp(w: np.ndarray, alpha: np.ndarray, levels: str, rho: float) -> np.ndarray:
    """The point of weights w (float32 or float64, alpha broadcasts over them) for an inverse slope 0 < rho <= 1."""
    slope = w.dtype.type(1 / max(rho, float(np.finfo(w.dtype).tiny)))
    half = alpha / 2
    point: np.ndarray
    if levels == "binary":
        point = np.clip(w * slope, -alpha, alpha)
    else:
        point = np.sign(w) * np.clip(half + (np.abs(w) - half) * slope, 0, alpha)
    return point
