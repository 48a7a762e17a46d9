"""How a picture becomes the input of a network: the rule for another size, and the normalization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

RESIZE_RULES = ("exact", "stretch", "crop")


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
