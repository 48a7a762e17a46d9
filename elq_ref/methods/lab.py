"""LAB: Loss-Aware Binarization (Hou, Yao, Kwok 2017)."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from ..elq.gradients import Forward, Objective
from ..tensor import Tensor
from .base import Descent, Method, Moment, QuantizedWeight
from .elq import ELQ

DECAY, EPSILON = 0.999, 1e-8  # Adam's


class LAB(ELQ):
    """W_hat = alpha sign(W) with alpha = sum(d |w|) / sum(d): the least sum(d (w - W_hat)^2) over alpha and the signs.

    d stands for the curvature of the loss. As in Adam it comes from the gradient at W_hat, which W descends along
    (straight-through):

        v <- 0.999 v + 0.001 ghat^2        d = sqrt(v) + 1e-8

    A factor in d changes nothing, so that v needs no correction for its start at 0, where d is the same for all
    weights. alpha is estimated anew at every step. QuantizedWeight.extra has moment = v. Standing: S.
    """

    options = Method.options
    fixed: ClassVar = {"levels": "binary", "sigma2": ()}

    def begin(self, name: str, parameter: Tensor) -> QuantizedWeight:
        weight = super().begin(name, parameter)
        weight.extra["moment"] = np.zeros_like(parameter.data)
        return weight

    def objective(
        self, at_w: Forward, at_hat: Forward, weights: Sequence[QuantizedWeight], moment: Moment
    ) -> Objective:
        seen = super().objective(at_w, at_hat, weights, moment)  # the straight-through rule: its weights' part is ghat
        for weight, ghat in zip(weights, seen.weights, strict=True):
            weight.extra["moment"] = DECAY * weight.extra["moment"] + (1 - DECAY) * ghat**2
        return seen

    def follow(self, weight: QuantizedWeight, stage: int, descend: Descent) -> None:
        curvature = np.sqrt(weight.extra["moment"], dtype=np.float64) + EPSILON
        alpha = self.least_error(np.abs(weight.w, dtype=np.float64).ravel(), curvature.ravel())
        weight.alpha = np.full_like(weight.alpha, alpha)

    def least_error(self, size: np.ndarray, d: np.ndarray) -> float:
        """alpha of the weights' magnitudes under their curvature, both 1-D float64."""
        return float(np.average(size, weights=d))
