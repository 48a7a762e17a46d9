"""Which output of a network stands for which class of an image folder, where the network knows others besides."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import FormatError
from ..files import check_source
from .base import Dataset

MAX_BYTES = 1 << 22


def read_class_index(path: str | os.PathLike[str]) -> dict[str, int]:
    """{name of a class's folder: index of its output} of a text file: a line each, the index first or last, between
    them blanks, a tab or a comma. Empty lines and those that begin with # are passed over.

    FormatError for a file that is no such text or names a class or an output twice.
    """
    path = Path(path)
    check_source(path)
    content = path.read_bytes() if path.stat().st_size <= MAX_BYTES else b"\xff"
    try:
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        raise FormatError(f"{path} is no text of lines NAME INDEX") from None
    found: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, index = _parsed(line) or ("", -1)
        if index < 0:
            raise FormatError(f"{path} line {number} is {line.strip()[:40]!r}, wanted NAME INDEX")
        if name in found or index in found.values():
            raise FormatError(f"{path} line {number} has the class {name!r} or the output {index} once more")
        found[name] = index
    if not found:
        raise FormatError(f"{path} has no line NAME INDEX")
    return found


def _parsed(line: str) -> tuple[str, int] | None:
    words = line.replace(",", " ").split()
    for word, rest in ((words[-1], words[:-1]), (words[0], words[1:])):
        if rest and word.isascii() and word.isdigit() and len(word) < 10:
            return " ".join(rest), int(word)
    return None


def of_outputs(dataset: Dataset, index: Mapping[str, int], classes: tuple[str, ...]) -> Dataset:
    """The pictures with the outputs that stand for their classes as labels; `classes` are the network's, all of them.

    ValueError for a class of `dataset` that `index` does not name, or an index that is no output.
    """
    if missing := [name for name in dataset.classes if name not in index]:
        raise ValueError(f"the class index does not name {', '.join(missing[:5])}, of {dataset.name}")
    beyond = [f"{name} {output}" for name, output in index.items() if output >= len(classes)]
    if beyond:
        raise ValueError(f"the class index has {', '.join(beyond[:5])}: the network has {len(classes)} outputs, from 0")
    labels = np.array([index[name] for name in dataset.classes], np.int64)[dataset.labels]
    return replace(dataset, labels=labels, classes=classes)
