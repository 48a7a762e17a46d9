"""Which pictures a folder holds, and the class of each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import OtherClasses

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")  # of files in folders


def class_folders(folder: str | os.PathLike[str]) -> list[str]:
    """The names of the sub-folders of `folder`, links to folders among them, in order; as `find_pictures` sees them."""
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    return [path.name for path, is_folder in _entries(folder) if is_folder]


def find_pictures(folder: str | os.PathLike[str], classes: Sequence[str]) -> list[tuple[Path, int | None]]:
    """The picture files of a folder, by their suffix and in order of their paths, each with its label.

    A folder with sub-folders is a labelled one: each sub-folder bears the name of one of `classes`, whose index is the
    label of all pictures below it, at any depth. Without sub-folders there are no labels (None).
    Passed over, at every depth: names that begin with a dot; files of other suffixes; files beside the sub-folders of
    `folder`. Links are what they lead to; a folder that a class reaches twice counts once.
    What has the suffix of a picture is listed, be it readable or not.
    Raises FileNotFoundError for no folder or no picture, or for a link of another suffix that leads nowhere; OSError
    that names a folder which cannot be read; ValueError for sub-folders that are no class, for one whose name several
    classes bear, and for a link that leads back to a folder it lies in.
    """
    folder = Path(folder)
    names = class_folders(folder)
    labels: dict[str, list[int]] = {}
    for label, name in enumerate(classes):
        labels.setdefault(name, []).append(label)
    if unknown := [name for name in names if name not in labels]:
        named = ", ".join(unknown[:3]) + (f" and {len(unknown) - 3} more" if len(unknown) > 3 else "")
        known = ", ".join(classes[:10]) + (", ..." if len(classes) > 10 else "")
        raise OtherClasses(f"{folder} has sub-folders that are no class: {named}; wanted {known}")
    for name in names:
        if len(labels[name]) > 1:
            numbers = ", ".join(map(str, labels[name]))
            raise ValueError(f"{folder / name} says not which class: {numbers} all bear the name {name}")
    found: list[tuple[Path, int | None]] = [(path, labels[name][0]) for name in names for path in _below(folder, name)]
    if not names:
        found += [(path, None) for path, _ in _entries(folder) if _is_picture(path)]
    if not found:
        raise FileNotFoundError(f"{folder} has no picture ({' '.join(SUFFIXES)})")
    return found


def beside_classes(folder: str | os.PathLike[str]) -> list[Path]:
    """The pictures of a labelled folder that lie beside its sub-folders, where they have no class."""
    return [path for path, is_folder in _entries(Path(folder)) if not is_folder and _is_picture(path)]


def _below(root: Path, name: str) -> list[Path]:
    """The pictures in the folder `name` of `root` and below it, in order."""
    pictures: list[Path] = []
    flat = True
    seen: set[tuple[int, int]] = set()
    whole = root.resolve()
    waiting = [(root / name, frozenset(map(_identity, (whole, *whole.parents))))]
    while waiting:
        folder, above = waiting.pop()
        here = _identity(folder)
        if here in above:
            raise ValueError(f"{folder} is a link that leads back to a folder it lies in")
        if here not in seen:
            seen.add(here)
            for path, is_folder in _entries(folder):
                if is_folder:
                    flat = False
                    waiting.append((path, above | {here}))
                elif _is_picture(path):
                    pictures.append(path)
    return pictures if flat else sorted(pictures)


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino


def _entries(folder: Path) -> list[tuple[Path, bool]]:
    """What is in a folder and is not hidden, in order, and whether it is a folder or a link to one."""
    entries = []
    with os.scandir(folder) as listed:  # an error of it names the folder
        for entry in sorted(listed, key=lambda entry: entry.name):  # the order of their paths, found sooner
            path = folder / entry.name
            if entry.name.startswith("."):
                continue
            if entry.is_symlink() and not _is_picture(path) and not path.exists():
                raise FileNotFoundError(f"{path} is a link that leads to nothing")
            entries.append((path, entry.is_dir()))
    return entries


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES
