"""Which pixels the windows of a pool see, and by how many an average divides; rows and columns apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from .shapes import Shape

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


def windows(node: Pool, size: Shape) -> tuple[list[Window], list[Window]]:
    """The windows of a pool over a value of `size` (C, H, W): those of its rows, and those of its columns.

    max_pool, avg_pool: window p begins at p * stride - padding; an avg_pool counts its places inside the value extended
    by `counted` (top, left, bottom, right). adaptive_avg_pool: floor(p H / P) to ceil((p + 1) H / P).
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
            )
            for axis in (0, 1)
        )
    return rows, columns


def counts(node: Pool, size: Shape) -> np.ndarray:
    """The number of elements that each element of an average is the mean of, int64 (P, Q)."""
    rows, columns = (np.array([w.counted for w in axis], np.int64) for axis in windows(node, size))
    return rows[:, None] * columns


def _sliding(length: int, kernel: int, stride: int, pad: tuple[int, int], counted: tuple[int, int]) -> list[Window]:
    found = []
    for start in range(-pad[0], length + pad[1] - kernel + 1, stride):
        first, last = max(start, 0), min(start + kernel, length)
        found.append(Window(first, last, min(start + kernel, length + counted[1]) - max(start, -counted[0])))
    return found


def _adaptive(length: int, parts: int) -> list[Window]:
    edges = [(p * length // parts, -(-(p + 1) * length // parts)) for p in range(parts)]
    return [Window(first, last, last - first) for first, last in edges]
