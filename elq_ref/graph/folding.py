"""A trainable graph as a packed one: BatchNorm with its statistics folded beside the weights, dropout left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from .nodes import Graph, Node, Parameter, Weight, required
from .parameters import module_of
from .shapes import infer_shapes


def folded(graph: Graph, tensors: Mapping[str, np.ndarray]) -> Graph:
    """What a trainable graph computes in evaluation mode with `tensors` (float32, by name), as a packed graph.

    BatchNorm behind a conv or linear that nobody else reads becomes scale_o = gamma_o / sqrt(var_o + eps), bias_o =
    (b_o - mean_o) scale_o + beta_o, computed in float64; elsewhere it is a scale_shift. The weights are float. A conv
    or linear is named like the module of its weight, the weight's name without ".weight"; another one of the same
    weight NAME#2; what else has that name gets a #2 too.
    TypeError for a tensor that is not float32, ValueError for one that is missing or of another shape.
    """
    infer_shapes(graph)
    for name, parameter in graph.parameters.items():
        if name not in tensors:
            raise ValueError(f"tensor {name} {parameter.shape} is missing")
        if tensors[name].dtype != np.float32:
            raise TypeError(f"a packed graph wants a float32 network, {name} is {tensors[name].dtype}")
        if tensors[name].shape != parameter.shape:
            raise ValueError(f"tensor {name} has shape {tensors[name].shape}, the graph wants {parameter.shape}")
    folder = _Folder(graph, tensors)
    for node in graph.nodes:
        folder.values[node.name] = folder.fold(node)
    return _named(
        replace(graph, nodes=tuple(folder.nodes.values()), output=folder.values[graph.output], order=()), graph
    )


class _Folder:
    """Turns nodes into packed ones, in order. `values`: the name of a value -> that of the packed node it is of."""

    def __init__(self, graph: Graph, tensors: Mapping[str, np.ndarray]) -> None:
        self.tensors, self.shapes = tensors, infer_shapes(graph)
        self.nodes: dict[str, Node] = {}
        self.values = {graph.input: graph.input}
        same: dict[str, str] = {}  # a dropout's value is the one that it reads
        read = [graph.output]
        for node in graph.nodes:
            if node.op == "dropout":
                same[node.name] = same.get(node.inputs[0], node.inputs[0])
            else:
                read += node.inputs
        self.readers = Counter(same.get(name, name) for name in read)
        self.same = same

    def fold(self, node: Node) -> str:
        """Append what a node becomes; the name of the packed node that computes its value."""
        inputs = tuple(self.values[name] for name in node.inputs)
        if node.op == "dropout":
            return inputs[0]
        if node.op == "batch_norm":
            return self._batch_norm(node, inputs[0])
        arrays: dict[str, Any] = {role: self._array(p) for role, p in node.parameters.items()}
        if "weight" in arrays:
            outputs = len(arrays["weight"])
            arrays["weight"] = Weight("float", arrays["weight"].shape, arrays["weight"])
            arrays["scale"] = np.ones(outputs, np.float32)
            arrays.setdefault("bias", np.zeros(outputs, np.float32))
        if "slope" in arrays:
            arrays["slope"] = np.broadcast_to(arrays["slope"], self.shapes[node.inputs[0]][:1]).copy()
        return self._add(Node(node.op, node.name, inputs, node.attributes, **arrays))

    def _add(self, node: Node) -> str:
        self.nodes[node.name] = node
        return node.name

    def _array(self, parameter: Parameter | Any) -> np.ndarray:
        return self.tensors[parameter.name].copy()

    def _batch_norm(self, node: Node, x: str) -> str:
        """Folded beside the codes of the layer before it if nobody else reads that one's result."""
        gamma, beta = self._array(node.scale), self._array(node.bias)
        mean, var = (self._array(part).astype(np.float64) for part in (node.mean, node.var))
        scale = gamma / np.sqrt(var + node.attributes["eps"])  # float64: var is
        before = self.nodes.get(x)
        read = self.same.get(node.inputs[0], node.inputs[0])
        if before is not None and before.weight is not None and self.readers[read] == 1:
            bias = (required(before.bias) - mean) * scale + beta
            scale = required(before.scale) * scale
            self.nodes[x] = replace(before, scale=scale.astype(np.float32), bias=bias.astype(np.float32))
            return x
        shift = (beta - mean * scale).astype(np.float32)
        return self._add(Node("scale_shift", node.name, (x,), {}, scale=scale.astype(np.float32), bias=shift))


def _named(packed: Graph, trainable: Graph) -> Graph:
    """The graph with its layers named like the modules of their weights."""
    layers = {n.name: module_of(replace(n, bias=None)) or n.name for n in trainable.nodes if n.weight is not None}
    names = {packed.input: packed.input}
    taken = {packed.input}
    for node in sorted(packed.nodes, key=lambda node: node.name not in layers):  # the layers first
        name = wanted = layers.get(node.name, node.name)
        count = 1
        while name in taken:
            count += 1
            name = f"{wanted}#{count}"
        names[node.name] = name
        taken.add(name)
    nodes = tuple(replace(n, name=names[n.name], inputs=tuple(names[i] for i in n.inputs)) for n in packed.nodes)
    return replace(packed, nodes=nodes, output=names[packed.output])
