"""Dataset: labelled pictures as they were read, and how they are normalized."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np


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

    def apply(self, images: np.ndarray, dtype: Any = np.float32) -> np.ndarray:
        """images (N, C, H, W) uint8 -> input of a network, float32 or float64, each value rounded once."""
        mean, std = np.array(self.mean)[:, None], np.array(self.std)[:, None]
        table = ((np.arange(256) / 255 - mean) / std).astype(dtype)  # (C, 256)
        y = np.empty(images.shape, dtype)
        for channel, values in enumerate(table):
            y[:, channel] = values[images[:, channel]]
        return y


@dataclass(frozen=True, eq=False)
class Dataset:
    """images uint8 (N, C, H, W), labels int64 (N,) that index `classes`, and their normalization."""

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    normalization: Normalization
    name: str

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.ndim != 4 or images.dtype != np.uint8:
            raise ValueError(f"images are {images.dtype} {images.shape}, wanted uint8 (N, C, H, W)")
        if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
            raise ValueError(f"labels are {labels.dtype} {labels.shape}, wanted int64 {images.shape[:1]}")
        if labels.size and not 0 <= labels.min() <= labels.max() < len(self.classes):
            last = len(self.classes) - 1
            raise ValueError(f"labels are {labels.min()} to {labels.max()}, wanted 0 to {last}")
        if images.shape[1] != len(self.normalization.mean):
            means = len(self.normalization.mean)
            raise ValueError(f"images have {images.shape[1]} channels, the normalization has {means}")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every picture."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    def subset(self, indices: Any) -> Dataset:
        """The pictures at `indices` (anything that indexes an array), in that order."""
        return replace(self, images=self.images[indices], labels=self.labels[indices])

    def normalized(self, indices: Any = None, dtype: Any = np.float32) -> np.ndarray:
        """Input (N, C, H, W) of a network, float32 or float64, for the pictures at `indices` or for all."""
        return self.normalization.apply(self.images if indices is None else self.images[indices], dtype)


def renormalized(dataset: Dataset, mean: tuple[float, ...], std: tuple[float, ...]) -> Dataset:
    """The same pictures, normalized differently: as the network that will read them was trained."""
    return replace(dataset, normalization=Normalization(mean, std))
