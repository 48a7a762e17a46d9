"""The shape of every value and the places that the windows of a pool see, from docs/format.md, place by place.

Nothing here is shared with what is checked.
"""

from __future__ import annotations

import math
from typing import Any

Shape = tuple[int, ...]
AVERAGES = ("avg_pool", "adaptive_avg_pool", "global_avg_pool")
Places = list[list[tuple[list[tuple[int, int]], int]]]  # [p][q]: the pixels inside, and how many places count


def places(op: str, attributes: dict[str, Any], size: Shape) -> Places:
    """Of a pool over a value of `size` (C, H, W); of a global one for its only window."""
    _, height, width = size
    if op == "global_avg_pool":
        return [[([(r, s) for r in range(height) for s in range(width)], height * width)]]
    if op == "adaptive_avg_pool":
        rows, columns = attributes["output"]
        return [[_all(_part(p, rows, height), _part(q, columns, width)) for q in range(columns)] for p in range(rows)]
    (kh, kw), (sh, sw) = attributes["kernel"], attributes["stride"]
    top, left, bottom, right = attributes.get("padding", (0, 0, 0, 0))
    above, before, below, behind = attributes.get("counted", (0, 0, 0, 0))
    found = []
    for t in range(-top, height + bottom - kh + 1, sh):
        row = []
        for u in range(-left, width + right - kw + 1, sw):
            window = [(t + i, u + j) for i in range(kh) for j in range(kw)]
            inside = [(r, s) for r, s in window if 0 <= r < height and 0 <= s < width]
            counted = [(r, s) for r, s in window if -above <= r < height + below and -before <= s < width + behind]
            row.append((inside, len(counted)))
        found.append(row)
    return found


def _part(p: int, parts: int, length: int) -> range:
    return range(math.floor(p * length / parts), math.ceil((p + 1) * length / parts))


def _all(rows: range, columns: range) -> tuple[list[tuple[int, int]], int]:
    return [(r, s) for r in rows for s in columns], len(rows) * len(columns)


def counts(op: str, attributes: dict[str, Any], size: Shape) -> list[int]:
    """The numbers of elements that an average divides by, each once, the largest first."""
    return sorted({count for row in places(op, attributes, size) for _, count in row}, reverse=True)


def shape(op: str, attributes: dict[str, Any], weight: Shape, operands: list[Shape]) -> Shape:
    """Of what a node with a weight of this shape, () without one, computes of values of these shapes."""
    x = operands[0]
    if op == "linear":
        return weight[:1]
    if op == "conv":
        sizes = zip(x[1:], weight[2:], *(attributes[key] for key in ("stride", "padding", "dilation")), strict=True)
        return weight[0], *((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes)
    if op in ("max_pool", "avg_pool", "adaptive_avg_pool"):
        seen = places(op, attributes, x)
        return x[0], len(seen), len(seen[0])
    if op == "global_avg_pool":
        return x[:1]
    if op == "subsample":
        return x[0], *(-(-n // attributes["step"]) for n in x[1:])
    if op == "pad":
        return tuple(b + n + a for b, n, a in zip(attributes["before"], x, attributes["after"], strict=True))
    if op == "flatten":
        return (math.prod(x),)
    if op == "concat":
        return sum(other[0] for other in operands), *x[1:]
    if op == "slice":
        return attributes["last"] - attributes["first"], *x[1:]
    return max(operands, key=math.prod)
