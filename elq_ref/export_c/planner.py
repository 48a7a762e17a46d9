"""The arena of exported C: in which order the layers run, and where each value lies.

A value lives from the layer that computes it to the last that reads it. Layers that go through their operand element
by element, or window by window from its beginning, may write over it (layers.IN_PLACE, Layer.apart). Scratch memory
of a weight form lives while its layer runs.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .layers import IN_PLACE, Layer

ALIGN = 4  # bytes
STATES = 10_000  # sets of finished layers that are looked at
TRIES = 300  # orders in which blocks are placed

Member = tuple[int, int, int]  # first layer, last layer, bytes


@dataclass(frozen=True)
class Plan:
    """layers: in the order in which they run, numbered so; order: their numbers before. at: offset of each one's value;
    scratch: of its scratch memory.

    bytes: of the arena. values: what it were without scratch memory. bound: no arena is smaller, whatever the order
    of layers; exact: whether the search for it saw all orders, otherwise it is what the neediest layer holds.
    """

    layers: list[Layer]
    order: list[int]
    at: list[int]
    scratch: list[int]
    bytes: int
    values: int
    bound: int
    exact: bool


def plan(layers: Sequence[Layer], scratch: Sequence[int]) -> Plan:
    """The plan for layers that need so much scratch memory each."""
    bound, _ = _search(layers, [0] * len(layers))
    _, order = _search(layers, scratch)
    given = list(range(len(layers)))
    if order is None or _peak(layers, scratch, given) <= _peak(layers, scratch, order):
        order = given
    needed = bound if bound is not None else max(_held(layers, layer) for layer in layers)
    layers, scratch = reordered(layers, order), [scratch[i] for i in order]
    alone, _, _ = _place(layers, [0] * len(layers))
    total, at, places = _place(layers, scratch)
    return Plan(layers, order, at, places, total, alone, needed, bound is not None)


def reordered(layers: Sequence[Layer], order: Sequence[int]) -> list[Layer]:
    """The layers in this order, numbered anew."""
    number = {old: new for new, old in enumerate(order)}
    return [
        replace(layers[old], index=new, operands=tuple(number[i] for i in layers[old].operands))
        for new, old in enumerate(order)
    ]


def _readers(layers: Sequence[Layer]) -> list[int]:
    """Which layers read each value, as bits."""
    readers = [0] * len(layers)
    for layer in layers:
        for i in layer.operands:
            readers[i] |= 1 << layer.index
    return readers


def _over(layers: Sequence[Layer], layer: Layer, dead: Sequence[bool]) -> int | None:
    """The operand in whose place a layer writes: one that nobody reads after it (dead), and that is large enough."""
    if layer.op in IN_PLACE and not layer.raw and not layer.apart:
        for i, last in zip(layer.operands, dead, strict=True):
            if last and layers[i].bytes >= layer.bytes:
                return i
    return None


def _step(layers: Sequence[Layer], readers: list[int], done: int, live: int, layer: Layer) -> tuple[int, int]:
    """(bytes while `layer` runs, bytes after it), where the values alive after the layers `done` take `live`."""
    after = done | 1 << layer.index
    dead = [not readers[i] & ~after for i in layer.operands]
    during = live if _over(layers, layer, dead) is not None else live + layer.bytes
    freed = sum(layers[i].bytes for i in set(layer.operands) if not readers[i] & ~after)
    return during, live + layer.bytes - freed


def _peak(layers: Sequence[Layer], scratch: Sequence[int], order: Sequence[int]) -> int:
    """The most bytes that an order needs at once."""
    readers, done, live, peak = _readers(layers), 0, 0, 0
    for i in order:
        during, live = _step(layers, readers, done, live, layers[i])
        peak, done = max(peak, during + scratch[i]), done | 1 << i
    return peak


def _search(layers: Sequence[Layer], scratch: Sequence[int]) -> tuple[int | None, list[int] | None]:
    """The least peak of all orders and an order that has it; None where there are too many sets of finished layers.

    Best first: the set with the least peak so far is looked at next, so the first complete one has the least of all.
    """
    readers, needs = _readers(layers), [sum(1 << i for i in set(layer.operands)) for layer in layers]
    heap: list[tuple[int, int, int, int]] = [(0, 0, 0, 0)]  # peak, layers left to do, set of the finished, live bytes
    came: dict[int, tuple[int, int]] = {}  # set: the one before it, the layer between
    best = {0: 0}
    seen: set[int] = set()
    while heap and len(seen) < STATES:
        peak, _, done, live = heapq.heappop(heap)
        if done in seen:
            continue
        seen.add(done)
        if done + 1 == 1 << len(layers):
            order = []
            while done:
                done, i = came[done]
                order.append(i)
            return peak, order[::-1]
        for layer in layers:
            after = done | 1 << layer.index
            if after == done or needs[layer.index] & ~done:
                continue
            during, left = _step(layers, readers, done, live, layer)
            worst = max(peak, during + scratch[layer.index])
            if worst < best.get(after, worst + 1):
                best[after], came[after] = worst, (done, layer.index)
                heapq.heappush(heap, (worst, -after.bit_count(), after, left))
    return None, None


def _held(layers: Sequence[Layer], layer: Layer) -> int:
    """What any order needs while a layer runs: operands, and value unless that might take an operand's place."""
    operands = sum(layers[i].bytes for i in set(layer.operands))
    return operands + (0 if _over(layers, layer, [True] * len(layer.operands)) is not None else layer.bytes)


def _place(layers: Sequence[Layer], scratch: Sequence[int]) -> tuple[int, list[int], list[int]]:
    """(bytes, offsets of the values, offsets of the scratch memory)."""
    blocks, root = _blocks(layers)
    own = len(blocks)
    used = [i for i, size in enumerate(scratch) if size]
    blocks = blocks + [[(i, i, _aligned(scratch[i]))] for i in used]
    least = max(
        sum(size for block in blocks for size in [max((s for f, e, s in block if f <= i <= e), default=0)])
        for i in range(len(layers))
    )
    chance = random.Random(0)
    order = sorted(range(len(blocks)), key=lambda b: (-max(size for _, _, size in blocks[b]), blocks[b][0]))
    best = _fit(blocks, order)
    for _ in range(TRIES):
        if best[0] <= least:
            break
        tried = order.copy()
        a, b = chance.randrange(len(order)), chance.randrange(len(order))
        tried.insert(b, tried.pop(a))
        found = _fit(blocks, tried)
        if found[0] <= best[0]:
            best, order = found, tried
    total, starts = best
    places = [0] * len(layers)
    for number, i in enumerate(used):
        places[i] = starts[own + number]
    return total, [starts[root[i]] for i in range(len(layers))], places


def _blocks(layers: Sequence[Layer]) -> tuple[list[list[Member]], list[int]]:
    """Values that begin at the same place, each with its life and size; and the number of each value's block."""
    last = [max((reader.index for reader in layers if i in reader.operands), default=i) for i in range(len(layers))]
    blocks: list[list[Member]] = []
    root: list[int] = []
    for layer in layers:
        below = _over(layers, layer, [last[i] == layer.index for i in layer.operands])
        if below is None:
            root.append(len(blocks))
            blocks.append([])
        else:
            root.append(root[below])
        blocks[root[-1]].append((layer.index, last[layer.index], _aligned(layer.bytes)))
    return blocks, root


def _fit(blocks: list[list[Member]], order: list[int]) -> tuple[int, list[int]]:
    """First fit of the blocks in this order: (bytes, where each begins)."""
    starts = [0] * len(blocks)
    placed: list[tuple[int, Member]] = []
    total = 0
    for number in order:
        block, start = blocks[number], 0
        taken = [
            (at - size, at + other)  # a start between these two would overlap
            for first, last, size in block
            for at, (begin, end, other) in placed
            if begin <= last and first <= end and other and size
        ]
        for low, high in sorted(taken):
            if low < start < high:
                start = high
        starts[number] = start
        placed += [(start, member) for member in block]
        total = max(total, *(start + size for _, _, size in block))
    return total, starts


def _aligned(size: int) -> int:
    return -(-size // ALIGN) * ALIGN
