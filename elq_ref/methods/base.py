"""What a quantization method decides; the loop around it (elq_ref.training.stages) is the same for all.

A method is a rule on arrays: it owns no weights, runs no network and keeps no state but its plan. Everything that
changes is in the QuantizedWeights, so that a run is saved and resumed whatever the method.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..elq.gradients import Forward, Objective
from ..elq.plan import Plan
from ..tensor import Tensor

Descent = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


class Moment(NamedTuple):
    """Where a run stands: the share 0 <= share < 1 of the steps of `stage` is done."""

    stage: int
    share: float


@dataclass
class QuantizedWeight:
    """A weight of the network that is quantized, during a run.

    parameter: the network's own Tensor (O, ...), the one place of W. alpha: (1, 1, ...) or (O, 1, ...), of its dtype.
    frozen: bool, of its shape. extra: a method's own arrays, which are saved with the run.
    """

    name: str
    parameter: Tensor
    alpha: np.ndarray
    frozen: np.ndarray
    extra: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def w(self) -> np.ndarray:
        """W: the parameter's values, read-only. Assign a whole array of their shape and dtype to change them."""
        return self.parameter.data

    @w.setter
    def w(self, values: np.ndarray) -> None:
        self.parameter.data = values


def all_free(parameter: Tensor) -> np.ndarray:
    """The frozen set before anything froze: False, of the parameter's shape."""
    return np.zeros(parameter.shape, bool)


class Method(ABC):
    """The decisions of one method, under `plan`.

    plan_type: the class of its plans, Plan or one that adds the method's own options.
    options: the fields of it that the method reads; `make` refuses a plan that changes another, which would do nothing.
    fixed: the values of such fields that make the method what it is, where they are not Plan's defaults.
    one_scale: whether W_hat = alpha * codes, which a packed file can store; other layers are packed as float32.
    """

    plan_type: ClassVar[type[Plan]] = Plan
    options: ClassVar[frozenset[str]] = frozenset({"method", "epochs", "keep_float"})
    fixed: ClassVar[dict[str, Any]] = {}
    one_scale: ClassVar[bool] = True

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    @abstractmethod
    def begin(self, name: str, parameter: Tensor) -> QuantizedWeight:
        """What the run knows of a pretrained weight before the first step; the values are left as they are."""

    @abstractmethod
    def codes(self, weight: QuantizedWeight) -> np.ndarray:
        """int8 codes of the weight, of its shape, frozen ones included."""

    @abstractmethod
    def w_hat(self, weight: QuantizedWeight) -> np.ndarray:
        """W_hat, of W's shape and dtype; equal to W, bit for bit, where frozen."""

    @abstractmethod
    def objective(
        self, at_w: Forward, at_hat: Forward, weights: Sequence[QuantizedWeight], moment: Moment
    ) -> Objective:
        """Make the passes that this method needs at this moment and combine them (elq_ref.elq.gradients.objective).

        BatchNorm's running averages follow the pass that is made with `at_hat`.
        """

    def follow(self, weight: QuantizedWeight, stage: int, descend: Descent) -> None:  # noqa: B027 - nothing is fine
        """After an update in `stage`: what follows W (a moving alpha, a tail rule). By default nothing.

        (p, velocity) = descend(p, dp, velocity) is this step of SGD, for parameters that a method has of its own.
        """

    @abstractmethod
    def select(self, weight: QuantizedWeight, stage: int) -> np.ndarray:
        """Bool, of W's shape: what of the free weights freezes at the start of `stage` (1 .. plan.stages - 1)."""

    def settle(self, weight: QuantizedWeight, chosen: np.ndarray) -> None:
        """Put what was chosen on its levels, those of W_hat, and freeze it for ever."""
        weight.w = np.where(chosen, self.w_hat(weight), weight.w)
        weight.frozen = weight.frozen | chosen
