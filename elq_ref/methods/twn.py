"""TWN: Ternary Weight Networks (Li, Zhang, Liu 2016)."""

from typing import ClassVar

import numpy as np

from ..elq.levels import dequantize
from .base import Method, QuantizedWeight
from .elq import ELQ


class TWN(ELQ):
    """W_hat = alpha sign(W) where |w| > delta, else 0, with delta = 0.7 mean|W| and alpha = mean(|w| : |w| > delta).

    Both are estimated anew at every step; W descends along the gradient at W_hat (straight-through). delta approximates
    the best threshold, which is alpha/2, so a weight between the two does not take its nearest level. Standing: S.
    """

    options = Method.options | {"per_channel"}
    fixed: ClassVar = {"scale": "twn", "alpha_from": "stage0", "sigma2": ()}

    def codes(self, weight: QuantizedWeight) -> np.ndarray:
        w = weight.w
        rows = np.abs(w.reshape(len(w) if self.plan.per_channel else 1, -1), dtype=np.float64)
        above = (rows > 0.7 * rows.mean(1, keepdims=True)).reshape(w.shape)
        return np.where(above, np.sign(w), 0).astype(np.int8)

    def w_hat(self, weight: QuantizedWeight) -> np.ndarray:
        return dequantize(self.codes(weight), weight.alpha)
