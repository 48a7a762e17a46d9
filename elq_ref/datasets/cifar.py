"""CIFAR-10 in its binary layout: files of 10,000 records, each a label byte and 3 x 32 x 32 bytes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..errors import FormatError
from ..preprocessing import Normalization
from .base import Dataset

RECORDS = 10_000
SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32
PARTS = {"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test": ("test_batch.bin",)}
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
# The figures of ImageNet, not of CIFAR-10: the published ResNet-20 to -110 were trained with them.
NORMALIZATION = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def read_split(folder: Path, split: str) -> Dataset:
    """`split` ("train" or "test") of the files in `folder`; nothing is read until all sizes are right."""
    paths = [folder / name for name in PARTS[split]]
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"{folder} has no {path.name}{pickled(folder)}")
        if (size := path.stat().st_size) != RECORDS * RECORD:
            raise FormatError(
                f"{path} has {size:,} bytes, wanted {RECORDS * RECORD:,}: {RECORDS:,} records of {RECORD:,}"
            )
    images = np.empty((len(paths) * RECORDS, *SHAPE), np.uint8)
    labels = np.empty(len(images), np.int64)
    for position, path in enumerate(paths):
        here = slice(position * RECORDS, (position + 1) * RECORDS)
        records = np.fromfile(path, np.uint8, RECORDS * RECORD).reshape(RECORDS, RECORD)
        if records[:, 0].max() >= len(CLASSES):
            first = int(np.argmax(records[:, 0] >= len(CLASSES)))
            raise FormatError(f"{path} has the label {records[first, 0]} in record {first}, wanted 0 to 9")
        labels[here], images[here] = records[:, 0], records[:, 1:].reshape(-1, *SHAPE)
    return Dataset(images, labels, CLASSES, NORMALIZATION, "cifar10")


def pickled(folder: Path) -> str:
    """The end of a sentence on what `folder` lacks, where it has CIFAR-10 as pickles, itself or in their usual one."""
    for place in (folder, folder / "cifar-10-batches-py"):
        if (place / "batches.meta").is_file() and (place / "test_batch").is_file():
            return f"; {place} has CIFAR-10 as Python pickles, wanted its binary version, cifar-10-binary.tar.gz"
    return ""


def cifar10(path: str | os.PathLike[str]) -> tuple[Dataset, Dataset]:
    """(train, test) of the folder of the six files: 50,000 and 10,000 pictures (3, 32, 32)."""
    return read_split(Path(path), "train"), read_split(Path(path), "test")
