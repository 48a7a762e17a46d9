"""Data sets by name or by folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal, overload

from . import cifar, idx, uci_digits
from .augment import Augment, RandomResizedCrop
from .base import Dataset
from .folders import Split
from .picture_files import PictureFiles

Folder = str | os.PathLike[str]

# name -> (the folder it is usually in, the files by which a folder is known, reader of one split)
_FOLDERS: dict[str, tuple[str, tuple[str, ...], Callable[[Path, str], Dataset]]] = {
    "mnist": (
        "mnist",
        tuple(f"{part}-images-idx3-ubyte{end}" for part in ("t10k", "train") for end in ("", ".gz")),
        idx.read_split,
    ),
    "cifar10": ("cifar-10-batches-bin", cifar.PARTS["test"] + cifar.PARTS["train"], cifar.read_split),
}
_AUGMENT = {"digits": Augment(1, False), "mnist": Augment(2, False), "cifar10": Augment(4, True)}
_HELP = "give the path of its folder, or the folder above it by --data-dir (data_dir=) or ELQ_DATA"


@overload
def load(data: Folder, data_dir: Folder | None = None, split: Literal["both"] = "both") -> tuple[Dataset, Dataset]: ...
@overload
def load(data: Folder, data_dir: Folder | None, split: Split) -> Dataset: ...
@overload
def load(data: Folder, data_dir: Folder | None = None, *, split: Split) -> Dataset: ...
def load(
    data: Folder, data_dir: Folder | None = None, split: Split | Literal["both"] = "both"
) -> Dataset | tuple[Dataset, Dataset]:
    """The data set `data`: "digits", "mnist", "cifar10", or the path of a folder with one of the last two.

    A name is looked for in `data_dir`, else in the folder that the environment variable ELQ_DATA names: the
    data set's own or the one above. split: "train", "test", or "both" for the pair (train, test).
    Raises FileNotFoundError that says what was looked for, where, and how to say where it is; FormatError for
    a damaged file.
    """
    if split not in ("train", "test", "both"):
        raise ValueError(f"split is {split!r}, wanted 'train', 'test' or 'both'")
    read = _reader(data, data_dir)
    return (read("train"), read("test")) if split == "both" else read(split)


def default_augment(dataset: Dataset) -> Augment | RandomResizedCrop | None:
    """The usual augmentation of `dataset`.

    Pictures in files: random parts of at least 0.35 of their area; those of a .npz file: crops of the picture padded by
    an eighth of its shorter side; both mirrored where they are in colour, since what is grey is writing more often than
    not. Of the known sets crops of the padded picture, for CIFAR-10 mirrored too. Of one's own arrays None.
    """
    channels, height, width = dataset.input_shape
    if isinstance(dataset.images, PictureFiles):
        return RandomResizedCrop(flip=channels == 3)
    if dataset.name.endswith(".npz"):
        return Augment(max(1, min(height, width) // 8), channels == 3)
    return _AUGMENT.get(dataset.name)


def _reader(data: Folder, data_dir: Folder | None) -> Callable[[str], Dataset]:
    """What reads a split of the data set."""
    if data == "digits":
        return uci_digits.read_split
    name, folder = _locate(data, data_dir)
    return partial(_FOLDERS[name][2], folder)


def _locate(data: Folder, data_dir: Folder | None) -> tuple[str, Path]:
    """(name, folder) of a data set that lies in a folder."""
    if data in _FOLDERS:
        usual, files, _ = _FOLDERS[str(data)]
        root = data_dir if data_dir is not None else os.environ.get("ELQ_DATA")
        if not root:
            raise FileNotFoundError(f"{data} does not ship with elq_ref: {_HELP}")
        for folder in (Path(root, usual), Path(root)):
            if _holds(folder, files):
                return str(data), folder
        other = cifar.pickled(Path(root)) if data == "cifar10" else ""
        raise FileNotFoundError(f"no {files[0]} in {Path(root, usual)} or {Path(root)}: for {data}, {_HELP}{other}")
    folder = Path(data)
    if not folder.is_dir():
        raise FileNotFoundError(f"{data} is neither a folder nor one of digits, {', '.join(_FOLDERS)}")
    if found := _within(folder):
        return found
    wanted = " or ".join(files[0] for _, files, _ in _FOLDERS.values())
    raise FileNotFoundError(f"{folder} has no data set that is known here: no {wanted}{cifar.pickled(folder)}")


def is_unknown_folder(data: Folder) -> bool:
    """Whether `data` is a folder and none of the data sets that `load` knows, by name or by what lies there."""
    if data == "digits" or data in _FOLDERS or not Path(data).is_dir():
        return False
    return _within(Path(data)) is None and not cifar.pickled(Path(data))


def _within(folder: Path) -> tuple[str, Path] | None:
    """(name, folder) of the data set whose files lie in `folder`, or in its usual folder there."""
    for name, (usual, files, _) in _FOLDERS.items():
        for candidate in (folder, folder / usual):
            if _holds(candidate, files):
                return name, candidate
    return None


def _holds(folder: Path, files: tuple[str, ...]) -> bool:
    return any((folder / file).is_file() for file in files)
