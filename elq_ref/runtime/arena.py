"""Where the values of a network lie: one block of memory in which those that live at different times share places."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ALIGN = 64  # bytes; that of the kernels


@dataclass(frozen=True)
class Value:
    """A value of `size` bytes that is written by instruction `first` and read for the last time by `last` >= first.

    over: the name of a value, read for the last time by `first`, in whose place it may be written.
    """

    name: str
    size: int
    first: int
    last: int
    over: str | None = None


def plan(values: list[Value]) -> tuple[dict[str, int], int]:
    """The offset of every value by name, and the size of the arena; all multiples of ALIGN.

    Two values that live at the same time never overlap in memory, but for one that is `over` the other. First fit, the
    largest first: no optimum, but of ResNets' values it finds one.
    """
    root: dict[str, str] = {}
    blocks: dict[str, Value] = {}
    for value in values:
        below = blocks.get(root.get(value.over or "", ""))
        if below is not None and below.size >= value.size:
            root[value.name] = below.name
            blocks[below.name] = Value(below.name, below.size, below.first, max(below.last, value.last))
        else:
            root[value.name] = value.name
            blocks[value.name] = value
    placed = np.empty((len(blocks), 4), np.int64)  # start, end, first, last of a block, in order of start
    starts: dict[str, int] = {}
    for count, block in enumerate(sorted(blocks.values(), key=lambda v: (-v.size, v.first))):
        size, known = -(-block.size // ALIGN) * ALIGN, placed[:count]
        beside = known[(known[:, 2] <= block.last) & (block.first <= known[:, 3])]
        taken = np.maximum.accumulate(np.concatenate([[0], beside[:, 1]]))  # up to where, before each and behind all
        fits = np.flatnonzero(beside[:, 0] - taken[:-1] >= size)
        start = starts[block.name] = int(taken[fits[0] if len(fits) else -1])
        at = np.searchsorted(known[:, 0], start)
        placed[at + 1 : count + 1] = placed[at:count].copy()
        placed[at] = start, start + size, block.first, block.last
    return {name: starts[of] for name, of in root.items()}, int(placed[:, 1].max(initial=0))
