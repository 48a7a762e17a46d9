"""The UCI handwritten digits that ship with the package; data/README.md says whose they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import FormatError
from ..preprocessing import Normalization
from .base import Dataset
from .idx import CLASSES, labelled, read_idx

TOP = 16  # the pictures count ink in cells of 4x4 pixels: 0 to 16
NORMALIZATION = Normalization((0.3051,), (0.3759,))


def bundled(name: str) -> Path:
    """The path of a file of data/, installed as elq_ref/_bundled."""
    package = Path(__file__).parents[1]
    installed = package / "_bundled"
    return (installed if installed.is_dir() else package.parent / "data") / name


def read_split(split: str) -> Dataset:
    """`split` of the digits: "test" is the 500 that data/digits-test.txt lists, "train" the other 1,297.

    A count of ink v becomes the uint8 value round(255 v / 16), halves up.
    """
    files = bundled("digits-images-idx3-ubyte.gz"), bundled("digits-labels-idx1-ubyte.gz")
    images, labels = labelled(read_idx(files[0], 3), read_idx(files[1], 1), len(CLASSES), files[0].parent)
    if images.max() > TOP:
        raise FormatError(f"{files[0]} has the value {images.max()}, wanted 0 to {TOP}")
    scaled = ((images * np.uint16(255) + TOP // 2) // TOP).astype(np.uint8)
    test = np.zeros(len(labels), bool)
    test[np.loadtxt(bundled("digits-test.txt"), np.intp)] = True
    chosen = test if split == "test" else ~test
    return Dataset(scaled[chosen], labels[chosen], CLASSES, NORMALIZATION, "digits")


def digits() -> tuple[Dataset, Dataset]:
    """(train, test) of the bundled digits: 1,297 and 500 pictures (1, 8, 8), white on black."""
    return read_split("train"), read_split("test")
