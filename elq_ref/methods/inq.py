"""INQ: Incremental Network Quantization (Zhou, Yao, Guo, Xu, Chen 2017), at b = 2 bits: ternary."""

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from ..elq.bands import first_in_order
from ..elq.gradients import Forward, Objective
from ..elq.levels import dequantize
from .base import Layer, Method


class INQ(Method):
    """Levels {0, +-2^n1}, n1 = floor(log2(4 max|W| / 3)) of the pretrained layer; the largest |w| freeze first.

    At stage k the largest free |w| of each layer freeze until round(portions[k-1] n) of its n weights are frozen. The
    rest descends along g = dL/dW of the network as it stands: frozen weights on their levels, free ones in float32.
    With b = 2 the paper's least exponent n2 = n1 + 1 - 2^(b-1)/2 is n1. Standing: S.
    """

    options = Method.options | {"portions", "momentum_at_freeze"}
    usual: ClassVar = {"epochs": (0.0, 1.5, 1.5, 1.5, 1.5)}

    def begin(self, name: str, w: np.ndarray) -> Layer:
        exponent = math.frexp(4 * float(np.abs(w).max()) / 3)[1] - 1
        return Layer(name, w, np.full((1,) * w.ndim, 2.0**exponent, w.dtype), np.zeros(w.shape, bool))

    def codes(self, layer: Layer) -> np.ndarray:
        """The paper's rule between the adjacent levels 0 and beta: |w| is on beta from (0 + beta) / 2 on, also above
        3 beta / 2, where there is no level."""
        return np.where(np.abs(layer.w) >= layer.alpha / 2, np.sign(layer.w), 0).astype(np.int8)

    def quantize(self, layer: Layer) -> np.ndarray:
        return dequantize(self.codes(layer), layer.alpha)

    def objective(self, at_w: Forward, at_hat: Forward, layers: Sequence[Layer], stage: int) -> Objective:
        now = at_hat([layer.w for layer in layers])
        error = sum(float(np.sum((layer.w - self.quantize(layer)).astype(np.float64) ** 2)) for layer in layers)
        loss_hat = None if error else now.loss  # nobody else needs a pass at W_hat
        weights = [np.where(layer.frozen, 0, g) for layer, g in zip(layers, now.weights, strict=True)]
        return Objective(now.loss, loss_hat, None, error, None, 0.0, weights, now.shared)

    def select(self, layer: Layer, stage: int) -> np.ndarray:
        return first_in_order(-np.abs(layer.w), layer.frozen, self.plan.portions[stage - 1])
