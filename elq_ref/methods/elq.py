"""ELQ as a Method: the rules of elq_ref.elq under one plan."""

from collections.abc import Sequence
from dataclasses import fields

import numpy as np

from ..elq.averages import followed, frequent_codes
from ..elq.bands import draw_in, partition, tail_share
from ..elq.gradients import Forward, Objective, objective
from ..elq.levels import dequantize, nearest_codes, nearest_level, scale, scale_slope
from ..elq.plan import Plan
from ..elq.rising import weighed
from ..tensor import Tensor
from .base import Descent, Method, Moment, QuantizedWeight, all_free


class ELQ(Method):
    """Explicit Loss-Error-Aware Quantization (Zhou et al. 2018)."""

    options = frozenset(f.name for f in fields(Plan))

    def begin(self, name: str, parameter: Tensor) -> QuantizedWeight:
        weight = QuantizedWeight(name, parameter, self._scale(parameter.data), all_free(parameter))
        if self.plan.second_loss == "group1":
            weight.extra["before"] = np.zeros_like(weight.w)
        if self._averages():
            weight.extra["average"] = self.codes(weight).astype(weight.w.dtype)
        return weight

    def codes(self, weight: QuantizedWeight) -> np.ndarray:
        return nearest_codes(weight.w, weight.alpha, self.plan.levels)

    def w_hat(self, weight: QuantizedWeight) -> np.ndarray:
        return nearest_level(weight.w, weight.alpha, self.plan.levels)

    def objective(
        self, at_w: Forward, at_hat: Forward, weights: Sequence[QuantizedWeight], moment: Moment
    ) -> Objective:
        plan = weighed(self.plan, moment.stage, moment.share)
        slopes = before = None
        if self._moves(moment.stage):
            slopes = [scale_slope(weight.w, plan.levels, plan.scale, plan.per_channel) for weight in weights]
        if plan.second_loss == "group1":
            before = [np.where(weight.frozen, weight.extra["before"], weight.w) for weight in weights]
        return objective(
            at_w,
            [weight.w for weight in weights],
            [self.w_hat(weight) for weight in weights],
            plan,
            at_hat=at_hat,
            frozen=[weight.frozen for weight in weights],
            slopes=slopes,
            before=before,
        )

    def follow(self, weight: QuantizedWeight, stage: int, descend: Descent) -> None:
        if self._moves(stage):
            weight.alpha = self._scale(weight.w)
        share = tail_share(self.plan.tail, self.plan.tail_rate)
        if share:
            weight.w = draw_in(weight.w, weight.alpha, ~weight.frozen, share)
        if self._averages():
            weight.extra["average"] = followed(weight.extra["average"], self.codes(weight))

    def select(self, weight: QuantizedWeight, stage: int) -> np.ndarray:
        plan = self.plan
        return partition(
            weight.w,
            weight.alpha,
            weight.frozen,
            plan.sigma2[stage - 1],
            plan.levels,
            tail=plan.tail,
            last=stage == plan.stages - 1,
        )

    def settle(self, weight: QuantizedWeight, chosen: np.ndarray) -> None:
        if self.plan.second_loss == "group1":
            weight.extra["before"] = np.where(chosen, weight.w, weight.extra["before"])
        if self.plan.freeze_to == "frequent":
            codes = frequent_codes(weight.extra["average"], self.plan.levels)
            weight.w = np.where(chosen, dequantize(codes, weight.alpha), weight.w)
        super().settle(weight, chosen)

    def _averages(self) -> bool:
        return self.plan.freeze_to == "frequent"

    def _moves(self, stage: int) -> bool:
        return stage == 0 and self.plan.alpha_from == "stage0"

    def _scale(self, w: np.ndarray) -> np.ndarray:
        return scale(w, self.plan.levels, self.plan.scale, self.plan.per_channel)
