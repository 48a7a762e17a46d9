"""LAB: Loss-Aware Binarization (Hou, Yao, Kwok 2017)."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from ..elq.gradients import Forward, Objective
from .base import Descent, Layer, Method
from .elq import ELQ

DECAY, EPSILON = 0.999, 1e-8  # Adam's


class LAB(ELQ):
    """W_hat = alpha sign(W) with alpha = sum(d |w|) / sum(d): the least sum(d (w - W_hat)^2) over alpha and the signs.

    d stands for the curvature of the loss. As in Adam it comes from the gradient at W_hat, which W descends along
    (straight-through):

        v <- 0.999 v + 0.001 ghat^2        d = sqrt(v) + 1e-8

    A factor in d changes nothing, so that v needs no correction for its start at 0, where d is the same for all
    weights. alpha is estimated anew at every step. Layer.extra has moment = v. Standing: S.
    """

    options = Method.options
    usual: ClassVar = {"levels": "binary", "sigma2": (), "epochs": (6.0,)}

    def begin(self, name: str, w: np.ndarray) -> Layer:
        layer = super().begin(name, w)
        layer.extra["moment"] = np.zeros_like(w)
        return layer

    def objective(self, at_w: Forward, at_hat: Forward, layers: Sequence[Layer], stage: int) -> Objective:
        seen = super().objective(at_w, at_hat, layers, stage)  # the straight-through rule: its weights' part is ghat
        for layer, ghat in zip(layers, seen.weights, strict=True):
            layer.extra["moment"] = DECAY * layer.extra["moment"] + (1 - DECAY) * ghat**2
        return seen

    def follow(self, layer: Layer, stage: int, descend: Descent) -> None:
        curvature = np.sqrt(layer.extra["moment"], dtype=np.float64) + EPSILON
        alpha = self.least_error(np.abs(layer.w, dtype=np.float64).ravel(), curvature.ravel())
        layer.alpha = np.full_like(layer.alpha, alpha)

    def least_error(self, size: np.ndarray, d: np.ndarray) -> float:
        """alpha of the weights' magnitudes under their curvature, both 1-D float64."""
        return float(np.average(size, weights=d))
