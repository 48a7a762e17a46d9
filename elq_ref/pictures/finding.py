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
    return [name for name, is_folder in _entries(folder) if is_folder]


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
    found: list[tuple[Path, int | None]] = []
    for name in names:
        found += [(folder / picture, labels[name][0]) for picture in pictures_below(folder, name)[0]]
    if not names:
        found += [(folder / name, None) for name, _ in _entries(folder) if _is_picture(name)]
    if not found:
        raise FileNotFoundError(f"{folder} has no picture ({' '.join(SUFFIXES)})")
    return found


def beside_classes(folder: str | os.PathLike[str]) -> list[Path]:
    """The pictures of a labelled folder that lie beside its sub-folders, where they have no class."""
    folder = Path(folder)
    return [folder / name for name, is_folder in _entries(folder) if not is_folder and _is_picture(name)]


def pictures_below(root: str | os.PathLike[str], name: str) -> tuple[list[str], list[str]]:
    """(the pictures in the folder `name` of `root` and below it, in the order of their paths; the folders that were
    looked into), both as paths from `root` on. Raises as `find_pictures`.
    """
    root = Path(root)
    pictures: list[str] = []
    folders: list[str] = []
    seen: set[tuple[int, int]] = set()
    whole = root.resolve()
    waiting = [(name, frozenset(map(_identity, (whole, *whole.parents))))]
    while waiting:
        at, above = waiting.pop()
        folder = root / at
        here = _identity(folder)
        if here in above:
            raise ValueError(f"{folder} is a link that leads back to a folder it lies in")
        if here not in seen:
            seen.add(here)
            folders.append(at)
            for entry, is_folder in _entries(folder):
                path = os.path.join(at, entry)
                if is_folder:
                    waiting.append((path, above | {here}))
                elif _is_picture(entry):
                    pictures.append(path)
    flat = len(folders) == 1
    return pictures if flat else sorted(pictures, key=lambda path: path.split(os.sep)), folders


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino


def _entries(folder: Path) -> list[tuple[str, bool]]:
    """The names in a folder that are not hidden, in order, and whether each is a folder or a link to one."""
    entries = []
    with os.scandir(folder) as listed:  # an error of it names the folder
        for entry in sorted(listed, key=lambda entry: entry.name):
            name = entry.name
            if name.startswith("."):
                continue
            if entry.is_symlink() and not _is_picture(name) and not (folder / name).exists():
                raise FileNotFoundError(f"{folder / name} is a link that leads to nothing")
            entries.append((name, entry.is_dir()))
    return entries


def _is_picture(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES
