"""What BinaryRelax and PARQ have in common: the network runs at a point that moves from W to W_hat."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..elq.gradients import Forward, Objective
from ..elq.plan import Plan
from .base import Method, Moment, QuantizedWeight
from .elq import ELQ


@dataclass(frozen=True)
class RelaxedPlan(Plan):
    """A Plan of one stage, at whose beginning the network runs at W and from share `hard` of its steps on at W_hat.

    hard: in (0, 1]. scale: "l2", least squares, estimated anew at every step, as PARQ does.
    """

    method: str = "binaryrelax"
    alpha_from: str = "stage0"
    sigma2: tuple[float, ...] = ()
    epochs: tuple[float, ...] = (6.0,)
    scale: str = field(default="l2", kw_only=True)
    hard: float = field(default=0.75, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.hard <= 1:
            raise ValueError(f"hard is {self.hard}, wanted a share of the steps in (0, 1]")


class Relaxed(ELQ):
    """W descends along the gradient at the point where the network runs (straight-through)."""

    plan_type = RelaxedPlan
    options = Method.options | {"levels", "scale", "per_channel", "hard"}
    plan: RelaxedPlan

    def objective(
        self, at_w: Forward, at_hat: Forward, weights: Sequence[QuantizedWeight], moment: Moment
    ) -> Objective:
        way = moment.share / self.plan.hard
        there = way >= 1
        points = [self.w_hat(weight) if there else self.point(weight, way) for weight in weights]
        at = at_hat(points)
        error = sum(float(np.sum((weight.w - self.w_hat(weight)).astype(np.float64) ** 2)) for weight in weights)
        loss, loss_hat = (None, at.loss) if there else (at.loss, None)
        return Objective(loss, loss_hat, None, error, None, 0.0, at.weights, at.shared)

    @abstractmethod
    def point(self, weight: QuantizedWeight, way: float) -> np.ndarray:
        """Where the network runs, like W, when the share `way` (0 <= way < 1) of the way to W_hat is gone."""
