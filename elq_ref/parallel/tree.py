"""Sums along one fixed binary tree, whoever adds: the bits of a sum do not depend on how many processes share it.

The tree over leaves 0 .. count-1 halves every span [a, b) at (a + b + 1) // 2. A run of neighbouring leaves holds some
of its spans whole; `spans` are the largest of these. Their sums are all that others need of the run: from those of
runs that cover all leaves, `joined` makes the sum of the tree, with the additions that `summed` makes of the leaves
alone. Halving makes the runs of 2, 4, 8, ... equal processes one span each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

Span = tuple[int, int]  # leaves first .. last-1


def halves(span: Span) -> tuple[Span, Span]:
    """The two spans that one of more than one leaf is the sum of."""
    first, last = span
    middle = (first + last + 1) // 2
    return (first, middle), (middle, last)


def spans(run: Span, count: int) -> list[Span]:
    """The largest whole spans of the tree over `count` leaves within `run`, from left to right."""
    found: list[Span] = []

    def search(span: Span) -> None:
        if run[0] <= span[0] and span[1] <= run[1]:
            found.append(span)
        elif span[0] < run[1] and run[0] < span[1]:  # they overlap; a leaf would be inside
            for half in halves(span):
                search(half)

    if run[0] < run[1]:
        search((0, count))
    return found


def summed(span: Span, leaf: Callable[[int], np.ndarray]) -> np.ndarray:
    """The sum of the leaves of `span`, which are asked for from left to right, each once; they are added into.

    As many sums are held at a time as the tree is deep.
    """
    if span[1] - span[0] == 1:
        return leaf(span[0])
    left, right = halves(span)
    total = summed(left, leaf)
    total += summed(right, leaf)
    return total


def joined(span: Span, sums: Mapping[Span, np.ndarray]) -> np.ndarray:
    """The sum of `span` from those of spans that cover it; a new array unless it is one of `sums`."""
    if span in sums:
        return sums[span]
    left, right = halves(span)
    total: np.ndarray = joined(left, sums) + joined(right, sums)
    return total
