"""What a quantization method decides; the loop around it (elq_ref.training.stages) is the same for all.

A method is a rule on arrays: it owns no weights, runs no network and keeps no state but its plan. Everything that
changes is in the Layers, so that a run is saved and resumed whatever the method.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ..elq.gradients import Forward, Objective
from ..elq.plan import Plan

Descent = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass
class Layer:
    """One quantized weight during a run: w (O, ...), alpha (all its axes), frozen (bool), and a method's own arrays."""

    name: str
    w: np.ndarray
    alpha: np.ndarray
    frozen: np.ndarray
    extra: dict[str, np.ndarray] = field(default_factory=dict)


class Method(ABC):
    """The decisions of one method, under `plan`.

    options: the fields of Plan that it reads; `make` refuses a plan that changes another, which would do nothing.
    usual: where the plan of its paper departs from Plan's defaults.
    one_scale: whether W_hat = alpha * codes, which a packed file can store; other layers are packed as float32.
    """

    options: ClassVar[frozenset[str]] = frozenset({"method", "epochs", "keep_float"})
    usual: ClassVar[dict[str, Any]] = {}
    one_scale: ClassVar[bool] = True

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    @classmethod
    def keep_float(cls, weights: Sequence[str]) -> tuple[str, ...]:
        """Which of a network's weights, named from input to output, its paper does not quantize. By default none."""
        return ()

    @abstractmethod
    def begin(self, name: str, w: np.ndarray) -> Layer:
        """The layer of a pretrained weight, before the first step."""

    @abstractmethod
    def codes(self, layer: Layer) -> np.ndarray:
        """int8 codes of the layer's weights, frozen ones included."""

    @abstractmethod
    def quantize(self, layer: Layer) -> np.ndarray:
        """W_hat of the layer, in w's dtype; equal to w, bit for bit, where frozen."""

    @abstractmethod
    def objective(self, at_w: Forward, at_hat: Forward, layers: Sequence[Layer], stage: int) -> Objective:
        """Make the passes this method needs and combine them (elq_ref.elq.gradients.objective).

        BatchNorm's running averages follow the pass that is made with `at_hat`.
        """

    def follow(self, layer: Layer, stage: int, descend: Descent) -> None:  # noqa: B027 - nothing is a fine default
        """After an update in `stage`: what follows the weights (a moving alpha, a tail rule). By default nothing.

        (p, velocity) = descend(p, dp, velocity) is this step of SGD, for parameters that a method has of its own.
        """

    @abstractmethod
    def select(self, layer: Layer, stage: int) -> np.ndarray:
        """Bool array: the free weights that freeze at the start of `stage` (1 .. plan.stages - 1)."""
