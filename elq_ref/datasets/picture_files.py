"""PictureFiles: pictures in files, which look like an array of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any

import numpy as np

from ..preprocessing import ResizeRule
from .names import Names
from .streaming import Reading, ahead

GROUP = 8  # pictures that a thread reads at a time
AHEAD = 2  # batches


class PictureFiles:
    """uint8 (N, C, H, W) for everybody who asks for some of it by an index; nothing is decoded before.

    `images[indices]` is what elq_ref.pictures.read_picture makes of the files: what `elq run` sees. `original` is what
    training cuts its crops from.
    """

    ndim = 4
    dtype = np.dtype(np.uint8)

    def __init__(
        self,
        root: str | os.PathLike[str],
        names: Sequence[str],
        input_shape: tuple[int, int, int],
        resize: str,
        reading: Reading | None = None,
    ) -> None:
        """names: of the files, from the folder `root` on."""
        ResizeRule.parse(resize)
        self.root, self.input_shape, self.resize = str(root), input_shape, resize
        self.names = names if isinstance(names, Names) else Names.of(names)
        self.reading = reading or Reading()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self), *self.input_shape

    def __getitem__(self, indices: Any) -> np.ndarray:
        """The pictures at `indices`, anything that indexes the first axis of an array."""
        chosen = np.arange(len(self))[indices]
        if chosen.ndim == 0:
            return self.picture(int(chosen))
        return next(self.stream([chosen.ravel()], lambda _: self.picture)).reshape(*chosen.shape, *self.input_shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All of them, in memory."""
        return self[:] if dtype is None else self[:].astype(dtype)

    def subset(self, indices: Any) -> PictureFiles:
        """Those at `indices`, without reading one; with the same cache."""
        names = self.names.take(np.arange(len(self))[indices])
        return PictureFiles(self.root, names, self.input_shape, self.resize, self.reading)

    def path(self, index: int) -> str:
        return os.path.join(self.root, self.names[index])

    def picture(self, index: int) -> np.ndarray:
        """uint8 (C, H, W) as a network reads it."""
        from ..pictures import read_picture  # here, so that the other data sets do not need Pillow

        path = self.path(index)
        read = partial(read_picture, path, self.input_shape, self.resize)
        return self.reading.cache.get((path, self.input_shape, self.resize), read)

    def original(self, index: int) -> np.ndarray:
        """uint8 (h, w, C) as the file has it, the sides of a large one shrunk to no less than twice the larger side
        of the network's input, by a whole factor (elq_ref.pictures.decoding.decode).
        """
        from ..pictures import read_pixels

        path, channels, least = self.path(index), self.input_shape[0], 2 * max(self.input_shape[1:])
        return self.reading.cache.get((path, channels, least), partial(read_pixels, path, channels, least))

    def stream(
        self, batches: Sequence[np.ndarray], prepare: Callable[[np.ndarray], Callable[[int], np.ndarray]]
    ) -> Iterator[np.ndarray]:
        """For every array of indices the pictures (n, C, H, W), read by threads ahead of whoever takes them.

        `prepare(indices)`, called in order, gives the function that makes the picture of an index.
        """
        if sum(map(len, batches)) > GROUP:
            groups = max(-(-len(indices) // GROUP) for indices in batches)
            with closing(ahead(self._tasks(batches, prepare), self.reading.workers, AHEAD * groups)) as done:
                for pixels in done:
                    if pixels is not None:
                        yield pixels
        else:
            for indices in batches:
                pixels = self._empty(indices)
                _fill(pixels, indices, prepare(indices))
                yield pixels

    def _tasks(
        self, batches: Sequence[np.ndarray], prepare: Callable[[np.ndarray], Callable[[int], np.ndarray]]
    ) -> Iterator[Callable[[], np.ndarray | None]]:
        """One a group of pictures; the last one of a batch gives the batch, whose other groups are done by then."""
        for indices in batches:
            pixels, make = self._empty(indices), prepare(indices)
            for start in range(0, max(1, len(indices)), GROUP):  # of no picture too, so that every batch comes
                part = slice(start, start + GROUP)
                whole = pixels if start + GROUP >= len(indices) else None
                yield partial(_fill, pixels[part], indices[part], make, whole)

    def _empty(self, indices: np.ndarray) -> np.ndarray:
        return np.empty((len(indices), *self.input_shape), np.uint8)

    @property
    def digest(self) -> str:
        """Of the names of the files, in order: what a run that is resumed compares."""
        return self.names.digest


def _fill(
    pixels: np.ndarray, indices: np.ndarray, make: Callable[[int], np.ndarray], result: np.ndarray | None = None
) -> np.ndarray | None:
    """Make the pictures at `indices`; gives back `result`."""
    for k, index in enumerate(indices.tolist()):
        pixels[k] = make(index)
    return result
