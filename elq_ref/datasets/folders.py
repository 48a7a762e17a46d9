"""Image folders: one sub-folder of pictures for each class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from ..preprocessing import Normalization
from .base import Dataset
from .checking import checked
from .measuring import measured
from .picture_files import PictureFiles
from .split import hold_out
from .streaming import Reading

Split = Literal["train", "test"]
_PARTS = {"train": ("train",), "test": ("val", "test")}


def folder(
    path: str | os.PathLike[str],
    input_shape: tuple[int, int, int],
    resize: str = "crop",
    *,
    held_out: int | None = None,
    classes: Sequence[str] | None = None,
    normalization: Normalization | None = None,
    reading: Reading | None = None,
) -> tuple[Dataset, Dataset]:
    """(train, test) of a folder of photographs for a network that reads `input_shape` (C, H, W).

    path/train/NAME/... holds the pictures of class NAME to train on, path/val/NAME/... or else path/test/NAME/... those
    to judge by. With `held_out` that many are taken out of training for it; then path/NAME/... will do.
    resize: how pictures of another size are evaluated and run, elq_ref.preprocessing.ResizeRule. classes: the order of
    the labels, by default the names of the sub-folders in order. normalization: by default `measured` on train.
    reading: threads, cache, what is done with broken pictures. No picture is kept in memory but in the cache.
    Raises what elq_ref.pictures.find_pictures raises; ValueError for parts or classes that are missing; FormatError or
    OSError that names a picture which cannot be read.
    """
    from ..pictures import class_folders  # here, so that the other data sets do not need Pillow

    reading = reading or Reading()
    where = part(path, "train")
    judged = None if held_out else part(path, "test")
    if judged == where:
        if not class_folders(path):
            raise ValueError(f"{path} has no sub-folders, wanted train/ and val/ with one for each class in both")
        raise ValueError(f"{path} is not divided into train/ and val/: wanted these, or --hold-out N (held_out=)")
    train = image_folder(where, input_shape, resize, classes=classes, normalization=normalization, reading=reading)
    if judged is None:
        return hold_out(train, held_out or 0)
    test = image_folder(
        judged, input_shape, resize, classes=train.classes, normalization=train.normalization, reading=reading
    )
    for label in sorted(set(train.labels.tolist()) - set(test.labels.tolist())):
        reading.tell(f"{judged} has no picture of {train.classes[label]}")
    return train, test


def part(path: str | os.PathLike[str], split: Split) -> Path:
    """Where the pictures of a split lie: a folder of `path` for it, or `path` itself, if its sub-folders are classes.

    They are splits where all are named train, val or test, or one is train and another val or test. FileNotFoundError
    where they are and this one is missing.
    """
    from ..pictures import class_folders

    path = Path(path)
    names = set(class_folders(path))
    splits = names & {"train", "val", "test"}
    if not splits or (names != splits and ("train" not in splits or len(splits) == 1)):
        return path
    for name in _PARTS[split]:
        if name in splits:
            return path / name
    wanted = "train/" if split == "train" else "val/ or test/, or --hold-out N (held_out=) to take some out of train/"
    raise FileNotFoundError(f"{path} has {', '.join(f'{name}/' for name in sorted(splits))}: wanted {wanted}")


def image_folder(
    path: str | os.PathLike[str],
    input_shape: tuple[int, int, int],
    resize: str = "stretch",
    *,
    classes: Sequence[str] | None = None,
    normalization: Normalization | None = None,
    reading: Reading | None = None,
) -> Dataset:
    """All pictures below `path`, where path/NAME/... holds those of class NAME, as `input_shape` (C, H, W) wants them.

    The other arguments, and what is raised, as of `folder`. Without `classes` every sub-folder has a picture.
    """
    from ..pictures import (
        beside_classes,
        class_folders,
        find_pictures,
    )  # here, so that the other data sets do not need Pillow

    path, reading = Path(path), reading or Reading()
    names = class_folders(path)
    known = tuple(names if classes is None else classes)
    found = find_pictures(path, known)
    if not names:
        raise ValueError(
            f"{path} has no sub-folders, wanted one for each class: {', '.join(known[:10]) or 'path/NAME'}"
        )
    labels = np.array([label for _, label in found], np.int64)
    if odd := [name for name in names if not name.isprintable()]:
        raise ValueError(f"{path} has the sub-folder {odd[0]!r}: the name of a class is printable text")
    if classes is None and (empty := sorted(set(range(len(names))) - set(labels.tolist()))):
        raise ValueError(f"{path / names[empty[0]]} has no picture, wanted some of every class")
    if beside := beside_classes(path):
        some = "1 picture" if len(beside) == 1 else f"{len(beside)} pictures"
        reading.tell(f"{path} has {some} beside its sub-folders, of no class: {', '.join(p.name for p in beside[:3])}")
    start = len(str(path / "x")) - 1
    images = PictureFiles(path, [str(file)[start:] for file, _ in found], input_shape, resize, reading)
    given = normalization or Normalization((0.0,) * input_shape[0], (1.0,) * input_shape[0])
    dataset = checked(Dataset(images, labels, known, given, _name(path), resize))
    if normalization is None:
        dataset = replace(dataset, normalization=measured(dataset.images))
    return dataset


def _name(path: Path) -> str:
    """Of a data set: its folder's, with that above where it is a split."""
    path = path.resolve()
    return f"{path.parent.name}/{path.name}" if path.name in ("train", "val", "test") else path.name
