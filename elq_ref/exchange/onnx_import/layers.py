"""Translators of what has weights: convolutions, linear layers, BatchNorm, PReLU."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import names
from .affine import channels
from .builder import Image
from .importer import Importer, translates
from .model import OnnxNode
from .pooling import adaptive_mean, same_pads, square


def _name(importer: Importer, node: OnnxNode, usual: str = "") -> str:
    """The layer that the name of its first array states, else the node's."""
    array = node.input(1)
    stated = names.of_array(array) or names.of_array(importer.origins.get(array, ""))
    return stated or names.of_node(node) or usual or node.op.lower()


def _vector(array: np.ndarray, count: int) -> np.ndarray:
    """A constant of one number an output, or one for all, as (O)."""
    if array.size not in (1, count) or array.dtype.kind != "f":
        raise ValueError(f"has a bias {array.dtype} of shape {array.shape}, wanted {count} floats")
    return np.broadcast_to(array.reshape(-1), count)


def _arrays(weight: np.ndarray, bias: np.ndarray | None) -> dict[str, np.ndarray]:
    return {"weight": weight} if bias is None else {"weight": weight, "bias": bias}


@translates("Conv")
def _conv(importer: Importer, node: OnnxNode) -> Any:
    a, builder = node.attributes, importer.builder
    weight, bias = importer.constant(node, 1), importer.constant(node, 2)
    if weight is None or weight.ndim != 4:
        raise ValueError(
            f"has a weight of shape {None if weight is None else weight.shape}, wanted (O, I, rows, columns)"
        )
    x = builder.rows_and_columns(importer.image(node.input(0)))
    kernel = square(a, "kernel_shape", weight.shape[2:])
    if kernel != weight.shape[2:]:
        raise ValueError(f"has kernel_shape {kernel} and a weight of shape {weight.shape}")
    stride, dilation = square(a, "strides", (1, 1)), square(a, "dilations", (1, 1))
    top, left, bottom, right = same_pads(node, builder.shapes[x][1:], kernel, stride, dilation)
    padding = (top, left)
    if (top, left) != (bottom, right):
        x, padding = builder.add("pad", "", (x,), before=(0, top, left), after=(0, bottom, right)), (0, 0)
    arrays = _arrays(weight, None if bias is None else _vector(bias, len(weight)))
    roles = builder.layer(_name(importer, node), arrays, (node.input(1), node.input(2)))
    name = roles["weight"].name.removesuffix(".weight")
    return builder.image(
        builder.add(
            "conv", name, (x,), stride=stride, padding=padding, dilation=dilation, groups=a.get("group", 1), **roles
        )
    )


@translates("Gemm")
def _gemm(importer: Importer, node: OnnxNode) -> Any:
    a = node.attributes
    weight, bias = importer.constant(node, 1), importer.constant(node, 2)
    if a.get("transA", 0) or weight is None or weight.ndim != 2:
        raise ValueError("is no layer with a weight of two axes")
    weight = weight if a.get("transB", 0) else weight.T
    alpha, beta = float(a.get("alpha", 1.0)), float(a.get("beta", 1.0))
    weight = weight if alpha == 1 else weight * weight.dtype.type(alpha)
    if bias is not None:
        bias = _vector(bias, len(weight)) * bias.dtype.type(beta)
    return _linear(importer, node, importer.image(node.input(0)), weight, bias, alpha)


@translates("MatMul")
def _matmul(importer: Importer, node: OnnxNode) -> Any:
    left = isinstance(importer.value(node.input(0)), np.ndarray)
    weight = importer.needed(node, 0 if left else 1)
    if weight.ndim != 2:
        raise ValueError(f"has a weight of shape {weight.shape}, wanted two axes")
    image = importer.image(node.input(1 if left else 0))
    if (pooled := adaptive_mean(importer, node, image, weight if left else weight.T, -2 if left else -1)) is not None:
        return pooled
    if left:
        raise ValueError("multiplies from the left, wanted a weight behind the value")
    axes = image.view.axes
    if len(axes) < 3 or not any(axes[1:-1]):
        made = _linear(importer, node, image, weight.T, None, 1.0)
        between = (("N", *("",) * (len(axes) - 2), "C")) if len(axes) > 2 else ("N", "C")
        return importer.builder.seen_as(made.name, between)
    x, labels = importer.builder.ordered(image)  # a linear layer over the channels of every pixel
    if len(image.shape) != 3 or labels[0] != "N" or labels[-1] != "C":
        raise ValueError("multiplies other axes than channels")
    arrays = {"weight": weight.T[:, :, None, None]}
    roles = importer.builder.layer(_name(importer, node), arrays, (node.input(1), "1x1"))
    geometry = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    name = roles["weight"].name.removesuffix(".weight")
    return importer.builder.seen_as(importer.builder.add("conv", name, (x,), **geometry, **roles), labels)


def _linear(importer: Importer, node: OnnxNode, image: Image, weight: np.ndarray, bias: np.ndarray | None, alpha: float
            ) -> Image:  # fmt: skip
    """A linear layer; where the elements of its input were flattened in another order, its columns change places."""
    x, order = importer.builder.flat(image)
    if order is not None:
        if order.size != weight.shape[1]:
            raise ValueError(f"has a weight of shape {weight.shape} and reads {order.size} values")
        moved = np.empty_like(weight)
        moved[:, order] = weight
        weight = moved
    source = (node.input(1), node.input(2), alpha, None if order is None else order.tobytes())
    roles = importer.builder.layer(_name(importer, node), _arrays(weight, bias), source)
    return importer.builder.image(
        importer.builder.add("linear", roles["weight"].name.removesuffix(".weight"), (x,), **roles)
    )


@translates("BatchNormalization")
def _batch_norm(importer: Importer, node: OnnxNode) -> Any:
    if node.attributes.get("training_mode", 0):
        raise ValueError("is in training mode: export the network in evaluation mode")
    image = importer.image(node.input(0))
    axes = image.view.axes
    arrays = [importer.constant(node, k) for k in range(1, 5)]
    if len(axes) < 2 or any(array is None or array.ndim != 1 for array in arrays):
        raise ValueError("wants four arrays of one number a channel")
    if len(axes) == 2:
        flat, order = importer.builder.flat(image)
        if order is not None:
            raise ValueError("reads a value whose axes are mixed")
        image = importer.builder.image(flat)
    values = [channels(array.reshape(-1, *(1,) * (len(axes) - 2)), image) for array in arrays]
    eps = float(node.attributes.get("epsilon", 1e-5))
    if (values[3] + eps <= 0).any():
        raise ValueError("has a variance that is not positive")
    roles = ("weight", "bias", "running_mean", "running_var")
    layer = importer.builder.layer(
        _name(importer, node, "bn"),
        dict(zip(roles, values, strict=True)),
        (*node.inputs[1:],),
    )
    parts = dict(zip(("scale", "bias", "mean", "var"), layer.values(), strict=True))
    name = layer["weight"].name.removesuffix(".weight")
    return importer.builder.like(importer.builder.add("batch_norm", name, (image.name,), eps=eps, **parts), image)


@translates("PRelu")
def _prelu(importer: Importer, node: OnnxNode) -> Any:
    image = importer.image(node.input(0))
    slope = channels(importer.needed(node, 1), image)
    name = _name(importer, node)
    roles = importer.builder.layer(name, {"weight": slope}, (node.input(1), slope.tobytes()))
    layer = roles["weight"].name.removesuffix(".weight")
    return importer.builder.like(importer.builder.add("prelu", layer, (image.name,), slope=roles["weight"]), image)
