"""The graph as it grows: nodes with unique names and known shapes, and the tensors that they read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...graph.nodes import Graph, Node, Parameter
from ...graph.shapes import MAX_NODES, OPS, infer_shapes
from . import cleaning, names, views
from .cleaning import MEANS, RAISED
from .model import OnnxNode
from .views import View

INPUT = "input"


@dataclass(frozen=True, eq=False)
class Image:
    """A value of the graph, (C, H, W) or (C), as an ONNX value has it. probabilities: softmax of it, in truth."""

    name: str
    shape: tuple[int, ...]
    view: View
    probabilities: bool = False


class Builder:
    """Adds nodes and tensors. ValueError for what a graph cannot hold."""

    def __init__(self, input_shape: tuple[int, int, int], batch: int) -> None:
        self.input_shape, self.batch = input_shape, batch
        self.nodes: dict[str, Node] = {}
        self.tensors: dict[str, np.ndarray] = {}
        self.shapes: dict[str, tuple[int, ...]] = {INPUT: input_shape}
        self._layers: dict[tuple[Any, ...], str] = {}  # what a layer's parameters were made of: the layer
        self._value_names, self._layer_names = names.Unique("#"), names.Unique("_")
        self._once: dict[tuple[Any, ...], str] = {}
        self._modules: set[str] = set()  # the names of layers and of what they are in

    def add(self, op: str, name: str, inputs: tuple[str, ...], **given: Any) -> str:
        """Append a node; its name, which is `name` unless that is taken. given: attributes and Parameters by role."""
        roles = {role: value for role, value in given.items() if isinstance(value, Parameter)}
        attributes = {key: value for key, value in given.items() if key not in roles and value is not None}
        node = Node(op, self._value_names(name or op, lambda n: n not in self.shapes), inputs, attributes, **roles)
        operands = [self.shapes[name] for name in inputs]
        made = {MEANS: operands[0], RAISED: (*operands[0], 1, 1)}  # in the graph in the making alone
        shape = made[op] if op in made else OPS[op].shape(node, operands)
        if len(self.nodes) >= 2 * MAX_NODES:
            raise ValueError(f"the graph gets more than {MAX_NODES:,} nodes")
        self.nodes[node.name] = node
        self.shapes[node.name] = shape
        return node.name

    def once(self, op: str, name: str, source: str, **given: Any) -> str:
        """The name of a value that is made of `source` at most once."""
        key = (op, source, *given.values())
        if key not in self._once:
            self._once[key] = self.add(op, name, (source,), **given)
        return self._once[key]

    def image(self, name: str) -> Image:
        """A value as (N, C, H, W) or (N, C)."""
        return Image(name, self.shapes[name], views.plain(self.batch, self.shapes[name]))

    def like(self, name: str, image: Image) -> Image:
        """A value computed element by element from `image`, whose axes it has."""
        return replace(image, name=name, shape=self.shapes[name])

    def layer(self, name: str, arrays: Mapping[str, np.ndarray], source: tuple[Any, ...]) -> dict[str, Parameter]:
        """Parameters for `arrays` {role: array} of a layer, named `name`.role; those made before of the same `source`.

        ValueError for values that are no finite float32.
        """
        if source not in self._layers:
            base = name or "layer"
            parts = base.split(".")
            if any(".".join(parts[:k]) in self.tensors for k in range(1, len(parts) + 1)):
                base = "_".join(parts)  # a tensor is on the way to it
            layer = self._layer_names(base, lambda n: not self._modules & {n, *(f"{n}.{role}" for role in arrays)})
            self._layers[source] = layer
            parts = layer.split(".")
            self._modules |= {".".join(parts[:k]) for k in range(1, len(parts) + 1)}
            for role, array in arrays.items():
                self.tensors[f"{layer}.{role}"] = as_float32(array)
        layer = self._layers[source]
        return {role: Parameter(f"{layer}.{role}", arrays[role].shape) for role in arrays}

    def graph(self, output: str) -> Graph:
        """The graph of all nodes that `output` depends on, made as simple as hand-written ones, and checked."""
        nodes = cleaning.cleaned(list(self.nodes.values()), output, self.shapes, self.tensors)
        read = {p.name for node in nodes for p in node.parameters.values()}
        self.tensors = {name: array for name, array in self.tensors.items() if name in read}
        graph = Graph(INPUT, self.input_shape, nodes, output, tuple(self.tensors))
        infer_shapes(graph)
        return graph

    # What an op wants of the axes of a value

    def rows_and_columns(self, image: Image) -> str:
        """The name of `image` as (C, H, W), for an ONNX value (N, C, H, W)."""
        axes, shape = image.view.axes, image.shape
        if len(axes) != 4:
            raise ValueError(f"reads a value of {len(axes)} axes, wanted (N, C, H, W)")
        wanted = views.plain(self.batch, (*shape, 1, 1)[:3]).axes
        if (axes[0], *axes[2:]) != (wanted[0], *wanted[2:]) or any(digit.label != "C" for digit in axes[1]):
            raise ValueError("reads a value whose axes are not (N, C, H, W)")
        name = self.in_order(image.name, axes[1], wanted[1])
        return name if len(shape) == 3 else self.raised(name)

    def raised(self, name: str) -> str:
        """The name of a value (C) as (C, 1, 1)."""
        return self.once(RAISED, f"{name}.raised", name)

    def in_order(self, name: str, axis: views.Axis, wanted: views.Axis) -> str:
        """The name of a value with its channels as the digits of `axis` count them: a channel shuffle, or itself."""
        if axis == wanted:
            return name
        if len(axis) != 2 or math.prod(d.size for d in axis) != self.shapes[name][0]:
            raise ValueError("reads channels in an order that is no channel shuffle")
        return self.once("shuffle", "shuffle", name, groups=axis[1].size)

    def flat(self, image: Image) -> tuple[str, np.ndarray | None]:
        """(the name of `image` as (C), where its elements lie there), None where they are in order."""
        axes, shape = image.view.axes, image.shape
        digits = [digit for axis in axes[1:] for digit in axis]
        if not axes or axes[0] != views.whole("N", self.batch) or any(d.label == "N" for d in digits):
            raise ValueError("reads a value whose first axis is not that of the pictures")
        if sum(1 for axis in axes[1:] if axis) > 1 or len(axes) < 2:
            raise ValueError(f"reads a value of shape {image.view.shape[1:]} a picture, wanted one axis")
        name = image.name if len(shape) == 1 else self.once("flatten", "flatten", image.name)
        if View((tuple(digits),)).digits == View(views.plain(self.batch, shape).axes[1:]).digits:
            return name, None  # found without an index for each
        order = views.positions(tuple(digits), shape)
        return name, None if (order == np.arange(order.size)).all() else order

    def ordered(self, image: Image) -> tuple[str, tuple[str, ...]]:
        """(the name of `image` as a value of the graph, the label of each axis), for what works on whole axes."""
        labels = image.view.labels()
        if labels is not None:
            return image.name, labels
        axes = list(image.view.axes)
        inside = [k for k, axis in enumerate(axes) if any(d.label == "C" for d in axis)]
        if len(inside) != 1:
            raise ValueError("reads a value whose channels are apart")
        wanted = views.whole("C", image.shape[0])
        others = View((*axes[: inside[0]], wanted, *axes[inside[0] + 1 :])).labels()
        if others is None or any(d.label != "C" for d in axes[inside[0]]):
            if len(image.view.axes) == 2:
                name, order = self.flat(image)
                if order is None:
                    return name, ("N", "C")
            raise ValueError("reads a value whose axes are mixed")
        return self.in_order(image.name, axes[inside[0]], wanted), others

    def seen_as(self, name: str, labels: tuple[str, ...]) -> Image:
        """A value with axes of these labels."""
        sizes = {"N": self.batch, **dict(zip("CHW", self.shapes[name], strict=False))}
        axes = tuple(views.whole(label, sizes[label]) if label else () for label in labels)
        return Image(name, self.shapes[name], View(axes))


def as_float32(array: np.ndarray) -> np.ndarray:
    """The values as float32; ValueError for what is none."""
    if array.dtype.kind != "f":
        raise ValueError(f"its array is {array.dtype}, wanted floats")
    with np.errstate(over="ignore", under="ignore"):
        values: np.ndarray = np.ascontiguousarray(array, np.float32)
    if not np.isfinite(values).all():
        raise ValueError("its array holds values that are no finite float32")
    return values


def labelled(node: OnnxNode, value: str = "") -> str:
    """The name that a node of the graph gets of an ONNX node without parameters."""
    return names.of_node(node) or value
