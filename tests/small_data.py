"""A data set that several test files use."""

import numpy as np

from elq_ref.datasets import Dataset, Normalization


def numbered(count=10, channels=1, height=4, width=5):
    """A data set whose picture i is recognized by its label i."""
    images = np.random.default_rng(3).integers(1, 256, (count, channels, height, width), dtype=np.uint8)
    classes = tuple(map(str, range(count)))
    return Dataset(images, np.arange(count), classes, Normalization((0.0,) * channels, (1 / 255,) * channels), "n")
