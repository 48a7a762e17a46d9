"""TTQ: Trained Ternary Quantization (Zhu, Han, Mao, Dally 2017)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from ..elq.gradients import Forward, Objective
from .base import Descent, Layer, Method
from .elq import ELQ


class TTQ(ELQ):
    """Levels alpha {-n, 0, p}, p and n learned: alpha p where w > thr = 0.05 max|W|, -alpha n where w < -thr, else 0.

    alpha = mean(|w| : |w| > thr) of the pretrained layer is a fixed unit, in which p = n = 1 at the start [C]: with
    alpha = 1 the rules are the paper's, Wp = p and Wn = n. With ghat = dL/dW_hat,

        dp = alpha sum(ghat : w > thr)      dn = -alpha sum(ghat : w < -thr)
        dW = p ghat where w > thr,          n ghat where w < -thr,           ghat between

    and the same SGD for all three. Layer.extra has scales = (p, n), all axes of w, and their velocity. Standing: S.
    """

    options = Method.options
    usual: ClassVar = {"sigma2": (), "epochs": (6.0,)}
    one_scale = False

    @classmethod
    def keep_float(cls, weights: Sequence[str]) -> tuple[str, ...]:
        """The first and the last layer, as in the paper."""
        return tuple(dict.fromkeys([*weights[:1], *weights[-1:]]))

    def begin(self, name: str, w: np.ndarray) -> Layer:
        size = np.abs(w)
        unit = size[size > 0.05 * size.max()].mean(dtype=np.float64) if size.any() else 1.0
        alpha, scales = (np.full((count, *(1,) * (w.ndim - 1)), value, w.dtype) for count, value in ((1, unit), (2, 1)))
        return Layer(name, w, alpha, np.zeros(w.shape, bool), {"scales": scales, "velocity": 0 * scales})

    def codes(self, layer: Layer) -> np.ndarray:
        threshold = 0.05 * np.abs(layer.w).max()
        return (layer.w > threshold).astype(np.int8) - (layer.w < -threshold).astype(np.int8)

    def quantize(self, layer: Layer) -> np.ndarray:
        p, n = layer.extra["scales"]
        return layer.alpha * _by_code(self.codes(layer), p, -n, 0)

    def objective(self, at_w: Forward, at_hat: Forward, layers: Sequence[Layer], stage: int) -> Objective:
        seen = super().objective(at_w, at_hat, layers, stage)  # the straight-through rule: its weights' part is ghat
        weights = []
        for layer, ghat in zip(layers, seen.weights, strict=True):
            codes, (p, n) = self.codes(layer), layer.extra["scales"]
            sums = np.array([ghat[codes > 0].sum(), -ghat[codes < 0].sum()], ghat.dtype)
            layer.extra["gradient"] = layer.alpha * sums.reshape(-1, *p.shape)
            weights.append(_by_code(codes, p, n, 1) * ghat)
        return replace(seen, weights=weights)

    def follow(self, layer: Layer, stage: int, descend: Descent) -> None:
        extra = layer.extra
        extra["scales"], extra["velocity"] = descend(extra["scales"], extra.pop("gradient"), extra["velocity"])


def _by_code(codes: np.ndarray, positive: np.ndarray, negative: np.ndarray, zero: float) -> np.ndarray:
    return np.where(codes > 0, positive, np.where(codes < 0, negative, zero))
