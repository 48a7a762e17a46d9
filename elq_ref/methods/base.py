"""What a quantization method decides; the loop around it (elq_ref.elq.stages) is the same for all.

A method is a rule on arrays: it owns no weights, runs no network and keeps no state but its plan. Everything that
changes is in the Layers, so that a run is saved and resumed whatever the method. ELQ fits it, and so do BWN and TWN
(`follow` re-estimates alpha at every step, `select` freezes nothing before the end), TTQ (`extra` holds two learned
scales, which `follow` updates from the gradient that `objective` saw) and INQ (`select` by magnitude and portion).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..elq.gradients import Forward, Objective
from ..elq.plan import Plan


@dataclass
class Layer:
    """One quantized weight during a run: w (O, ...), alpha (all its axes), frozen (bool), and a method's own arrays."""

    name: str
    w: np.ndarray
    alpha: np.ndarray
    frozen: np.ndarray
    extra: dict[str, np.ndarray] = field(default_factory=dict)


class Method(ABC):
    """The decisions of one method, under `plan`."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    @abstractmethod
    def begin(self, name: str, w: np.ndarray) -> Layer:
        """The layer of a pretrained weight, before the first step."""

    @abstractmethod
    def codes(self, layer: Layer) -> np.ndarray:
        """int8 codes of the layer's weights, frozen ones included."""

    @abstractmethod
    def quantize(self, layer: Layer) -> np.ndarray:
        """What of the layer, in w's dtype; equal to w, bit for bit, where frozen."""

    @abstractmethod
    def objective(self, at_w: Forward, at_hat: Forward, layers: Sequence[Layer], stage: int) -> Objective:
        """Make the passes this method needs and combine them (elq_ref.elq.gradients.objective)."""

    def follow(self, layer: Layer, stage: int) -> None:  # noqa: B027 - nothing is a fine default
        """After an update in `stage`: what follows the weights (a moving alpha, a tail rule). By default nothing."""

    @abstractmethod
    def select(self, layer: Layer, stage: int) -> np.ndarray:
        """Bool array: the free weights that freeze at the start of `stage` (1 .. plan.stages - 1)."""
