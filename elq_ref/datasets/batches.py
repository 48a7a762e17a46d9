"""Batches: shuffled, augmented, and the same whoever asks for them, whenever, in whatever order.

Every random number is a function of (seed, epoch, sample, what it is for), so a run that is resumed in the
middle of an epoch, or has another batch size, sees each picture exactly as it would have.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from typing import Any

import numpy as np

from ..parallel import ALONE, World
from ..splitmix import MAX_SEED, random_bits
from .augment import COLUMN, FLIP, ORDER, ROW, Augment, Draws, RandomResizedCrop, upper
from .base import Dataset
from .picture_files import PictureFiles

Part = Callable[[np.ndarray], np.ndarray]


def _whole(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}, wanted an integer") from None


def _micro_batch(given: int | None, batch_size: int, world: World) -> int | None:
    """ValueError unless batches are of whole micro-batches, and each process gets as many of them."""
    size = batch_size if given is None else _whole("micro_batch", given)
    if size < 1 or batch_size % size:
        raise ValueError(f"micro-batches of {size} in batches of {batch_size}: wanted a divisor of {batch_size}")
    count = batch_size // size
    if count % world.size:
        raise ValueError(
            f"{count} micro-batches of {size} pictures a batch for {world.size} processes: wanted a micro-batch size "
            f"of which {world.size} divides the number, or as many processes as divide {count}"
        )
    return given


class Batches:
    """The batches of every epoch of `dataset`, all of its pictures in each; the last one may be smaller.

    shuffle: in another random order every epoch, or as they lie in `dataset`. seed: 0 to 2^64 - 1. augment: a
    RandomResizedCrop wants pictures in files, which are read by threads ahead of the batch that is asked for.
    micro_batch: pictures that a network in training computes on at a time (default: the whole batch), a divisor of
    `batch_size`; every micro-batch is normalized by its own statistics. world: the processes that share a batch's
    micro-batches, each a run of them (docs/several-processes.md); a divisor of these that are in a batch.

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
        augment: Augment | RandomResizedCrop | None = None,
        seed: int = 0,
        shuffle: bool = True,
        dtype: Any = np.float32,
        micro_batch: int | None = None,
        world: World = ALONE,
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
        if isinstance(augment, RandomResizedCrop) and not isinstance(dataset.images, PictureFiles):
            raise TypeError(
                f"{dataset.name} is an array: a RandomResizedCrop wants pictures in files, wanted an Augment"
            )
        self.dataset, self.batch_size, self.augment = dataset, batch_size, augment
        self.seed, self.shuffle, self.dtype = seed, shuffle, dtype
        self.micro_batch, self.world = _micro_batch(micro_batch, batch_size, world), world

    def __len__(self) -> int:
        """Batches an epoch."""
        return -(-len(self.dataset) // self.batch_size)

    def order(self, epoch: int) -> np.ndarray:
        """Numbers in `dataset` of the pictures of `epoch`, as they come: `batch_size` of them a batch."""
        samples = np.arange(len(self.dataset))
        if not self.shuffle:
            return samples
        return np.argsort(random_bits(self.seed, epoch, ORDER, samples), kind="stable")

    def epoch(self, epoch: int, start: int = 0, part: Part | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Batches `start`, `start` + 1, ... of `epoch`: x (N, C, H, W) of `dtype`, normalized, y int64 (N,).

        part: which of a batch's pictures are read, from their numbers (default: all).
        """
        if epoch < 0 or not 0 <= start <= len(self):
            raise ValueError(f"epoch {epoch} from batch {start}: wanted epoch >= 0 and a batch of 0 to {len(self)}")
        return self._epoch(epoch, start, part or (lambda samples: samples))

    def _epoch(self, epoch: int, start: int, part: Part) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        order, size = self.order(epoch), self.batch_size
        batches = [part(order[k : k + size]) for k in range(start * size, len(order), size)]
        with closing(self._pictures(epoch, batches)) as pictures:
            for samples, images in zip(batches, pictures, strict=True):
                if isinstance(self.augment, Augment):
                    images = self._augmented(self.augment, images, epoch, samples)
                yield self.dataset.normalization.apply(images, self.dtype), self.dataset.labels[samples]

    def _pictures(self, epoch: int, batches: list[np.ndarray]) -> Generator[np.ndarray, None, None]:
        """uint8 (n, C, H, W) of every batch, cropped where that is done to originals."""
        images, augment = self.dataset.images, self.augment
        if not isinstance(images, PictureFiles):
            yield from (images[samples] for samples in batches)
        elif not isinstance(augment, RandomResizedCrop):
            yield from images.stream(batches, lambda _: images.picture)
        else:
            yield from images.stream(batches, partial(self._cropping, images, augment, epoch))

    def _cropping(
        self, images: PictureFiles, augment: RandomResizedCrop, epoch: int, samples: np.ndarray
    ) -> Callable[[int], np.ndarray]:
        """What makes the picture of each of `samples`; their random numbers are drawn at once."""
        from ..pictures import resized  # here, so that the other data sets do not need Pillow

        draws = Draws.of(self.seed, epoch, samples)
        mirrored = self._below(2, epoch, FLIP, samples)
        place = {sample: k for k, sample in enumerate(samples.tolist())}

        def cropped(sample: int) -> np.ndarray:
            k, original = place[sample], images.original(sample)
            top, left, rows, columns = augment.box(original.shape[0], original.shape[1], draws, k)
            picture = resized(original[top : top + rows, left : left + columns], *images.input_shape[1:])
            return picture[:, :, ::-1] if augment.flip and mirrored[k] else picture

        return cropped

    def _augmented(self, augment: Augment, images: np.ndarray, epoch: int, samples: np.ndarray) -> np.ndarray:
        pad, (height, width) = augment.pad, images.shape[2:]
        if pad:
            padded = np.pad(images, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
            crops = np.lib.stride_tricks.sliding_window_view(padded, (height, width), (2, 3))
            row, column = (self._below(2 * pad + 1, epoch, purpose, samples) for purpose in (ROW, COLUMN))
            images = crops[np.arange(len(samples)), :, row, column]
        if augment.flip:
            mirrored = self._below(2, epoch, FLIP, samples).astype(bool)
            images[mirrored] = images[mirrored, :, :, ::-1]
        return images

    def _below(self, limit: int, epoch: int, purpose: int, samples: np.ndarray) -> np.ndarray:
        """Integers 0 <= i < limit, one a sample, uneven by less than limit / 2^32."""
        return (upper(self.seed, epoch, purpose, samples) * np.uint64(limit) >> np.uint64(32)).astype(np.intp)
