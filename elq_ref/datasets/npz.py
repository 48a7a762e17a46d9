"""Pictures as NumPy arrays in a .npz file: x_train, y_train, x_test, y_test."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import FormatError, OtherClasses
from ..preprocessing import Normalization
from .arrays import Arrays
from .base import Dataset
from .measuring import measured

_MOST_CLASSES = 1 << 20
WANTED = "x_train, y_train, x_test, y_test"


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
    with Arrays(path, WANTED) as arrays:
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


def _train(path: Path, arrays: Arrays) -> np.ndarray:
    return _pictures(path, "x_train", arrays.read("x_train"))


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
