"""Where the values of a network lie: one block of memory in which those that live at different times share places."""

from __future__ import annotations

from dataclasses import dataclass

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
    placed: list[tuple[int, int, Value]] = []
    for block in sorted(blocks.values(), key=lambda v: (-v.size, v.first)):
        size, start = -(-block.size // ALIGN) * ALIGN, 0
        for first, end, other in sorted(placed, key=lambda p: p[0]):
            if other.last < block.first or block.last < other.first:
                continue
            if first - start >= size:
                break
            start = max(start, end)
        placed.append((start, start + size, block))
    offsets = {block.name: start for start, _, block in placed}
    return {name: offsets[of] for name, of in root.items()}, max((end for _, end, _ in placed), default=0)
