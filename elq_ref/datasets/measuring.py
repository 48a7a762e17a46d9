"""Mean and standard deviation of pictures, where nobody gives them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..preprocessing import Normalization
from .picture_files import PictureFiles
from .streaming import Cache

SAMPLE = 1024  # pictures that are measured, at most


def measured(images: np.ndarray | PictureFiles) -> Normalization:
    """Of the values of each channel / 255, over at most SAMPLE pictures evenly spread over `images`, as they are
    evaluated; rounded to 4 places, a standard deviation to no less than 1 / 255.

    From sums of integers, so that it is the same everywhere.
    """
    count = min(SAMPLE, len(images))
    if isinstance(images, PictureFiles):  # what is kept is for training
        unkept = replace(images.reading, cache=Cache(0))
        images = PictureFiles(images.root, images.names, images.input_shape, images.resize, unkept)
    chosen = images[np.arange(count) * len(images) // count].astype(np.int64)
    total = chosen[0, 0].size * count
    sums, squares = chosen.sum((0, 2, 3)).tolist(), np.square(chosen).sum((0, 2, 3)).tolist()
    mean = [s / total for s in sums]
    std = [(q * total - s * s) ** 0.5 / total for s, q in zip(sums, squares, strict=True)]
    return Normalization(tuple(round(m / 255, 4) for m in mean), tuple(round(max(d, 1.0) / 255, 4) for d in std))
