"""SGD that is told what is free and never writes anywhere else, and its learning-rate schedules."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from .. import kernels


@dataclass(frozen=True)
class Schedule:
    """Learning-rate factor over one stage of `total` steps.

    shape: "constant"; "cosine", (1 + cos(pi t)) / 2; "step", gamma^(number of milestones passed). t = step / total is
    the share of the stage that is done. During the first `warmup` share of the steps the factor rises linearly from 0,
    its first step already above 0, and multiplies the shape.
    """

    shape: str = "cosine"
    warmup: float = 0.0
    milestones: tuple[float, ...] = (0.5, 0.75)
    gamma: float = 0.1

    def __post_init__(self) -> None:
        if self.shape not in ("constant", "cosine", "step"):
            raise ValueError(f"schedule shape is {self.shape!r}, wanted constant, cosine or step")
        if not 0 <= self.warmup <= 1:
            raise ValueError(f"warmup is {self.warmup}, wanted a share of the steps from 0 to 1")

    def __call__(self, step: int, total: int) -> float:
        """Factor for step 0 <= step < total."""
        t = step / total
        rise = min(1.0, (step + 1) / max(1.0, self.warmup * total))
        if self.shape == "cosine":
            return rise * (1 + math.cos(math.pi * t)) / 2
        if self.shape == "step":
            return rise * self.gamma ** sum(t >= m for m in self.milestones)
        return rise


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent as in PyTorch: d = dw + weight_decay w; v <- momentum v + d; w <- w - lr u,

    with u = d + momentum v for Nesterov and v otherwise. `lr` is the value at the start of the schedule.

    >>> w, velocity = elq.SGD(momentum=0.5).update(w=np.array([1.0]), dw=np.array([2.0]), velocity=np.ones(1), lr=0.1)
    >>> w, velocity
    (array([0.75]), array([2.5]))
    """

    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 0.0
    nesterov: bool = False
    schedule: Schedule = field(default_factory=Schedule)

    def __post_init__(self) -> None:
        if not (self.lr > 0 and 0 <= self.momentum < 1 and self.weight_decay >= 0):
            raise ValueError(
                f"SGD of lr {self.lr}, momentum {self.momentum}, weight_decay {self.weight_decay}: wanted lr > 0, "
                "0 <= momentum < 1, weight_decay >= 0"
            )

    def update(
        self,
        w: np.ndarray,
        dw: np.ndarray,
        velocity: np.ndarray,
        lr: float,
        free: np.ndarray | None = None,
        *,
        over: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """New (w, velocity), arrays of w's shape and dtype; `free` (bool) selects what may change, None means all.

        over: the new velocity takes the memory of the old one, the new w that of a dw which a kernel made, where these
        can be written and lie in one piece. What is not free keeps its bits by selection, whatever dw holds there
        (0 * NaN would not be 0).
        """
        over = over and all(a.flags.carray for a in (dw, velocity))  # aligned, writeable, in the order of its axes
        rule = lr, self.momentum, self.weight_decay, self.nesterov
        new, v = kernels.sgd(w, dw, velocity, *rule, free, over)
        return new, v
