"""The pictures that arguments name: files, or folders of them. Imports nothing of the training side."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import FormatError
from ..pictures import find_pictures, read_picture
from ..runtime import PackedNetwork
from .output import progress

Picture = tuple[str, int | None]  # path, label
MOST_BYTES = 1 << 28  # of the pictures of a batch


def listed(path: str, classes: tuple[str, ...]) -> list[Picture]:
    """The pictures that an argument names: a file, or all of a folder."""
    if not Path(path).is_dir():
        return [(path, None)]
    return [(str(file), label) for file, label in find_pictures(path, classes)]


def read_in_batches(
    packed: PackedNetwork, pictures: list[Picture], size: int, unreadable: list[str] | None
) -> Iterator[tuple[list[Picture], np.ndarray]]:
    """Pictures with their pixels uint8 (N, C, H, W), N at most `size` and what fits
    into MOST_BYTES. One that cannot be read is an error, or a line
    of `unreadable` where that is given."""
    shape, resize = packed.graph.input_shape, packed.metadata.resize
    size = min(size, max(1, MOST_BYTES // math.prod(shape)))
    read: list[tuple[Picture, np.ndarray]] = []
    for k, picture in enumerate(progress(pictures, len(pictures), "pictures"), 1):
        try:
            read.append((picture, read_picture(picture[0], shape, resize)))
        except (FormatError, OSError, ValueError) as error:
            if unreadable is None:
                raise
            unreadable.append(str(error))
        if read and (len(read) == size or k == len(pictures)):
            yield [p for p, _ in read], np.stack([pixels for _, pixels in read])
            read = []
