"""Which pictures a folder of classes holds, kept on the disk, so that a million files are looked up once.

A kept listing is used where, at this moment,
- every folder that was looked into, the root among them, has the time of change that it had: the system sets it anew
  when a name in the folder comes, goes or changes,
- none of these times is later than two seconds before the listing began: in one step of the clock two changes look as
  one,
- a sample of the files, spread over the list, is there.
Else it is made again; so it is where the kept one is damaged, of another version or of another folder. What is in the
files is no part of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..files import atomic_write
from .arrays import Arrays
from .names import Names

VERSION = 1
SETTLED = 2_000_000_000  # ns
SAMPLE = 64
KEPT = ("about", "classes", "counts", "names", "folders", "changed")


@dataclass(frozen=True, eq=False)
class Listing:
    """The sub-folders of a folder, its classes, in order; how many pictures each has; and their names from the folder
    on, those of a class together, in order.
    """

    classes: tuple[str, ...]
    counts: np.ndarray
    names: Names

    @property
    def labels(self) -> np.ndarray:
        """int64 (N,): of each picture the number of its class."""
        return np.repeat(np.arange(len(self.classes), dtype=np.int64), self.counts)


def kept_at(root: Path) -> Path:
    """Where the listing of a folder is kept: in the user's cache, XDG_CACHE_HOME or ~/.cache."""
    root = root.resolve()
    where = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "elq_ref", f"{root.name}-{where}.npz")


def listed(root: str | os.PathLike[str], tell: Callable[[str], None] = lambda line: None) -> Listing:
    """The listing of the folder `root`: the kept one where it may be used, else made and kept.

    tell: is given a line where it cannot be kept. Raises what elq_ref.pictures.find_pictures raises for such a folder.
    """
    root = Path(root)
    try:
        place = kept_at(root)
    except RuntimeError:  # no home
        return _made(root)[0]
    found = _kept(root, place)
    if found is None:
        began = time.time_ns()
        found, folders, changed = _made(root)
        try:
            _keep(root, place, found, folders, changed, began)
        except OSError as error:
            tell(f"the list of {len(found.names):,} files is not kept, {error}: the next start makes it again")
    return found


def _made(root: Path) -> tuple[Listing, list[str], np.ndarray]:
    """The listing, the folders that were looked into, and when each had changed last, taken before the look."""
    from ..pictures import class_folders, pictures_below  # here, so that the other data sets do not need Pillow

    folders, changed, parts = ["."], [_changed(root / ".")], []
    classes = class_folders(root)
    for name in classes:
        before = _changed(root / name)
        pictures, below = pictures_below(root, name)
        parts.append(Names.of(pictures))
        folders += below
        changed += [before, *(_changed(root / folder) for folder in below[1:])]
    blob = np.concatenate([part.blob for part in parts] or [np.empty(0, np.uint8)])
    counts = np.array([len(part) for part in parts], np.int64)
    return Listing(tuple(classes), counts, Names(blob)), folders, np.array(changed, np.int64)


def _changed(folder: Path) -> int:
    return folder.stat().st_mtime_ns


def _keep(root: Path, place: Path, found: Listing, folders: list[str], changed: np.ndarray, began: int) -> None:
    about = {"version": VERSION, "root": str(root.resolve()), "began": began}
    with atomic_write(place) as temporary, open(temporary, "wb") as file:
        np.savez(
            file,
            about=np.frombuffer(json.dumps(about).encode(), np.uint8),
            classes=Names.of(found.classes).blob,
            counts=found.counts,
            names=found.names.blob,
            folders=Names.of(folders).blob,
            changed=changed,
        )


def _kept(root: Path, place: Path) -> Listing | None:
    """The kept listing where it may be used; of whatever is wrong with it nothing is said."""
    try:
        with Arrays(place, ", ".join(KEPT)) as file:
            arrays = {name: file.read(name) for name in KEPT}
        about = json.loads(arrays["about"].tobytes())
        if (about["version"], about["root"]) != (VERSION, str(root.resolve())):
            return None
        folders, changed = Names(arrays["folders"]), arrays["changed"]
        classes, counts = tuple(Names(arrays["classes"])), arrays["counts"]
        found = Listing(classes, counts, Names(arrays["names"]))
        fits = (len(counts), len(changed), int(counts.sum())) == (len(classes), len(folders), len(found.names))
        if not fits or not _inside(found.names) or (changed > about["began"] - SETTLED).any():
            return None
        if any(_changed(root / folder) != then for folder, then in zip(folders, changed.tolist(), strict=True)):
            return None
        chosen = range(0, len(found.names), max(1, len(found.names) // SAMPLE))
        return found if all((root / found.names[k]).is_file() for k in chosen) else None
    except (OSError, ValueError, KeyError, TypeError, IndexError):  # damage shows in many ways: all want another look
        return None


def _inside(names: Names) -> bool:
    """Whether no name leads out of the folder."""
    text = b"\0" + names.blob.tobytes()
    return b"\0/" not in text and b"../" not in text
