"""Batches: shuffled, augmented, and the same whoever asks for them, whenever, in whatever order.

Every random number is a function of (seed, epoch, sample, what it is for), so a run that is resumed in the
middle of an epoch, or has another batch size, sees each picture exactly as it would have.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..splitmix import MAX_SEED, random_bits
from .base import Dataset

_ORDER, _ROW, _COLUMN, _FLIP = range(4)


def _whole(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}, wanted an integer") from None


@dataclass(frozen=True)
class Augment:
    """A random crop of the picture padded by `pad` pixels on every side, mirrored half the time if `flip`.

    The padding is black: 0 before normalization. Each of the (2 pad + 1)^2 crops is as likely as the others.
    """

    pad: int
    flip: bool

    def __post_init__(self) -> None:
        if self.pad < 0:
            raise ValueError(f"pad is {self.pad}, wanted an integer >= 0")


class Batches:
    """The batches of every epoch of `dataset`, all of its pictures in each; the last one may be smaller.

    shuffle: in another random order every epoch, or as they lie in `dataset`. seed: 0 to 2^64 - 1.

    >>> train, test = elq.datasets.digits()
    >>> batches = elq.Batches(train, 64, augment=elq.datasets.default_augment(train), seed=3)
    >>> len(batches)
    21
    >>> x, labels = next(batches.epoch(0))
    >>> x.shape, x.dtype, labels.shape
    ((64, 1, 8, 8), dtype('float32'), (64,))
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        *,
        augment: Augment | None = None,
        seed: int = 0,
        shuffle: bool = True,
        dtype: Any = np.float32,
    ) -> None:
        if not isinstance(dataset, Dataset):
            raise TypeError(
                f"batches of a {type(dataset).__name__}, wanted a Dataset: images, labels, classes, normalization"
            )
        batch_size, seed = _whole("batch_size", batch_size), _whole("seed", seed)
        if batch_size < 1 or not len(dataset):
            raise ValueError(f"batches of {batch_size} from {len(dataset)} pictures: wanted at least one of each")
        if not 0 <= seed <= MAX_SEED:
            raise ValueError(f"seed is {seed}, wanted 0 to 2^64 - 1")
        self.dataset, self.batch_size, self.augment = dataset, batch_size, augment
        self.seed, self.shuffle, self.dtype = seed, shuffle, dtype

    def __len__(self) -> int:
        """Batches an epoch."""
        return -(-len(self.dataset) // self.batch_size)

    def order(self, epoch: int) -> np.ndarray:
        """Numbers in `dataset` of the pictures of `epoch`, as they come: `batch_size` of them a batch."""
        return self._order(epoch)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Batches `start`, `start` + 1, ... of `epoch`: x (N, C, H, W) of `dtype`, normalized, y int64 (N,)."""
        if epoch < 0 or not 0 <= start <= len(self):
            raise ValueError(f"epoch {epoch} from batch {start}: wanted epoch >= 0 and a batch of 0 to {len(self)}")
        return self._epoch(epoch, start)

    def _epoch(self, epoch: int, start: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        order = self._order(epoch)
        for first in range(start * self.batch_size, len(order), self.batch_size):
            samples = order[first : first + self.batch_size]
            images = self.dataset.images[samples]
            if self.augment is not None:
                images = self._augmented(self.augment, images, epoch, samples)
            yield self.dataset.normalization.apply(images, self.dtype), self.dataset.labels[samples]

    def _order(self, epoch: int) -> np.ndarray:
        samples = np.arange(len(self.dataset))
        if not self.shuffle:
            return samples
        return np.argsort(random_bits(self.seed, epoch, _ORDER, samples), kind="stable")

    def _augmented(self, augment: Augment, images: np.ndarray, epoch: int, samples: np.ndarray) -> np.ndarray:
        pad, (height, width) = augment.pad, images.shape[2:]
        if pad:
            padded = np.pad(images, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
            crops = np.lib.stride_tricks.sliding_window_view(padded, (height, width), (2, 3))
            row, column = (self._below(2 * pad + 1, epoch, purpose, samples) for purpose in (_ROW, _COLUMN))
            images = crops[np.arange(len(samples)), :, row, column]
        if augment.flip:
            mirrored = self._below(2, epoch, _FLIP, samples).astype(bool)
            images[mirrored] = images[mirrored, :, :, ::-1]
        return images

    def _below(self, limit: int, epoch: int, purpose: int, samples: np.ndarray) -> np.ndarray:
        """Integers 0 <= i < limit, one a sample, uneven by less than limit / 2^32."""
        bits = random_bits(self.seed, epoch, purpose, samples) >> np.uint64(32)
        return (bits * np.uint64(limit) >> np.uint64(32)).astype(np.intp)
