"""MNIST-style data: idx files, plain or gzip."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path

import numpy as np

from ..errors import FormatError
from ..preprocessing import Normalization
from .base import Dataset

PARTS = {"train": "train", "test": "t10k"}
NORMALIZATION = Normalization((0.1307,), (0.3081,))
CLASSES = tuple("0123456789")
_MAX_VALUES = 1 << 30  # the largest published set of this kind, EMNIST, has 0.55e9
_MAX_DEFLATE = 1032  # no deflate stream is more than this many times smaller than what it unpacks to


def read_idx(path: str | os.PathLike[str], ndim: int) -> np.ndarray:
    """The uint8 array of `ndim` dimensions in an idx file, gzip if its name ends in .gz.

    Layout: bytes 0, 0, 8 (uint8), ndim; the dimensions as big-endian uint32; the values, last index fastest.
    Raises FormatError if the file is anything else, shorter or longer; no memory is taken before that.
    """
    path = Path(path)
    packed = path.suffix == ".gz"
    size = path.stat().st_size
    try:
        with gzip.open(path) if packed else open(path, "rb") as file:
            header = file.read(4 + 4 * ndim)
            wanted = bytes([0, 0, 8, ndim])
            if header[:4] != wanted:
                raise FormatError(f"{path} starts with {header[:4].hex(' ')!r}, wanted {wanted.hex(' ')!r} (idx)")
            if len(header) < 4 + 4 * ndim:
                raise FormatError(f"{path} is cut off: {len(header)} bytes of header, wanted {4 + 4 * ndim}")
            shape = tuple(int(n) for n in np.frombuffer(header, ">u4", offset=4))
            count = math.prod(shape)
            most = size * _MAX_DEFLATE if packed else size - len(header)
            if count > min(most, _MAX_VALUES) or math.prod(n for n in shape if n) > _MAX_VALUES:  # 0 of 10^18, too
                raise FormatError(
                    f"{path} states {shape} values and has {size:,} bytes: cut off, no idx file, or too large"
                )
            values = file.read(count)
            if len(values) < count or file.read(1):
                found = "more" if len(values) == count else f"{len(values):,}"
                raise FormatError(f"{path} states {shape}, that is {count:,} values, and has {found}")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FormatError(f"{path} is not a whole gzip file: {error}") from None
    return np.frombuffer(values, np.uint8).reshape(shape)


def find_idx(folder: Path, stem: str) -> Path | None:
    """`stem` or `stem`.gz in `folder`."""
    return next((p for p in (folder / stem, folder / f"{stem}.gz") if p.is_file()), None)


def labelled(images: np.ndarray, labels: np.ndarray, classes: int, where: Path) -> tuple[np.ndarray, np.ndarray]:
    """(N, H, W) and (N,) as a Dataset wants them; FormatError where they do not belong together."""
    if len(images) != len(labels) or not images.size:
        raise FormatError(f"{where} has images {images.shape} and {len(labels)} labels, wanted one label an image")
    if labels.max() >= classes:
        raise FormatError(f"{where} has the label {labels.max()}, wanted 0 to {classes - 1}")
    return images[:, None], labels.astype(np.int64)


def read_split(folder: Path, split: str) -> Dataset:
    """`split` ("train" or "test") of the MNIST files in `folder`."""
    stems = (f"{PARTS[split]}-images-idx3-ubyte", f"{PARTS[split]}-labels-idx1-ubyte")
    paths = [find_idx(folder, stem) for stem in stems]
    for stem, path in zip(stems, paths, strict=True):
        if path is None:
            raise FileNotFoundError(f"{folder} has no {stem} and no {stem}.gz")
    images, labels = (read_idx(path, ndim) for path, ndim in zip(paths, (3, 1), strict=True) if path)
    return Dataset(*labelled(images, labels, len(CLASSES), folder), CLASSES, NORMALIZATION, "mnist")


def mnist(path: str | os.PathLike[str]) -> tuple[Dataset, Dataset]:
    """(train, test) of the folder of the four idx files of MNIST, or of data in the same layout."""
    return read_split(Path(path), "train"), read_split(Path(path), "test")
