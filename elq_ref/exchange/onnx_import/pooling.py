"""Translators of pools, and the geometry of windows: pads, auto_pad, ceil_mode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...graph.nodes import NO_BORDER
from . import views
from .builder import Image, labelled
from .importer import Importer, Value, translates
from .local_response import channel_means
from .model import OnnxNode

Pair = tuple[int, int]
Sides = tuple[int, int, int, int]  # top, left, bottom, right
MOST_TRIED = 1 << 16  # windows of an average, for all borders that may be counted


def square(attributes: Mapping[str, Any], key: str, usual: tuple[int, ...]) -> Pair:
    """An attribute of two positive integers."""
    found = tuple(attributes.get(key) or usual)
    if len(found) != 2 or any(n < 1 for n in found):
        raise ValueError(f"has {key} {str(found)[:60]}, wanted two numbers from 1 on: rows and columns")
    return int(found[0]), int(found[1])


def same_pads(node: OnnxNode, size: tuple[int, ...], kernel: Pair, stride: Pair, dilation: Pair) -> Sides:
    """The pads of a window over rows and columns of `size`, auto_pad resolved."""
    kind = node.attributes.get("auto_pad", "NOTSET") or "NOTSET"
    if kind == "NOTSET":
        pads = tuple(node.attributes.get("pads") or (0, 0, 0, 0))
        if len(pads) != 4 or any(n < 0 for n in pads):
            raise ValueError(f"has pads {str(pads)[:60]}, wanted four numbers from 0 on")
        return pads[0], pads[1], pads[2], pads[3]
    if kind == "VALID":
        return 0, 0, 0, 0
    if kind not in ("SAME_UPPER", "SAME_LOWER"):
        raise ValueError(f"has auto_pad {kind[:40]!a}, wanted NOTSET, VALID, SAME_UPPER or SAME_LOWER")
    before, after = [], []
    for n, k, s, d in zip(size, kernel, stride, dilation, strict=True):
        total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
        half = total // 2 if kind == "SAME_UPPER" else total - total // 2
        before.append(half)
        after.append(total - half)
    return before[0], before[1], after[0], after[1]


@translates("MaxPool", "AveragePool")
def _pool(importer: Importer, node: OnnxNode) -> Any:
    a, builder = node.attributes, importer.builder
    image = importer.image(node.input(0))
    if node.op == "AveragePool" and (means := channel_means(importer, node, image)) is not None:
        return means
    x = builder.rows_and_columns(image)
    kernel, stride = square(a, "kernel_shape", ()), square(a, "strides", (1, 1))
    if square(a, "dilations", (1, 1)) != (1, 1):
        raise ValueError(f"has dilations {a['dilations']}, wanted (1, 1)")
    size = builder.shapes[x][1:]
    pads = same_pads(node, size, kernel, stride, (1, 1))
    over = [0, 0]  # places of the last window beyond the padded input
    if a.get("ceil_mode", 0) and a.get("auto_pad", "NOTSET") in ("NOTSET", ""):
        for k, n in enumerate(size):
            windows = -(-(n + pads[k] + pads[k + 2] - kernel[k]) // stride[k]) + 1
            windows -= (windows - 1) * stride[k] >= n + pads[k]  # a window that begins behind the input is none
            over[k] = max((windows - 1) * stride[k] + kernel[k] - n - pads[k] - pads[k + 2], 0)
    padding = (pads[0], pads[1], pads[2] + over[0], pads[3] + over[1])
    if node.op == "MaxPool" and kernel == (1, 1) and stride[0] == stride[1] and padding == NO_BORDER:
        made = builder.add("subsample", labelled(node), (x,), step=stride[0])  # as export_onnx writes it
    elif node.op == "MaxPool":
        made = builder.add("max_pool", labelled(node), (x,), kernel=kernel, stride=stride, padding=padding)
    else:
        counted = pads if a.get("count_include_pad", 0) else NO_BORDER
        given = {"kernel": kernel, "stride": stride, "padding": padding, "counted": counted}
        made = builder.add("avg_pool", labelled(node), (x,), **given)
    return builder.image(made)


def _whole(importer: Importer, node: OnnxNode, image: Image, places: set[int], op: str, keep: bool) -> Image:
    """The mean or the maximum over the axes at `places`, which are rows and columns."""
    builder = importer.builder
    name, labels = builder.ordered(image)
    over = {labels[place] for place in places} - {""}
    if over - {"H", "W"}:
        raise ValueError("works over other axes than rows and columns")
    if over:
        shape = builder.shapes[name]
        kernel = tuple(n if label in over else 1 for label, n in zip("HW", shape[1:], strict=True))
        name = builder.add(op, labelled(node), (name,), kernel=kernel, stride=(1, 1))
    axes = [("" if k in places else label) for k, label in enumerate(labels) if keep or k not in places]
    return builder.seen_as(name, tuple(axes))


@translates("GlobalAveragePool", "GlobalMaxPool")
def _global(importer: Importer, node: OnnxNode) -> Any:
    image = importer.image(node.input(0))
    op = "avg_pool" if node.op == "GlobalAveragePool" else "max_pool"
    return _whole(importer, node, image, set(range(2, len(image.view.axes))), op, keep=True)


@translates("ReduceMean", "ReduceMax")
def _reduce(importer: Importer, node: OnnxNode) -> Any:
    image = importer.image(node.input(0))
    count = len(image.view.axes)
    axes = importer.integers(node, 1, "axes", 18)
    if not axes or any(not -count <= axis < count for axis in axes):
        raise ValueError(f"works over axes {str(axes)[:60]}, wanted rows and columns")
    op = "avg_pool" if node.op == "ReduceMean" else "max_pool"
    return _whole(importer, node, image, {axis % count for axis in axes}, op, bool(node.attributes.get("keepdims", 1)))


def partly_counted(importer: Importer, node: OnnxNode, value: Value, shares: np.ndarray) -> Image | None:
    """Means over whole windows times `shares` (P, Q), places of the window / places that count: an avg_pool that counts
    a part of its border, as export_onnx writes it. None for any other product.
    """
    builder = importer.builder
    if not isinstance(value, Image) or (pool := builder.nodes.get(value.name)) is None or pool.op != "avg_pool":
        return None
    if value.view != views.plain(builder.batch, value.shape):
        return None
    a, size = pool.attributes, builder.shapes[pool.inputs[0]][1:]
    whole = a["kernel"][0] * a["kernel"][1]
    if a["counted"] != a["padding"] or shares.shape != value.shape[1:] or shares.dtype.kind != "f":
        return None
    if not ((shares >= 1) & (shares <= whole)).all():
        return None
    counts = np.rint(whole / shares.astype(np.float64)).astype(np.int64)
    if not np.array_equal((whole / counts).astype(shares.dtype), shares):
        return None
    product = (counts * counts[0, 0] == np.outer(counts[:, 0], counts[0])).all()
    borders = [_counted_borders(size, value.shape[1:], a, axis, counts.take(0, 1 - axis)) for axis in (0, 1)]
    for rows, (top, bottom) in borders[0].items():
        columns = counts[0, 0] // rows
        if rows * columns == counts[0, 0] and columns in borders[1] and product:
            left, right = borders[1][columns]
            given = {**a, "counted": (top, left, bottom, right)}
            return builder.image(builder.add("avg_pool", labelled(node), pool.inputs, **given))
    return None


def _counted_borders(size: tuple[int, ...], out: tuple[int, ...], a: Mapping[str, Any], axis: int, counts: np.ndarray
                     ) -> dict[int, Pair]:  # fmt: skip
    """The counted (before, after) along one axis whose windows count places in the ratio of `counts`: {places of the
    first window: border}, of equal ones one; none where there are too many to be tried.
    """
    n, kernel, before, after = size[axis], a["kernel"][axis], a["padding"][axis], a["padding"][axis + 2]
    if (before + 1) * (after + 1) * out[axis] > MOST_TRIED:
        return {}
    first = np.arange(out[axis]) * a["stride"][axis] - before
    ends = np.minimum(first + kernel, n + np.arange(after + 1)[:, None])
    places = ends - np.maximum(first, -np.arange(before + 1)[:, None])[:, None]  # [before, after, window]
    fitting = np.argwhere((places * counts[0] == counts * places[..., :1]).all(2))
    return {int(places[b, e, 0]): (int(b), int(e)) for b, e in fitting}


def adaptive_mean(importer: Importer, node: OnnxNode, image: Image, means: np.ndarray, place: int) -> Image | None:
    """A product with the matrix (out, in) of adaptive means along rows or columns, as export_onnx has it; else None."""
    labels = image.view.labels()
    if labels is None or len(labels) != 4 or len(image.shape) != 3:
        return None
    labels = views.filled(labels)
    if labels[place] not in ("H", "W") or means.shape[1] != image.view.shape[place]:
        return None
    wanted = np.zeros(means.shape)
    for k, row in enumerate(wanted):
        first, last = k * means.shape[1] // len(means), -(-(k + 1) * means.shape[1] // len(means))
        row[first:last] = 1 / (last - first)
    if not np.allclose(means, wanted, rtol=1e-6, atol=0):
        return None
    _, rows, columns = image.shape
    output = (len(means), columns) if labels[place] == "H" else (rows, len(means))
    return importer.builder.seen_as(
        importer.builder.add("adaptive_avg_pool", labelled(node), (image.name,), output=output), labels
    )
