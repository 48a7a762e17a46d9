"""Whatever --data may be, for a network."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, overload

from ..errors import OtherClasses
from ..preprocessing import Normalization
from .base import Dataset, check_fit
from .folders import Split, folder, image_folder, part
from .npz import npz
from .sources import is_unknown_folder, load
from .split import hold_out
from .streaming import Reading


@dataclass(frozen=True)
class Wanted:
    """What a network asks of its pictures; what is None is as the data are.

    A folder of pictures can be read for any input_shape, which it therefore needs; resize: the rule for it. outputs:
    how many classes the network tells apart, where it has no names for them.
    """

    input_shape: tuple[int, int, int] | None = None
    classes: Sequence[str] | None = None
    normalization: Normalization | None = None
    resize: str = "stretch"
    outputs: int | None = None


@overload
def load_for(
    data: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None,
    split: Split,
    wanted: Wanted,
    *,
    reading: Reading | None = None,
) -> Dataset: ...
@overload
def load_for(
    data: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None,
    split: Literal["both"],
    wanted: Wanted,
    *,
    held_out: int | None = None,
    reading: Reading | None = None,
) -> tuple[Dataset, Dataset]: ...
def load_for(
    data: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None,
    split: Split | Literal["both"],
    wanted: Wanted,
    *,
    held_out: int | None = None,
    reading: Reading | None = None,
) -> Dataset | tuple[Dataset, Dataset]:
    """`split` ("train" or "test") of `data`, or "both" as a pair, for a network.

    `data`: as of `load`, a .npz file (`npz`), or any other folder: one of pictures (`folder`, `image_folder`).
    held_out: so many pictures of train are test in such a pair, and the other split is not read.
    Raises what those raise, and ValueError where pictures or number of classes are not the network's.
    """
    if split != "both":
        return _fitting(_split(data, data_dir, split, wanted, reading), wanted)
    if is_unknown_folder(data):
        shape, resize = _shape(data, wanted), wanted.resize
        pair = folder(
            data, shape, resize, held_out=held_out, classes=wanted.classes, normalization=wanted.normalization,
            reading=reading,
        )  # fmt: skip
    else:
        train = _split(data, data_dir, "train", wanted, reading)
        pair = hold_out(train, held_out) if held_out else (train, _split(data, data_dir, "test", wanted, reading))
    return _fitting(pair[0], wanted), _fitting(pair[1], wanted)


def _split(
    data: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None,
    split: Split,
    wanted: Wanted,
    reading: Reading | None,
) -> Dataset:
    if is_unknown_folder(data):
        where, shape = part(data, split), _shape(data, wanted)
        return image_folder(
            where, shape, wanted.resize, classes=wanted.classes, normalization=wanted.normalization, reading=reading
        )
    if Path(data).suffix == ".npz" and Path(data).is_file():
        return npz(data, split, classes=wanted.classes, normalization=wanted.normalization)
    return load(data, data_dir, split)


def _shape(data: str | os.PathLike[str], wanted: Wanted) -> tuple[int, int, int]:
    if wanted.input_shape is None:
        raise ValueError(f"{data} holds pictures of any size: wanted the network's input, --input C,H,W")
    return wanted.input_shape


def _fitting(dataset: Dataset, wanted: Wanted) -> Dataset:
    """`dataset` as the network wants it; ValueError where it cannot be."""
    check_fit(dataset, wanted.input_shape or dataset.input_shape, wanted.classes or dataset.classes)
    if wanted.outputs is not None and wanted.outputs != len(dataset.classes):
        number = len(dataset.classes)
        raise OtherClasses(
            f"the network has {wanted.outputs} outputs and no names for them, {dataset.name} has {number} classes"
        )
    return dataset if wanted.normalization is None else replace(dataset, normalization=wanted.normalization)
