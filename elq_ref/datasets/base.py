"""Dataset: labelled pictures as they were read, and how they are normalized."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import OtherClasses
from ..graph.info import NetworkInfo
from ..preprocessing import Normalization
from .picture_files import PictureFiles


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """images uint8 (N, C, H, W), labels int64 (N,) that index `classes`, and their normalization.

    images: an array, or PictureFiles, which decode what is asked of them. resize: the rule by which they came to their
    size (elq_ref.preprocessing.ResizeRule), None where they had it.
    """

    images: np.ndarray | PictureFiles
    labels: np.ndarray
    classes: tuple[str, ...]
    normalization: Normalization
    name: str
    resize: str | None = None

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

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.input_shape))
        return f"Dataset({self.name}: {len(self):,} pictures {shape}, {len(self.classes)} classes)"

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every picture."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    def subset(self, indices: Any) -> Dataset:
        """The pictures at `indices` (anything that indexes an array), in that order; of files none is read."""
        images = self.images
        chosen = images.subset(indices) if isinstance(images, PictureFiles) else images[indices]
        return replace(self, images=chosen, labels=self.labels[indices])

    def normalized(self, indices: Any = None, dtype: Any = np.float32) -> np.ndarray:
        """Input (N, C, H, W) of a network, float32 or float64, for the pictures at `indices` or for all."""
        return self.normalization.apply(self.images[slice(None) if indices is None else indices], dtype)


def adapted(dataset: Dataset, info: NetworkInfo) -> Dataset:
    """The same pictures, normalized as those that the network of `info` was trained on; ValueError as `check_fit`."""
    check_fit(dataset, info.input_shape, info.classes)
    return replace(dataset, normalization=info.normalization)


def check_fit(dataset: Dataset, input_shape: tuple[int, int, int], classes: Sequence[str]) -> None:
    """ValueError where pictures or number of classes are not those of a network."""
    if dataset.input_shape != tuple(input_shape):
        raise ValueError(f"the network reads pictures {tuple(input_shape)}, {dataset.name} has {dataset.input_shape}")
    if len(dataset.classes) != len(classes):
        raise OtherClasses(f"the network knows {len(classes)} classes, {dataset.name} has {len(dataset.classes)}")
