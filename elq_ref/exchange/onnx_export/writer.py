"""The ONNX nodes and arrays of a graph, in its order and with its names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from ...graph.nodes import NO_BORDER, Graph, Node, required
from ...graph.shapes import Shape
from .codes import Integer, packed


class Writer:
    """Collects the NodeProtos and TensorProtos of a packed graph.

    integers: the type that codes are written in, None for floats. padded: of `padded_maxima`.
    """

    def __init__(
        self, onnx: ModuleType, graph: Graph, shapes: Mapping[str, Shape], integers: Integer | None = None
    ) -> None:
        self.onnx, self.graph, self.shapes, self.integers = onnx, graph, shapes, integers
        self.nodes: list[Any] = []
        self.arrays: list[Any] = []
        self.padded = padded_maxima(graph)

    def add(self, op: str, node: Node, *arrays: str, source: str | None = None, **attributes: Any) -> None:
        """Append the ONNX node `op` that computes the value of `node` from what it reads and from `arrays`."""
        inputs = [*(node.inputs if source is None else [source]), *arrays]
        self.nodes.append(self.onnx.helper.make_node(op, inputs, [node.name], node.name, **attributes))

    def step(self, op: str, name: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Append the ONNX node `op` of a value that the graph has not; its name."""
        self.nodes.append(self.onnx.helper.make_node(op, list(inputs), [name], name, **attributes))
        return name

    def array(self, name: str, values: np.ndarray) -> str:
        """Append a constant; its name."""
        self.arrays.append(self.onnx.numpy_helper.from_array(np.asarray(values, order="C"), name))
        return name

    def number(self, name: str, value: float) -> str:
        """Append a float32 constant of no axes; its name."""
        return self.array(name, np.array(value, np.float32))

    def lengths(self, name: str, *values: int) -> str:
        """Append a constant list of int64; its name."""
        return self.array(name, np.array(values, np.int64))

    def weighted(self, node: Node) -> tuple[str, str]:
        """The names of the weights scale_o W_hat and of the bias of a conv or linear node."""
        bias = self.array(f"{node.name}.bias", required(node.bias))
        weight, scale = required(node.weight), required(node.scale)
        column = scale.reshape(-1, *(1,) * (len(weight.shape) - 1))
        name = f"{node.name}.weight"
        if self.integers is None or weight.alpha is None:
            scaled = weight.values().astype(np.float64) * column
            return self.array(name, scaled.astype(np.float32)), bias
        self.arrays.append(
            self.onnx.TensorProto(
                name=f"{node.name}.codes",
                dims=weight.shape,
                data_type=getattr(self.onnx.TensorProto, self.integers.name),
                raw_data=packed(weight.codes(), self.integers.bits),
            )
        )
        alpha = weight.alpha if len(weight.alpha) > 1 else weight.alpha.reshape(())
        inputs = [f"{node.name}.codes", self.array(f"{node.name}.alpha", alpha)]
        ones = bool((scale == 1).all())
        w_hat = name if ones else f"{node.name}.w_hat"
        self.step("DequantizeLinear", w_hat, inputs, **({} if alpha.ndim == 0 else {"axis": 0}))
        if not ones:
            self.step("Mul", name, [w_hat, self.array(f"{node.name}.scale", column)])
        return name, bias


def padded_maxima(graph: Graph) -> dict[str, str]:
    """{name of a max_pool: name of the pad that it reads} where the two are one padded MaxPool of ONNX.

    ONNX pads a maximum with minus infinity. That gives the same as zeros where every window holds a pixel (the padding
    is smaller than the window) and no pixel is negative (the pad reads a ReLU's result).
    """
    nodes = {node.name: node for node in graph.nodes}
    readers = [name for node in graph.nodes for name in node.inputs] + [graph.output]
    found = {}
    for pool in graph.nodes:
        pad = nodes.get(pool.inputs[0])
        if pool.op != "max_pool" or pad is None or pad.op != "pad" or readers.count(pad.name) > 1:
            continue
        (channels, *before), (more_channels, *after) = pad.attributes["before"], pad.attributes["after"]
        source = nodes.get(pad.inputs[0])
        within = all(max(b, a) < k for b, a, k in zip(before, after, pool.attributes["kernel"], strict=True))
        within = within and pool.attributes["padding"] == NO_BORDER
        if source is not None and source.op == "relu" and within and not channels + more_channels:
            found[pool.name] = pad.name
    return found
