"""Which pixels the windows of a pool see, and by how many an average divides; rows and columns apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from .shapes import Shape

MOST_COUNTS = 1 << 16
AVERAGES = ("avg_pool", "adaptive_avg_pool", "global_avg_pool")


class Window(NamedTuple):
    """One axis of a window: the pixels first .. last - 1, and how many places of it count in an average."""

    first: int
    last: int
    counted: int


class Pool(Protocol):
    """What a node says of its windows."""

    @property
    def op(self) -> str: ...
    @property
    def attributes(self) -> Mapping[str, Any]: ...


def windows(node: Pool, size: Shape, borders: bool = False) -> tuple[list[Window], list[Window]]:
    """The windows of a pool over a value of `size` (C, H, W): those of its rows, and those of its columns.

    max_pool, avg_pool: window p begins at p * stride - padding; an avg_pool counts its places inside the value extended
    by `counted` (top, left, bottom, right). adaptive_avg_pool: floor(p H / P) to ceil((p + 1) H / P). borders: of the
    windows that slide only those that meet a border, and one that does not.
    """
    lengths, a = size[1:], node.attributes
    if node.op == "global_avg_pool":
        rows, columns = ([Window(0, n, n)] for n in lengths)
    elif node.op == "adaptive_avg_pool":
        rows, columns = (_adaptive(n, parts) for n, parts in zip(lengths, a["output"], strict=True))
    else:
        counted = a.get("counted", a["padding"])
        rows, columns = (
            _sliding(
                lengths[axis],
                a["kernel"][axis],
                a["stride"][axis],
                (a["padding"][axis], a["padding"][axis + 2]),
                (counted[axis], counted[axis + 2]),
                borders,
            )
            for axis in (0, 1)
        )
    return rows, columns


def counts(node: Pool, size: Shape) -> np.ndarray:
    """The number of elements that each element of an average is the mean of, int64 (P, Q)."""
    rows, columns = (np.array([w.counted for w in axis], np.int64) for axis in windows(node, size))
    return rows[:, None] * columns


def different_counts(node: Pool, size: Shape) -> np.ndarray:
    """`counts`, each once, the largest first, int64; found where windows meet a border, without a number for each.

    ValueError for an average of more than MOST_COUNTS rows of one kind and columns of one kind.
    """
    rows, columns = (np.unique([w.counted for w in axis]) for axis in windows(node, size, borders=True))
    if len(rows) * len(columns) > MOST_COUNTS:
        raise ValueError(
            f"counts {len(rows)} times {len(columns)} kinds of windows, at most {MOST_COUNTS} are told apart"
        )
    return np.unique(np.outer(rows, columns))[::-1]


def _sliding(
    length: int, kernel: int, stride: int, pad: tuple[int, int], counted: tuple[int, int], borders: bool
) -> list[Window]:
    starts = range(-pad[0], length + pad[1] - kernel + 1, stride)
    first, last = pad[0] // stride + 2, pad[1] // stride + 1  # that many may begin before the value, or end behind it
    some = [*starts[:first], *starts[max(first, len(starts) - last) :]] if borders else starts
    found = []
    for start in some:
        first, last = max(start, 0), min(start + kernel, length)
        found.append(Window(first, last, min(start + kernel, length + counted[1]) - max(start, -counted[0])))
    return found


def _adaptive(length: int, parts: int) -> list[Window]:
    edges = [(p * length // parts, -(-(p + 1) * length // parts)) for p in range(parts)]
    return [Window(first, last, last - first) for first, last in edges]
