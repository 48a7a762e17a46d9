"""Translators of what moves axes and takes channels apart: reshapes, transposes, splits, joins, pads, shapes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from . import views
from .builder import Image, labelled
from .importer import Importer, integers, translates
from .model import OnnxNode
from .views import View

_END = 1 << 40  # an end of a slice beyond this is the end of the axis


def _viewed(importer: Importer, node: OnnxNode) -> Image:
    """The first input; views may follow a softmax."""
    return importer.as_image(importer.value(node.input(0)))


def _places(axes: tuple[int, ...], count: int) -> set[int]:
    """Numbers of axes, negative ones from behind, as places."""
    if any(not -count <= axis < count for axis in axes) or len({axis % count for axis in axes}) < len(axes):
        raise ValueError(f"names the axes {str(axes)[:60]} of {count}")
    return {axis % count for axis in axes}


@translates("Shape")
def _shape(importer: Importer, node: OnnxNode) -> Any:
    shape = _viewed(importer, node).view.shape
    return np.array(shape[node.attributes.get("start", 0) : node.attributes.get("end", len(shape))], np.int64)


@translates("Size")
def _size(importer: Importer, node: OnnxNode) -> Any:
    return np.array(math.prod(_viewed(importer, node).view.shape), np.int64)


@translates("Transpose")
def _transpose(importer: Importer, node: OnnxNode) -> Any:
    image = _viewed(importer, node)
    order = node.attributes.get("perm") or tuple(reversed(range(len(image.view.axes))))
    return replace(image, view=image.view.transposed(tuple(order)))


@translates("Reshape")
def _reshape(importer: Importer, node: OnnxNode) -> Any:
    image = _viewed(importer, node)
    wanted, old = list(integers(importer.needed(node, 1))), image.view.shape
    if not node.attributes.get("allowzero", 0):
        if any(n == 0 and k >= len(old) for k, n in enumerate(wanted)):
            raise ValueError(f"reshapes {old} to {str(wanted)[:80]}")
        wanted = [old[k] if n == 0 else n for k, n in enumerate(wanted)]
    if wanted.count(-1) == 1 and (known := math.prod(n for n in wanted if n != -1)) > 0:
        wanted[wanted.index(-1)] = math.prod(old) // known
    if not wanted or any(n < 1 for n in wanted):
        raise ValueError(f"reshapes {old} to {str(wanted)[:80]}")
    return replace(image, view=image.view.reshaped(tuple(wanted)))


@translates("Flatten")
def _flatten(importer: Importer, node: OnnxNode) -> Any:
    image = _viewed(importer, node)
    shape, axis = image.view.shape, node.attributes.get("axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    return replace(image, view=image.view.reshaped((math.prod(shape[:axis]), math.prod(shape[axis:]))))


@translates("Squeeze")
def _squeeze(importer: Importer, node: OnnxNode) -> Any:
    image = _viewed(importer, node)
    axes, given = image.view.axes, importer.integers(node, 1, "axes", 13)
    places = {k for k, axis in enumerate(axes) if not axis} if given is None else _places(given, len(axes))
    if any(axes[place] for place in places):
        raise ValueError(f"drops axes of {image.view.shape} that are not of size 1")
    return replace(image, view=View(tuple(axis for k, axis in enumerate(axes) if k not in places)))


@translates("Unsqueeze")
def _unsqueeze(importer: Importer, node: OnnxNode) -> Any:
    image = _viewed(importer, node)
    given = importer.integers(node, 1, "axes", 13) or ()
    places = _places(given, len(image.view.axes) + len(given))
    left = iter(image.view.axes)
    return replace(image, view=View(tuple(() if k in places else next(left)
                                          for k in range(len(image.view.axes) + len(places)))))  # fmt: skip


@translates("Concat")
def _concat(importer: Importer, node: OnnxNode) -> Any:
    builder = importer.builder
    images = [importer.image(name) for name in node.inputs]
    count = len(images[0].view.axes)
    (place,) = _places((node.attributes.get("axis", 1),), count)
    if len(images) == 1:
        return images[0]
    if count == 2 and place == 1:
        flat = [builder.flat(image) for image in images]
        if any(order is not None for _, order in flat):
            raise ValueError("joins values whose axes are mixed")
        return builder.seen_as(builder.add("concat", labelled(node), tuple(name for name, _ in flat)), ("N", "C"))
    parts = [builder.ordered(image) for image in images]
    axes = max((labels for _, labels in parts), key=lambda labels: sum(map(bool, labels)))
    for _, labels in parts:
        if len(labels) != count or any(a != b for a, b in zip(axes, labels, strict=True) if b):
            raise ValueError("joins values whose axes are not the same")
    if axes[place] not in ("C", "") or "C" in axes[:place] + axes[place + 1 :]:
        raise ValueError("joins values along another axis than channels")
    names = tuple(name if len(builder.shapes[name]) == 3 else builder.raised(name) for name, _ in parts)
    labels = (*axes[:place], "C", *axes[place + 1 :])
    return builder.seen_as(builder.add("concat", labelled(node), names), labels)


def _part(importer: Importer, node: OnnxNode, image: Image, place: int, first: int, last: int) -> Image:
    """Channels first .. last - 1 of a value whose axis `place` is its channels, or a part of them."""
    size = image.view.shape[place]
    if (first, last) == (0, size):
        return image
    channels = [k for k, axis in enumerate(image.view.axes) if axis and all(digit.label == "C" for digit in axis)]
    if len(channels) == 2 and place in channels and 0 <= first < last <= size:
        return _part_of_two(importer, node, image, place, sum(channels) - place, first, last)
    name, labels = importer.builder.ordered(image)
    if labels[place] != "C":
        raise ValueError("takes a part of another axis than channels")
    if not 0 <= first < last <= size:
        raise ValueError(f"takes the channels {first} to {last} of {size}")
    return importer.builder.seen_as(
        importer.builder.add("slice", labelled(node), (name,), first=first, last=last), labels
    )


def _part_of_two(importer: Importer, node: OnnxNode, image: Image, place: int, other: int, first: int, last: int
                 ) -> Image:  # fmt: skip
    """A part of the axis `place` where the axis `other` has the rest of the channels: every second one, say."""
    builder, axes = importer.builder, list(image.view.axes)
    rest = image.view.shape[other]
    order = View((axes[place], axes[other])).digits
    name = builder.in_order(image.name, order, views.whole("C", image.shape[0]))
    name = builder.add("slice", labelled(node), (name,), first=first * rest, last=last * rest)
    axes[place] = (views.Digit("C", rest, last - first),) if last - first > 1 else ()
    axes[other] = views.whole("C", rest)
    return Image(name, builder.shapes[name], View(tuple(axes)))


@translates("Split")
def _split(importer: Importer, node: OnnxNode) -> Any:
    image = importer.image(node.input(0))
    (place,) = _places((node.attributes.get("axis", 0),), len(image.view.axes))
    size, count = image.view.shape[place], node.attributes.get("num_outputs", len(node.outputs))
    sizes = importer.integers(node, 1, "split", 13)
    if sizes is None:
        each = -(-size // max(count, 1))
        sizes = (*(each,) * (count - 1), size - each * (count - 1))
    if sum(sizes) != size or any(n < 1 for n in sizes) or len(sizes) != len(node.outputs):
        raise ValueError(f"splits {size} into {str(sizes)[:60]}")
    ends = np.cumsum(sizes)
    return [
        _part(importer, node, image, place, int(end) - n, int(end)) if output else None
        for end, n, output in zip(ends, sizes, node.outputs, strict=True)
    ]


@translates("Slice")
def _slice(importer: Importer, node: OnnxNode) -> Any:
    image = importer.image(node.input(0))
    shape = image.view.shape
    old = importer.opset < 10
    starts = importer.integers(node, 1, "starts", 10) or ()
    ends = importer.integers(node, 2, "ends", 10) or ()
    axes = importer.integers(node, 3, "axes", 10) or tuple(range(len(starts)))
    steps = (1,) * len(starts) if old else importer.integers(node, 4, "", 10) or (1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise ValueError("has starts, ends, axes and steps of different lengths")
    _places(axes, len(shape))
    strided: dict[str, int] = {}
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        place = axis % len(shape)
        first, last, _ = slice(start, min(end, _END), step if step else 1).indices(shape[place])
        if step == 1:
            image = _part(importer, node, image, place, first, last)
            continue
        label = (image.view.labels() or ("",) * len(shape))[place]
        if label not in ("H", "W") or step < 1 or (first, last) != (0, shape[place]):
            raise ValueError(f"takes every {step} of an axis, wanted whole rows and columns with one step")
        strided[label] = step
    if not strided:
        return image
    if set(strided) != {"H", "W"} or len(set(strided.values())) > 1:
        raise ValueError(f"takes every {strided} of rows and columns, wanted one step for both")
    name, labels = importer.builder.ordered(image)
    return importer.builder.seen_as(
        importer.builder.add("subsample", labelled(node), (name,), step=strided["H"]), labels
    )


@translates("Gather")
def _gather(importer: Importer, node: OnnxNode) -> Any:
    image = importer.image(node.input(0))
    (place,) = _places((node.attributes.get("axis", 0),), len(image.view.axes))
    wanted = importer.needed(node, 1)
    if (
        wanted.ndim != 1
        or wanted.dtype.kind not in "iu"
        or not wanted.size
        or (np.diff(wanted.astype(np.int64)) != 1).any()
    ):
        raise ValueError("takes what are no neighbouring channels")
    first = int(wanted[0]) + (image.view.shape[place] if wanted[0] < 0 else 0)
    return _part(importer, node, image, place, first, first + wanted.size)


@translates("Pad")
def _pad(importer: Importer, node: OnnxNode) -> Any:
    image, a = importer.image(node.input(0)), node.attributes
    count = len(image.view.axes)
    if a.get("mode", "constant") != "constant":
        raise ValueError(f"has mode {str(a['mode'])[:40]!a}, wanted constant")
    pads = importer.integers(node, 1, "pads", 11) or ()
    value = importer.constant(node, 2) if importer.opset >= 11 else np.array(a.get("value", 0.0))
    axes = importer.integers(node, 3, "", 18) if importer.opset >= 18 else None
    axes = tuple(range(count)) if axes is None else axes
    if len(pads) != 2 * len(axes) or any(n < 0 for n in pads):
        raise ValueError(f"has pads {str(pads)[:60]}, wanted two numbers from 0 on for each of {len(axes)} axes")
    _places(axes, count)
    if not any(pads):
        return image
    if value is not None and value.size and float(value.reshape(-1)[0]) != 0:
        raise ValueError(f"pads with {float(value.reshape(-1)[0]):g}, wanted 0")
    name, labels = importer.builder.ordered(image)
    if len(importer.builder.shapes[name]) != 3:
        raise ValueError("pads a value without rows and columns")
    labels = views.filled(labels)
    before, after = {}, {}
    for axis, low, high in zip(axes, pads, pads[len(axes) :], strict=False):
        before[labels[axis % count]], after[labels[axis % count]] = low, high
    if any(sides.get(label, 0) for sides in (before, after) for label in ("N", "")):
        raise ValueError("pads the axis of the pictures, or one that is none of channels, rows and columns")
    sides = {"before": tuple(before.get(k, 0) for k in "CHW"), "after": tuple(after.get(k, 0) for k in "CHW")}
    return importer.builder.seen_as(importer.builder.add("pad", labelled(node), (name,), **sides), labels)
