"""BinaryRelax (Yin, Zhang, Lyu, Osher, Qi, Xin 2018)."""

import numpy as np

from .base import QuantizedWeight
from .relaxed import Relaxed


class BinaryRelax(Relaxed):
    """The network runs at (W + lambda W_hat) / (1 + lambda) = (1 - theta) W + theta W_hat, theta rising from 0 to 1.

    The point is the proximal map of the relaxed constraint, the least (u - W)^2 / 2 + lambda/2 dist(u, levels)^2 over
    u. theta rises in a line with the steps, as in the comparison that PARQ's authors made [S]; the paper multiplies
    lambda by a factor every epoch and, as here, ends at W_hat. Standing: S.
    """

    def point(self, weight: QuantizedWeight, way: float) -> np.ndarray:
        w, theta = weight.w, weight.w.dtype.type(way)
        mixed: np.ndarray = (1 - theta) * w + theta * self.w_hat(weight)
        return mixed
