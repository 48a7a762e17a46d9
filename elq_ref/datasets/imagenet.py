"""ImageNet in its two usual layouts: train/SYNSET/*.JPEG, and val/ in sub-folders or flat, with a list."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import FormatError
from ..files import check_source
from ..preprocessing import Normalization
from .base import Dataset
from .listing import listed
from .names import Names
from .picture_files import PictureFiles
from .streaming import Reading

NORMALIZATION = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # of torchvision's networks
LISTS = ("val.txt", "LOC_val_solution.csv")  # beside train/ and val/, where nobody names one


def imagenet(
    path: str | os.PathLike[str],
    input_shape: tuple[int, int, int] = (3, 224, 224),
    resize: str = "crop 256",
    *,
    normalization: Normalization = NORMALIZATION,
    val_list: str | os.PathLike[str] | None = None,
    reading: Reading | None = None,
) -> tuple[Dataset, Dataset]:
    """(train, val) of the folder `path`: the classes are the sub-folders of train/, in order, as torchvision has them.

    val/ has the same sub-folders, or the pictures themselves; then the list says which class each is, `val_list`, or
    val.txt or LOC_val_solution.csv in `path` (`read_list`). The names of the files are kept on the disk
    (elq_ref.datasets.listing); the files are not looked at before their turn comes.
    Raises FileNotFoundError for what is not there, ValueError where train/ and val/ or the list do not fit.
    """
    path, reading = Path(path), reading or Reading()
    for part in ("train", "val"):
        if not (path / part).is_dir():
            raise FileNotFoundError(f"{path} has no {part}/: wanted train/ and val/, as ImageNet is laid out")
    found = listed(path / "train", reading.tell)
    if empty := [name for name, count in zip(found.classes, found.counts, strict=True) if not count]:
        raise ValueError(f"{path / 'train' / empty[0]} has no picture, wanted some of every class")
    if not found.classes:
        raise ValueError(f"{path / 'train'} has no sub-folders, wanted one for each class")
    judged = listed(path / "val", reading.tell)
    if judged.classes:
        if odd := sorted(set(judged.classes) ^ set(found.classes)):
            raise ValueError(f"train/ and val/ of {path} differ in {len(odd)} sub-folders, the first is {odd[0]}")
        names, labels = judged.names, judged.labels
    else:
        names, labels = _flat(path, val_list, found.classes)

    def of(part: str, names: Names, labels: np.ndarray) -> Dataset:
        images = PictureFiles(path / part, names, input_shape, resize, reading)
        return Dataset(images, labels, found.classes, normalization, f"imagenet/{part}", resize)

    return of("train", found.names, found.labels), of("val", names, labels)


def _flat(path: Path, val_list: str | os.PathLike[str] | None, classes: Sequence[str]) -> tuple[Names, np.ndarray]:
    """The pictures of a val/ without sub-folders, and their labels."""
    from ..pictures import find_pictures  # here, so that the other data sets do not need Pillow

    names = [file.name for file, _ in find_pictures(path / "val", ())]
    there = [path / name for name in LISTS if (path / name).is_file()]
    if val_list is None and not there:
        wanted = " or ".join(LISTS)
        raise FileNotFoundError(
            f"{path / 'val'} has no sub-folders, and {path} no list: wanted {wanted}, or --val-list"
        )
    return Names.of(names), read_list(there[0] if val_list is None else val_list, names, classes)


def read_list(path: str | os.PathLike[str], names: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """int64 (N,): the labels of the pictures `names`, by the file `path`, one line a picture.

    `NAME SYNSET` or `NAME INDEX` (0 is the first class; Caffe's val.txt), a space or a comma between; NAME may go
    without its suffix; what follows is passed over, and so is a first line that begins with ImageId (Kaggle's
    LOC_val_solution.csv). Or `SYNSET` alone, in the order of the names (TensorFlow's). The integers of the devkit alone
    are refused: they number the classes in the order of a table of the devkit, not in that of the synsets.
    FormatError names the first line that is none of these, ValueError the first picture that no line names.
    """
    path = Path(path)
    check_source(path)
    number = {name: label for label, name in enumerate(classes)}
    lines = [re.split(r"[\s,]+", line.strip()) for line in path.read_text("utf-8", "replace").splitlines()]
    lines = [words for k, words in enumerate(lines) if words != [""] and not (k == 0 and words[0] == "ImageId")]
    if lines and all(len(words) == 1 for words in lines):
        if all(words[0].isdecimal() for words in lines):
            raise FormatError(f"{path} has the devkit's own numbers of classes: wanted lines of NAME SYNSET or SYNSET")
        if len(lines) != len(names):
            raise ValueError(f"{path} has {len(lines):,} lines for {len(names):,} pictures")
        lines = [[name, *words] for name, words in zip(names, lines, strict=True)]
    labels: dict[str, int] = {}
    for words in lines:
        label = number.get(words[1], -1) if len(words) > 1 else -1
        if label < 0 and len(words) > 1 and words[1].isdecimal() and len(words[1]) < 10:
            label = int(words[1])
        if not 0 <= label < len(classes):
            given = " ".join(words[:2])[:80]
            raise FormatError(
                f"{path}: {given!r} names no class: wanted a sub-folder of train/, or 0 to {len(classes) - 1}"
            )
        labels[os.path.splitext(words[0])[0]] = label
    stems = [os.path.splitext(name)[0] for name in names]
    if missing := [name for name, stem in zip(names, stems, strict=True) if stem not in labels]:
        raise ValueError(f"{path} does not name {len(missing):,} of {len(names):,} pictures, the first is {missing[0]}")
    return np.array([labels[stem] for stem in stems], np.int64)
