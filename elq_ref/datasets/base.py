"""Dataset: labelled pictures as they were read, and how they are normalized."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..preprocessing import Normalization


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
