"""A Module as a Graph: what its forward pass computes, as nodes, BatchNorm folded beside the weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from .forward_pass import INPUT, Operation, operations_of
from .graph.nodes import Graph, Node, Weight
from .nn import Module


def to_graph(net: Module, input_shape: tuple[int, int, int]) -> Graph:
    """What `net`, a float32 network, computes in evaluation mode of pictures of `input_shape` (C, H, W), as a Graph.

    A conv or linear node is named like the module of its weight: the weight's name without ".weight". BatchNorm behind
    it, with its running statistics, becomes scale_o = gamma_o / sqrt(var_o + eps), bias_o = (b_o - mean_o) scale_o +
    beta_o, computed in float64; elsewhere it is a node of its own.
    Raises ValueError if the network computes what a Graph cannot hold, TypeError if it is not float32.
    """
    arrays = {name: p.data for name, p in net.named_parameters()}
    wide = [name for name, array in arrays.items() if array.dtype != np.float32]
    if wide:
        raise TypeError(f"to_graph wants a float32 network, {wide[0]} is {arrays[wide[0]].dtype}")
    builder = _Builder(arrays, operations_of(net, input_shape))
    channels, height, width = map(int, input_shape)
    return Graph(INPUT, (channels, height, width), tuple(builder.nodes.values()), builder.output)


class _Builder:
    """Turns operations into nodes, in order. `values` maps the name of a value to the node that computes it."""

    def __init__(self, arrays: dict[str, np.ndarray], operations: list[Operation]) -> None:
        self.arrays = arrays
        self.nodes: dict[str, Node] = {}
        self.values = {INPUT: INPUT}
        self.readers: dict[str, int] = {}
        for op in operations:
            for name in op.inputs:
                self.readers[name] = self.readers.get(name, 0) + 1
        for op in operations:
            self.values[op.output] = self._translate(op)
        self.output = self.values[operations[-1].output]

    def _add(self, op: str, name: str, inputs: tuple[str, ...], attributes: dict[str, Any], **arrays: Any) -> str:
        """Append a node; a name that is taken gets #2, #3, ..."""
        unique, count = name, 1
        while unique in self.nodes or unique == INPUT:
            count += 1
            unique = f"{name}#{count}"
        self.nodes[unique] = Node(op, unique, inputs, attributes, **arrays)
        return unique

    def _translate(self, op: Operation) -> str:
        """Append the nodes of one operation; the name of the value that it computes."""
        a = op.attributes
        if op.op in ("conv2d", "linear"):
            keys = ("stride", "padding", "dilation", "groups") if op.op == "conv2d" else ()
            return self._weighted("conv" if op.op == "conv2d" else "linear", op, {key: a[key] for key in keys})
        if op.op == "batch_norm":
            return self._batch_norm(op)
        inputs = tuple(self._value(name, op) for name in op.inputs)
        if op.op in ("relu", "add", "global_avg_pool"):
            return self._add(op.op, op.op, inputs, {})
        if op.op in ("max_pool", "avg_pool"):
            return self._add(op.op, op.op, inputs, {"kernel": a["kernel"], "stride": a["stride"]})
        if op.op == "subsample":
            return self._add(op.op, op.op, inputs, {"step": a["step"]})
        if op.op == "pad" and len(op.shape) == 3 and a["before"][0] == a["after"][0] == 0:
            return self._add(op.op, op.op, inputs, {"before": a["before"][1:], "after": a["after"][1:]})
        if op.op == "reshape" and len(op.shape) == 1:
            return self._add("flatten", "flatten", inputs, {})
        raise ValueError(f"{op.op} to shape {op.shape} does not fit a graph")

    def _value(self, name: str, op: Operation) -> str:
        if name not in self.values:
            raise ValueError(f"{op.op} reads the parameter {name}, which a graph does not hold")
        return self.values[name]

    def _weighted(self, kind: str, op: Operation, attributes: dict[str, Any]) -> str:
        name, outputs = op.inputs[1], self._array(op, 1).shape[0]
        bias = self._array(op, 2) if len(op.inputs) > 2 else np.zeros(outputs, np.float32)
        return self._add(
            kind,
            name.removesuffix(".weight"),
            (self._value(op.inputs[0], op),),
            attributes,
            weight=Weight("float", self.arrays[name].shape, self.arrays[name].copy()),
            scale=np.ones(outputs, np.float32),
            bias=bias.copy(),
        )

    def _array(self, op: Operation, position: int) -> np.ndarray:
        name = op.inputs[position]
        if name not in self.arrays:
            raise ValueError(f"{op.op} computes with {name} where a graph wants a parameter")
        return self.arrays[name]

    def _batch_norm(self, op: Operation) -> str:
        """Folded beside the codes of the convolution before it if nobody else reads that one's result."""
        x, gamma, beta = self._value(op.inputs[0], op), self._array(op, 1), self._array(op, 2)
        mean, var = (op.attributes[key].astype(np.float64) for key in ("mean", "var"))
        scale = gamma / np.sqrt(var + op.attributes["eps"])  # float64: var is
        before = self.nodes.get(x)
        layer = op.inputs[1].removesuffix(".weight")
        if before is not None and before.weight is not None and self.readers[op.inputs[0]] == 1:
            bias = (before.bias - mean) * scale + beta
            scale = before.scale * scale
            self.nodes[x] = replace(before, scale=scale.astype(np.float32), bias=bias.astype(np.float32))
        else:
            shift = (beta - mean * scale).astype(np.float32)
            x = self._add("scale_shift", layer, (x,), {}, scale=scale.astype(np.float32), bias=shift)
        if len(op.inputs) > 3:
            x = self._add("add", f"{layer}.add", (x, self._value(op.inputs[3], op)), {})
        if op.attributes["relu"]:
            x = self._add("relu", f"{layer}.relu", (x,), {})
        return x
