"""TTQ: Trained Ternary Quantization (Zhu, Han, Mao, Dally 2017)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from ..elq.gradients import Forward, Objective
from ..tensor import Tensor
from .base import Descent, Method, Moment, QuantizedWeight, all_free
from .elq import ELQ


class TTQ(ELQ):
    """Levels alpha {-n, 0, p}, p and n learned: alpha p where w > thr = 0.05 max|W|, -alpha n where w < -thr, else 0.

    alpha = mean(|w| : |w| > thr) of the pretrained layer is a fixed unit, in which p = n = 1 at the start [C]: with
    alpha = 1 the rules are the paper's, Wp = p and Wn = n. With ghat = dL/dW_hat,

        dp = alpha sum(ghat : w > thr)      dn = -alpha sum(ghat : w < -thr)
        dW = p ghat where w > thr,          n ghat where w < -thr,           ghat between

    and the same SGD for all three. QuantizedWeight.extra has scales = (p, n), all axes of w, and their velocity.
    Standing: S.
    """

    options = Method.options
    fixed: ClassVar = {"sigma2": ()}
    one_scale = False

    def begin(self, name: str, parameter: Tensor) -> QuantizedWeight:
        w = parameter.data
        size = np.abs(w)
        unit = size[size > 0.05 * size.max()].mean(dtype=np.float64) if size.any() else 1.0
        alpha, scales = (np.full((count, *(1,) * (w.ndim - 1)), value, w.dtype) for count, value in ((1, unit), (2, 1)))
        extra = {"scales": scales, "velocity": np.zeros_like(scales)}
        return QuantizedWeight(name, parameter, alpha, all_free(parameter), extra)

    def codes(self, weight: QuantizedWeight) -> np.ndarray:
        threshold = 0.05 * np.abs(weight.w).max()
        codes: np.ndarray = (weight.w > threshold).astype(np.int8) - (weight.w < -threshold).astype(np.int8)
        return codes

    def w_hat(self, weight: QuantizedWeight) -> np.ndarray:
        p, n = weight.extra["scales"]
        w_hat: np.ndarray = weight.alpha * _by_code(self.codes(weight), p, -n, 0)
        return w_hat

    def objective(
        self, at_w: Forward, at_hat: Forward, weights: Sequence[QuantizedWeight], moment: Moment
    ) -> Objective:
        seen = super().objective(at_w, at_hat, weights, moment)  # the straight-through rule: its weights' part is ghat
        dw = []
        for weight, ghat in zip(weights, seen.weights, strict=True):
            codes, (p, n) = self.codes(weight), weight.extra["scales"]
            sums = np.array([ghat[codes > 0].sum(), -ghat[codes < 0].sum()], ghat.dtype)
            weight.extra["gradient"] = weight.alpha * sums.reshape(-1, *p.shape)
            dw.append(_by_code(codes, p, n, 1) * ghat)
        return replace(seen, weights=dw)

    def follow(self, weight: QuantizedWeight, stage: int, descend: Descent) -> None:
        extra = weight.extra
        extra["scales"], extra["velocity"] = descend(extra["scales"], extra.pop("gradient"), extra["velocity"])


def _by_code(codes: np.ndarray, positive: np.ndarray, negative: np.ndarray, zero: float) -> np.ndarray:
    return np.where(codes > 0, positive, np.where(codes < 0, negative, zero))
