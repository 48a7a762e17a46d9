"""Products and sums with one constant a channel, gathered until somebody reads them: one scale_shift."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import names, views
from .builder import Builder, Image, labelled
from .functions import Functions, Operand
from .model import OnnxNode


@dataclass(frozen=True, eq=False)
class Affine:
    """scale_c x_c + shift_c of a value x, float64 (C) each; like: whose axes it has; layer: the name of its arrays."""

    x: Operand
    scale: np.ndarray
    shift: np.ndarray
    node: OnnxNode
    like: Image
    layer: str = ""

    def image(self, builder: Builder, functions: Functions) -> Image:
        """The value in the graph."""
        if id(self) in functions.made:
            return functions.made[id(self)]
        x = functions.image(self.x)
        name = self.layer or labelled(self.node)
        roles = builder.layer(name or "scale_shift", {"weight": self.scale, "bias": self.shift}, (id(self),))
        made = builder.add("scale_shift", name, (x.name,), scale=roles["weight"], bias=roles["bias"])
        functions.made[id(self)] = builder.like(made, self.like)
        functions.kept.append(self)
        return functions.made[id(self)]


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


def combined(x: Operand | Affine, op: str, number: np.ndarray, node: OnnxNode, functions: Functions, name: str
             ) -> Affine:  # fmt: skip
    """`x op number`, one number a channel (C); op Add, Sub, Mul, Div, or rSub: number - x. name: of the constant."""
    if not isinstance(x, Affine):
        like = x if isinstance(x, Image) else x.like
        of, a, b = functions.affine(x) or (x, 1.0, 0.0)
        x = Affine(of, np.full(like.shape[0], a), np.full(like.shape[0], b), node, like)
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
