"""What the nodes of an IntegerNetwork say of the sizes of a Layer, op by op."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..graph.functions import FUNCTIONS
from ..graph.nodes import required
from ..graph.windows import different_counts, windows
from ..runtime.integer import IntegerNode

Shape = tuple[int, ...]
Sizes = dict[str, Any]  # arguments of a Layer


def _nothing(node: IntegerNode, shapes: Sequence[Shape]) -> Sizes:
    return {}


def _conv(node: IntegerNode, shapes: Sequence[Shape]) -> Sizes:
    a, (kh, kw) = node.attributes, required(node.weight).shape[2:]
    (sy, sx), (dy, dx), (top, left) = a["stride"], a["dilation"], a["padding"]
    return {"kh": kh, "kw": kw, "sy": sy, "sx": sx, "dy": dy, "dx": dx, "top": top, "left": left, "groups": a["groups"]}


def _linear(node: IntegerNode, shapes: Sequence[Shape]) -> Sizes:
    return {"op": "conv"}


def _pool(node: IntegerNode, shapes: Sequence[Shape]) -> Sizes:
    """Whole windows, or with a border those that lie in it too."""
    a = node.attributes
    (kh, kw), (sy, sx), (top, left, *_) = a["kernel"], a["stride"], a["padding"]
    sizes = {"kh": kh, "kw": kw, "sy": sy, "sx": sx}
    if not any(a["padding"]):
        return sizes
    sizes |= {"op": f"{node.op}_border", "top": top, "left": left, "apart": _apart(node, shapes[0])}
    if node.op == "max_pool":
        return sizes
    return {**sizes, "counted": a["counted"], "counts": different_counts(node, shapes[0])}


def _adaptive(node: IntegerNode, shapes: Sequence[Shape]) -> Sizes:
    kh, kw = (max(window.counted for window in axis) for axis in windows(node, shapes[0]))
    counts = different_counts(node, shapes[0])
    return {"kh": kh, "kw": kw, "counts": counts, "apart": _apart(node, shapes[0])}


def _apart(node: IntegerNode, x: Shape) -> bool:
    """Whether, one pixel of the value after the other, a window is read of which a pixel was written over: it begins at
    a pixel of a lower number than the value's own.
    """
    rows, columns = windows(node, x)
    by_rows = min(window.first * x[2] - p * len(columns) for p, window in enumerate(rows))
    return by_rows + min(window.first - q for q, window in enumerate(columns)) < 0


def _global(node: IntegerNode, shapes: Sequence[Shape]) -> Sizes:
    return {"op": "avg_pool", "kh": shapes[0][1], "kw": shapes[0][2]}


def _subsample(node: IntegerNode, shapes: Sequence[Shape]) -> Sizes:
    return {"sy": node.attributes["step"], "sx": node.attributes["step"]}


def _pad(node: IntegerNode, shapes: Sequence[Shape]) -> Sizes:
    front, top, left = node.attributes["before"]
    return {"front": front, "top": top, "left": left}


def _add(node: IntegerNode, shapes: Sequence[Shape]) -> Sizes:
    return _mul(node, shapes) | ({} if shapes[0] == shapes[1] else {"op": "add_channels"})


def _mul(node: IntegerNode, shapes: Sequence[Shape]) -> Sizes:
    return {"widths": tuple(map(math.prod, shapes))}


def _function(node: IntegerNode, shapes: Sequence[Shape]) -> Sizes:
    return {"op": "through_table", "table": node.tables}


def _concat(node: IntegerNode, shapes: Sequence[Shape]) -> Sizes:
    return {"table": node.tables, "widths": tuple(shape[0] for shape in shapes)}


def _slice(node: IntegerNode, shapes: Sequence[Shape]) -> Sizes:
    return {"front": node.attributes["first"]}


def _shuffle(node: IntegerNode, shapes: Sequence[Shape]) -> Sizes:
    return {"groups": node.attributes["groups"]}


GEOMETRY: Mapping[str, Callable[[IntegerNode, Sequence[Shape]], Sizes]] = {
    **dict.fromkeys(FUNCTIONS, _function),
    "relu": _nothing,
    "conv": _conv,
    "linear": _linear,
    "scale_shift": _nothing,
    "add": _add,
    "mul": _mul,
    "concat": _concat,
    "slice": _slice,
    "shuffle": _shuffle,
    "max_pool": _pool,
    "avg_pool": _pool,
    "adaptive_avg_pool": _adaptive,
    "global_avg_pool": _global,
    "subsample": _subsample,
    "pad": _pad,
    "flatten": _nothing,
}
