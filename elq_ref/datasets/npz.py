"""Pictures as NumPy arrays in a .npz file: x_train, y_train, x_test, y_test."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from ..errors import FormatError, OtherClasses
from ..preprocessing import Normalization
from .base import Dataset
from .measuring import measured

# What a damaged member raises: OSError is a seek to where no file can be.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)
_PLAIN = 1 << 30  # bytes of an array that any file may unpack to
_MOST_CLASSES = 1 << 20
_RATIO = 32  # how many times its own size a larger one may unpack to


def npz(
    path: str | os.PathLike[str],
    split: str,
    *,
    classes: Sequence[str] | None = None,
    normalization: Normalization | None = None,
) -> Dataset:
    """`split` ("train" or "test") of the file: x_SPLIT uint8 (N, H, W, C), (N, C, H, W) or (N, H, W), C 1 or 3, and
    y_SPLIT, whole numbers (N,) or (N, 1) from 0 on.

    classes: their names, by default "0", "1", ... to the largest label of both splits. normalization: by default
    `measured` on x_train. Nothing is unpickled; the memory that a header states is taken after it was compared with
    what the file holds. Raises FormatError for all else that such a file could be.
    """
    path = Path(path)
    with _Arrays(path) as arrays:
        images = _pictures(path, f"x_{split}", arrays.read(f"x_{split}"))
        labels = {name: _labels(path, name, arrays.read(name)) for name in ("y_train", "y_test") if name in arrays}
        own = labels.get(f"y_{split}")
        if own is None or len(own) != len(images):
            count = "none" if own is None else len(own)
            raise FormatError(f"{path} has {len(images)} pictures in x_{split}, labels in y_{split}: {count}")
        largest = max(int(some.max()) for some in labels.values())
        if classes is not None and largest >= len(classes):
            raise OtherClasses(f"{path} has the label {largest}, the network knows {len(classes)} classes")
        if normalization is None:
            normalization = measured(images if split == "train" else _train(path, arrays))
    names = tuple(map(str, range(largest + 1)) if classes is None else classes)
    return Dataset(images, own, names, normalization, path.name)


def _train(path: Path, arrays: _Arrays) -> np.ndarray:
    return _pictures(path, "x_train", arrays.read("x_train"))


class _Arrays:
    """The arrays of a .npz file, each read when it is asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> _Arrays:
        try:
            self.zip = zipfile.ZipFile(self.path)
        except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:
            raise FormatError(f"{self.path} is no .npz file: {error}") from None
        return self

    def __exit__(self, *_: object) -> None:
        self.zip.close()

    def __contains__(self, name: str) -> bool:
        return f"{name}.npy" in self.zip.namelist()

    def read(self, name: str) -> np.ndarray:
        if name not in self:
            there = ", ".join(n.removesuffix(".npy")[:40] for n in self.zip.namelist()[:8]) or "nothing"
            raise FormatError(f"{self.path} has no {name}, it has {there}: wanted x_train, y_train, x_test, y_test")
        if self.zip.getinfo(f"{name}.npy").compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise FormatError(f"{self.path}: {name} is packed otherwise than np.savez and np.savez_compressed do")
        try:
            with self.zip.open(f"{name}.npy") as file:
                self._check(name, file)
            with self.zip.open(f"{name}.npy") as file:
                array: np.ndarray = npy.read_array(file, allow_pickle=False)
        except FormatError:
            raise
        except _DAMAGE as error:
            raise FormatError(f"{self.path}: {name} cannot be read: {' '.join(str(error).split())[:160]}") from None
        return array

    def _check(self, name: str, file: IO[bytes]) -> None:
        """FormatError unless the header states what the file can hold."""
        version = npy.read_magic(file)
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
        if read is None:
            raise FormatError(f"{self.path}: {name} has the version {version} of .npy, wanted 1.0 or 2.0")
        shape, _, dtype = read(file)
        if dtype.hasobject or dtype.kind not in "ui":
            raise FormatError(f"{self.path}: {name} is {dtype}, wanted whole numbers")
        size = math.prod(shape) * dtype.itemsize
        stated = self.zip.getinfo(f"{name}.npy").file_size - file.tell()
        most = max(_PLAIN, self.path.stat().st_size * _RATIO)
        if size != stated or size > most:
            raise FormatError(
                f"{self.path}: {name} states {shape}, {size:,} bytes, and has {stated:,}; wanted that, up to {most:,}"
            )


def _pictures(path: Path, name: str, x: np.ndarray) -> np.ndarray:
    """As uint8 (N, C, H, W)."""
    if x.dtype != np.uint8 or x.ndim not in (3, 4) or 0 in x.shape:
        raise FormatError(
            f"{path}: {name} is {x.dtype} {x.shape}, wanted uint8 (N, H, W, C), (N, C, H, W) or (N, H, W)"
        )
    if x.ndim == 3:
        return x[:, None]
    first, last = x.shape[1] in (1, 3), x.shape[3] in (1, 3)
    if first == last:
        raise FormatError(f"{path}: {name} is {x.shape}, which says not where its 1 or 3 channels are")
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if last else x


def _labels(path: Path, name: str, y: np.ndarray) -> np.ndarray:
    """As int64 (N,)."""
    flat = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if flat.ndim != 1 or not flat.size or flat.min() < 0 or flat.max() >= _MOST_CLASSES:
        raise FormatError(f"{path}: {name} is {y.dtype} {y.shape}, wanted one whole number >= 0 a picture")
    return flat.astype(np.int64)
