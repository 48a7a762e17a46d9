"""ELQ as a Method: the rules of elq_ref.elq under one plan."""

from collections.abc import Sequence
from dataclasses import fields

import numpy as np

from ..elq.bands import draw_in, first_in_order, partition, random_order, tail_share
from ..elq.gradients import Forward, Objective, objective
from ..elq.levels import nearest, quantize, scale, scale_slope
from ..elq.plan import Plan
from .base import Descent, Layer, Method


class ELQ(Method):
    """Explicit Loss-Error-Aware Quantization (Zhou et al. 2018)."""

    options = frozenset(f.name for f in fields(Plan))

    def begin(self, name: str, w: np.ndarray) -> Layer:
        return Layer(name, w, self._scale(w), np.zeros(w.shape, bool))

    def codes(self, layer: Layer) -> np.ndarray:
        return nearest(layer.w, layer.alpha, self.plan.levels)

    def quantize(self, layer: Layer) -> np.ndarray:
        return quantize(layer.w, layer.alpha, self.plan.levels)

    def objective(self, at_w: Forward, at_hat: Forward, layers: Sequence[Layer], stage: int) -> Objective:
        plan = self.plan
        slopes = None
        if self._moves(stage):
            slopes = [scale_slope(layer.w, plan.levels, plan.scale, plan.per_channel) for layer in layers]
        return objective(
            at_w,
            [layer.w for layer in layers],
            [self.quantize(layer) for layer in layers],
            plan,
            at_hat=at_hat,
            frozen=[layer.frozen for layer in layers],
            slopes=slopes,
        )

    def follow(self, layer: Layer, stage: int, descend: Descent) -> None:
        if self._moves(stage):
            layer.alpha = self._scale(layer.w)
        share = tail_share(self.plan.tail, self.plan.tail_rate)
        if share:
            layer.w = draw_in(layer.w, layer.alpha, ~layer.frozen, share)

    def select(self, layer: Layer, stage: int) -> np.ndarray:
        plan = self.plan
        if plan.partition != "interval":
            random = plan.partition == "random"
            key = random_order(layer.name, layer.w.shape, plan.partition_seed) if random else -np.abs(layer.w)
            return first_in_order(key, layer.frozen, plan.portions[stage - 1])
        return partition(
            layer.w,
            layer.alpha,
            layer.frozen,
            plan.sigma2[stage - 1],
            plan.levels,
            tail=plan.tail,
            last=stage == plan.stages - 1,
        )

    def _moves(self, stage: int) -> bool:
        return stage == 0 and self.plan.alpha_from == "stage0"

    def _scale(self, w: np.ndarray) -> np.ndarray:
        return scale(w, self.plan.levels, self.plan.scale, self.plan.per_channel)
