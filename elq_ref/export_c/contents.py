"""All that the text of an export says, as a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .constants import Constants
from .forms.form import Form
from .layers import Layer
from .planner import Plan

CRC_TABLE = 64  # bytes; c/crc32.c


@dataclass(frozen=True)
class Contents:
    """All that the text says. name: the prefix. arithmetic: version of the definition of the integers. forms, words,
    constants: of each layer; a layer without weights has no form. by_sum: whether the class of the largest raw is that
    of the largest logit. expected: CRC-32 of the constants and of the value of each layer for the self-test, or None
    without one. split: weights in a file of their own.
    """

    name: str
    model_sha256: str
    arithmetic: int
    plan: Plan
    forms: Sequence[Form | None]
    words: Sequence[np.ndarray]
    constants: Sequence[Constants]
    factor: np.ndarray
    by_sum: bool
    expected: Sequence[tuple[int, int]] | None
    split: bool

    @property
    def weight_bytes(self) -> int:
        """Of the weights of all layers in flash."""
        return sum(4 * len(words) for words in self.words)

    @property
    def constant_bytes(self) -> int:
        """Of all constants in flash: weights, other constants of layers, factors, names, tables of functions."""
        layers = self.plan.layers
        names = sum(len(layer.name.encode()) + 1 for layer in layers) + 1
        tables = 8 * len(layers) * (1 if self.expected is None else 2) + CRC_TABLE
        own = sum(len(constants.content) for constants in self.constants)
        return self.weight_bytes + own + self.factor.nbytes + names + tables

    @property
    def macs(self) -> int:
        """Multiply-adds for a picture."""
        return sum(layer.macs for layer in self.plan.layers)

    @property
    def high_ends(self) -> bool:
        """Whether a clamp ends below 127."""
        return high_ends(self.plan.layers)

    @property
    def places(self) -> list[tuple[int, int]]:
        """Where in the arena each layer's value lies and how long it is."""
        return places(self.plan)

    def weights_of(self, layer: Layer) -> str:
        """The name in C of a layer's weights, which others see only where they have a file of their own."""
        return f"{self.name}_weights{layer.index}" if self.split else f"weights{layer.index}"


def high_ends(layers: Sequence[Layer]) -> bool:
    """Whether a clamp of these layers ends below 127."""
    return any(layer.hi < 127 for layer in layers)


def places(plan: Plan) -> list[tuple[int, int]]:
    """Where in the arena each layer's value lies and how long it is."""
    return [(start, layer.bytes) for layer, start in zip(plan.layers, plan.at, strict=True)]
