"""Translators of what works element by element: activations, sums and products."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import affine
from .builder import Image, labelled
from .functions import Affine, Operand, like, sources, term
from .importer import Importer, Value, translates
from .local_response import local_response
from .model import OnnxNode
from .pooling import partly_counted

_SHORT = (np.float16,)


def operand(importer: Importer, value: Value) -> Operand:
    """What a term can be made of."""
    if isinstance(value, np.ndarray):
        raise ValueError("reads a constant where it wants what was computed of pictures")
    if like(value).probabilities:
        raise ValueError("follows a Softmax, which only the end of a network may have")
    return importer.functions.shallow(value)


def number(importer: Importer, node: OnnxNode, position: int, default: float) -> float:
    """A constant that is one finite number or an infinity."""
    array = importer.constant(node, position)
    return default if array is None else scalar(array)


def scalar(array: np.ndarray) -> float:
    if array.size != 1 or array.dtype.kind not in "fiu" or np.isnan(array).any():
        raise ValueError(f"reads a constant {array.dtype} of shape {array.shape}, wanted one number")
    return float(array.reshape(-1)[0])


_DEFAULTS: dict[str, dict[str, float]] = {
    "LeakyRelu": {"alpha": 0.01},
    "HardSigmoid": {"alpha": 0.2, "beta": 0.5},
    "Elu": {"alpha": 1.0},
    "Swish": {"alpha": 1.0},
}


@translates("Relu", "LeakyRelu", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Elu", "Swish", "Softplus", "Erf",
            "Neg", "Abs", "Exp", "Sqrt", "Reciprocal")  # fmt: skip
def _function(importer: Importer, node: OnnxNode) -> Any:
    numbers = {key: float(node.attributes.get(key, usual)) for key, usual in _DEFAULTS.get(node.op, {}).items()}
    return term(node.op, node, (operand(importer, importer.value(node.input(0))),), numbers)


@translates("Gelu")
def _gelu(importer: Importer, node: OnnxNode) -> Any:
    tanh = node.attributes.get("approximate", "none") == "tanh"
    return term("Gelu", node, (operand(importer, importer.value(node.input(0))),), {"tanh": float(tanh)})


@translates("Clip")
def _clip(importer: Importer, node: OnnxNode) -> Any:
    if importer.opset < 11:
        low, high = (float(node.attributes.get(key, usual)) for key, usual in (("min", -math.inf), ("max", math.inf)))
    else:
        low, high = number(importer, node, 1, -math.inf), number(importer, node, 2, math.inf)
    x = operand(importer, importer.value(node.input(0)))
    return term("Clip", node, (x,), {"min": min(low, high), "max": high})  # where they cross, high wins


@translates("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min")
def _binary(importer: Importer, node: OnnxNode) -> Any:
    if len(node.inputs) != 2:
        raise ValueError(f"reads {len(node.inputs)} values, wanted 2")
    a, b = (importer.value(name) for name in node.inputs)
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return _with_constant(importer, node, a, b)
    x, y = operand(importer, a), operand(importer, b)
    if like(x).view == like(y).view and len(sources(x) | sources(y)) == 1:
        return term(node.op, node, (x, y))
    for value, factor in ((x, y), (y, x)) if node.op == "Mul" else ((x, y),) if node.op == "Div" else ():
        if (norm := local_response(importer, node, value, factor)) is not None:
            return norm
    if node.op not in ("Add", "Mul"):
        raise ValueError("is supported of a value and a constant, not of two values")
    return _of_two(importer, node, importer.functions.image(x), importer.functions.image(y))


def _of_two(importer: Importer, node: OnnxNode, a: Image, b: Image) -> Image:
    """The sum or product of two values: of one shape, or one of them a number a channel."""
    builder = importer.builder
    if len(a.view.axes) == len(b.view.axes) == 2:
        pairs = [builder.flat(value) for value in (a, b)]
        if any(order is not None for _, order in pairs):
            raise ValueError("reads values whose axes are mixed")
        name = builder.add(node.op.lower(), labelled(node), (pairs[0][0], pairs[1][0]))
        return builder.seen_as(name, ("N", "C"))
    (first, axes), (second, others) = (_image_like(importer, value) for value in (a, b))
    if len(axes) != len(others) or any(x != y for x, y in zip(axes, others, strict=True) if x and y):
        raise ValueError("reads values whose axes are not the same")
    large = axes if sum(map(bool, axes)) >= sum(map(bool, others)) else others
    name = builder.add(node.op.lower(), labelled(node), (first, second))
    return builder.seen_as(name, large)


def _image_like(importer: Importer, image: Image) -> tuple[str, tuple[str, ...]]:
    """A value (C, H, W) with the labels of its axes; (C) becomes (C, 1, 1)."""
    name, labels = importer.builder.ordered(image)
    return (name if len(importer.builder.shapes[name]) == 3 else importer.builder.raised(name)), labels


def _with_constant(importer: Importer, node: OnnxNode, a: Value, b: Value) -> Any:
    """A value and a constant, in either order."""
    swapped = isinstance(a, np.ndarray)
    value, array, name = (b, a, node.inputs[0]) if swapped else (a, b, node.inputs[1])
    assert isinstance(array, np.ndarray)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"reads a constant {array.dtype}, wanted numbers")
    if node.op == "Mul" and (mean := partly_counted(importer, node, value, array)) is not None:
        return mean
    if array.size == 1:
        x, c = operand(importer, value), scalar(array)
        if array.ndim <= len(like(x).view.axes):
            commutes = node.op in ("Add", "Mul", "Max", "Min")
            operands = (c, x) if swapped and not commutes else (x, c)
            return term(node.op, node, operands, short=array.dtype in _SHORT)
    if node.op not in ("Add", "Sub", "Mul", "Div") or (node.op == "Div" and swapped):
        raise ValueError(f"reads a constant of shape {array.shape}, wanted one number")
    y = value if isinstance(value, Affine) else _with_channels(importer, operand(importer, value))
    numbers = affine.channels(array, like(y))
    return affine.combined(
        y, "rSub" if node.op == "Sub" and swapped else node.op, numbers, node, importer.functions, name
    )


def _with_channels(importer: Importer, x: Operand) -> Operand:
    """The value; flattened in the graph too where an axis has channels, rows and columns in one."""
    axes = like(x).view.axes
    if not any("C" in (found := {digit.label for digit in axis}) and len(found) > 1 for axis in axes):
        return x
    name, order = importer.builder.flat(importer.functions.image(x))
    if order is not None:
        raise ValueError("reads a value whose axes are mixed")
    return importer.builder.image(name)


@translates("Softmax", "LogSoftmax")
def _softmax(importer: Importer, node: OnnxNode) -> Any:
    image = importer.image(node.input(0))
    axis = node.attributes.get("axis", 1 if importer.opset < 13 else -1)
    axes = image.view.axes
    place = axis + len(axes) if axis < 0 else axis
    if not 0 < place < len(axes) or any(axes[k] for k in range(1, len(axes)) if k != place):
        raise ValueError("is no softmax over the classes")
    return Image(image.name, image.shape, image.view, probabilities=True)


@translates("Identity", "Cast")
def _same(importer: Importer, node: OnnxNode) -> Any:
    if node.op == "Cast" and node.attributes.get("to") not in (1, 10, 11, 16):
        raise ValueError("makes no floats of what was computed of pictures")
    return importer.value(node.input(0))


@translates("Dropout")
def _dropout(importer: Importer, node: OnnxNode) -> Any:
    rate = float(node.attributes.get("ratio", 0.5)) if importer.opset < 12 else number(importer, node, 1, 0.5)
    image = importer.image(node.input(0))
    if not 0 < rate < 1:
        return image
    return importer.builder.like(importer.builder.add("dropout", labelled(node), (image.name,), rate=rate), image)
