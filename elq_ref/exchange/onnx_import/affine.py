"""Products and sums with one constant a channel, gathered until somebody reads them: one scale_shift."""

from __future__ import annotations

import numpy as np

from . import names, views
from .builder import Image
from .functions import Affine, Functions, Operand, like
from .model import OnnxNode


def channels(array: np.ndarray, image: Image) -> np.ndarray:
    """A constant that is one number a channel of `image` as float64 (C).

    ValueError where it has other values for other rows, columns or pictures.
    """
    axes, values = image.view.axes, np.asarray(array, np.float64)
    if values.ndim > len(axes):
        if any(n != 1 for n in values.shape[: values.ndim - len(axes)]):
            raise ValueError(f"reads a constant of shape {array.shape} beside a value of {len(axes)} axes")
        values = values.reshape(values.shape[values.ndim - len(axes) :])
    values = values.reshape((1,) * (len(axes) - values.ndim) + values.shape)
    wanted, digits = [], []
    for size, axis, there in zip(values.shape, axes, image.view.shape, strict=True):
        inside = bool(axis) and all(digit.label == "C" for digit in axis)
        if size != 1 and (not inside or size != there):
            raise ValueError(f"reads a constant of shape {array.shape}, wanted one number or one a channel")
        wanted.append(there if inside else 1)
        digits += list(axis) if inside else []
    places = views.positions(tuple(digits), image.shape[:1])
    if places.size != image.shape[0]:
        raise ValueError("reads a constant beside channels that are mixed with other axes")
    found = np.empty(image.shape[0])
    found[places] = np.broadcast_to(values, wanted).reshape(-1)
    return found


def combined(x: Operand, op: str, number: np.ndarray, node: OnnxNode, functions: Functions, name: str) -> Affine:
    """`x op number`, one number a channel (C); op Add, Sub, Mul, Div, or rSub: number - x. name: of the constant."""
    if not isinstance(x, Affine):
        of, a, b = functions.affine(x) or (x, 1.0, 0.0)
        if isinstance(of, Affine):
            x = of.scaled(a, b)
        else:
            count = like(x).shape[0]
            x = Affine(of, np.full(count, a), np.full(count, b), node, like(x))
    scale, shift = x.scale, x.shift
    with np.errstate(all="ignore"):
        if op == "Mul":
            scale, shift = scale * number, shift * number
        elif op == "Div":
            scale, shift = scale / number, shift / number
        elif op == "Add":
            shift = shift + number
        else:
            scale, shift = (scale, shift - number) if op == "Sub" else (-scale, number - shift)
    return Affine(x.x, scale, shift, node, x.like, names.of_array(name) or x.layer)
