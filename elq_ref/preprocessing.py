"""How a picture becomes the input of a network: the rule for another size, and the normalization."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

_RULES = "exact, stretch, crop or crop N, the last three also with bicubic behind them"
_RULE = re.compile(r"(exact|stretch|crop)(?: ([1-9][0-9]{0,4}))?( bicubic)?", re.ASCII)


@dataclass(frozen=True)
class ResizeRule:
    """What is done to a picture of another size than H x W.

    "exact" refuses it; "stretch" scales rows and columns to H and W; "crop" scales it by one factor until it covers
    H x W and cuts out the centre; "crop N" scales it until its shorter side is N and cuts out the centre, also where
    the picture is H x W already. Filtered bilinearly, or with "... bicubic" by Pillow's bicubic filter; where it
    shrinks, over a target pixel's whole area.
    """

    kind: str
    side: int | None = None
    bicubic: bool = False

    @classmethod
    def parse(cls, text: object) -> ResizeRule:
        """The rule that a text names; ValueError for another."""
        found = _RULE.fullmatch(text) if isinstance(text, str) else None
        if not found or (found[1] != "crop" and found[2]) or (found[1] == "exact" and found[3]):
            raise ValueError(f"resize is {str(text)[:40]!r}, wanted {_RULES}")
        return cls(found[1], int(found[2]) if found[2] else None, bool(found[3]))


@dataclass(frozen=True)
class Normalization:
    """A value v of channel c, 0..255, enters a network as (v / 255 - mean[c]) / std[c]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        paired = len(self.mean) == len(self.std) > 0
        if not paired or not np.isfinite([*self.mean, *self.std]).all() or min(self.std) <= 0:
            raise ValueError(
                f"mean is {self.mean}, std {self.std}: wanted one finite number a channel each and std > 0"
            )

    def table(self, dtype: Any = np.float32) -> np.ndarray:
        """(C, 256): what each value of each channel becomes, float32 or float64, computed in float64, rounded once."""
        mean, std = np.array(self.mean)[:, None], np.array(self.std)[:, None]
        table: np.ndarray = ((np.arange(256) / 255 - mean) / std).astype(dtype)
        return table

    def apply(self, images: np.ndarray, dtype: Any = np.float32) -> np.ndarray:
        """images (N, C, H, W) uint8 -> input of a network: for every pixel its value of `table`."""
        y = np.empty(images.shape, dtype)
        for channel, values in enumerate(self.table(dtype)):
            y[:, channel] = values[images[:, channel]]
        return y
