"""INQ: Incremental Network Quantization (Zhou, Yao, Guo, Xu, Chen 2017), at b = 2 bits: ternary."""

import math
from collections.abc import Sequence

import numpy as np

from ..elq.gradients import Forward, Objective
from ..elq.levels import dequantize
from ..tensor import Tensor
from .base import Method, Moment, QuantizedWeight, all_free
from .order import OrderPlan, first_in_order


class INQ(Method):
    """Levels {0, +-2^n1}, n1 = floor(log2(4 max|W| / 3)) of the pretrained layer; the largest |w| freeze first.

    At stage k the largest free |w| of each layer freeze until round(portions[k-1] n) of its n weights are frozen. The
    rest descends along g = dL/dW of the network as it stands: frozen weights on their levels, free ones in float32.
    With b = 2 the paper's least exponent n2 = n1 + 1 - 2^(b-1)/2 is n1. Standing: S.
    """

    plan_type = OrderPlan
    options = Method.options | {"portions", "momentum_at_freeze"}
    plan: OrderPlan

    def begin(self, name: str, parameter: Tensor) -> QuantizedWeight:
        w = parameter.data
        exponent = math.frexp(4 * float(np.abs(w).max()) / 3)[1] - 1
        return QuantizedWeight(name, parameter, np.full((1,) * w.ndim, 2.0**exponent, w.dtype), all_free(parameter))

    def codes(self, weight: QuantizedWeight) -> np.ndarray:
        """The paper's rule between the adjacent levels 0 and beta: |w| is on beta from (0 + beta) / 2 on, also above
        3 beta / 2, where there is no level."""
        return np.where(np.abs(weight.w) >= weight.alpha / 2, np.sign(weight.w), 0).astype(np.int8)

    def w_hat(self, weight: QuantizedWeight) -> np.ndarray:
        return dequantize(self.codes(weight), weight.alpha)

    def objective(
        self, at_w: Forward, at_hat: Forward, weights: Sequence[QuantizedWeight], moment: Moment
    ) -> Objective:
        now = at_hat([weight.w for weight in weights])
        error = sum(float(np.sum((weight.w - self.w_hat(weight)).astype(np.float64) ** 2)) for weight in weights)
        loss_hat = None if error else now.loss  # nobody else needs a pass at W_hat
        dw = [np.where(weight.frozen, 0, g) for weight, g in zip(weights, now.weights, strict=True)]
        return Objective(now.loss, loss_hat, None, error, None, 0.0, dw, now.shared)

    def select(self, weight: QuantizedWeight, stage: int) -> np.ndarray:
        return first_in_order(-np.abs(weight.w), weight.frozen, self.plan.portions[stage - 1])
