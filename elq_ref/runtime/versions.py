"""The versions of an .elq file and of the integers in it: a network is written in the oldest that has what it needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..graph.nodes import NO_BORDER, Graph
from ..graph.shapes import Shape


class Versions(NamedTuple):
    """format: of the file (docs/format.md); arithmetic: of its int8 part (docs/arithmetic.md)."""

    format: int
    arithmetic: int


FIRST, SECOND = Versions(2, 1), Versions(3, 2)
READ = (FIRST, SECOND)
_FIRST_OPS = (
    *("conv", "linear", "scale_shift", "relu", "add", "max_pool", "avg_pool", "global_avg_pool"),
    *("subsample", "pad", "flatten"),
)


def versions(graph: Graph, shapes: Mapping[str, Shape]) -> Versions:
    """FIRST for a graph of its ops, with pools without a border and additions of one shape; else SECOND."""
    for node in graph.nodes:
        border = "kernel" in node.attributes and node.attributes["padding"] != NO_BORDER
        broadcast = len({shapes[name] for name in node.inputs}) > 1
        if node.op not in _FIRST_OPS or border or broadcast:
            return SECOND
    return FIRST
