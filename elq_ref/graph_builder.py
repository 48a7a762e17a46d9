"""A Module as a Graph: what its forward pass computes, as nodes whose arrays are named tensors of its state dict."""

from __future__ import annotations

from typing import Any

import numpy as np

from .forward_pass import INPUT, Operation, operations_of
from .graph.nodes import DEFAULTS, Graph, Node, Parameter
from .graph.parameters import module_of
from .graph.shapes import OPS, infer_shapes
from .graph_net import GraphNet
from .nn import Module

_OPS = {"conv2d": "conv", "reshape": "flatten"}  # of operations that have another name than their op
_ARRAYS = {  # what an operation reads besides values, in order, by its role in the node
    "conv": ("weight", "bias"),
    "linear": ("weight", "bias"),
    "prelu": ("slope",),
    "scale_shift": ("scale", "bias"),
    "batch_norm": ("scale", "bias"),
}


def to_graph(net: Module, input_shape: tuple[int, int, int]) -> Graph:
    """What `net` computes of pictures of `input_shape` (C, H, W), as a trainable Graph: of a GraphNet its own, of
    another Module the operations of one forward pass in evaluation mode.

    Tensors have the names of `net.state_dict()`, where one has several the first. A node is named like the module of
    its weight, "conv1" where the weight is "conv1.weight"; BatchNorm with a residual sum and a ReLU is three nodes,
    "bn1", "bn1.add" and "bn1.relu"; others are named like their op. A name that is taken gets #2, #3, ...
    Raises ValueError if the network computes what a Graph cannot hold.

    >>> graph = elq.to_graph(elq.models.lenet5(), (1, 28, 28))
    >>> [node.name for node in graph.nodes][:4], graph.parameters["conv1.weight"].shape
    (['conv1', 'relu', 'max_pool', 'conv2'], (6, 1, 5, 5))
    """
    shape = (int(input_shape[0]), int(input_shape[1]), int(input_shape[2]))
    named = [*((n, p.shape) for n, p in net.named_parameters()), *((n, b.shape) for n, b in net.named_buffers())]
    parameters = {name: Parameter(name, of) for name, of in named}
    if isinstance(net, GraphNet) and net.graph.input_shape == shape and net.graph.parameters == parameters:
        return net.graph
    builder = _Builder(net, parameters)
    for op in operations_of(net, shape):
        builder.values[op.output] = output = builder.translate(op)
    order = tuple(name for name in net.state_dict() if name in parameters)
    graph = Graph(INPUT, shape, tuple(builder.nodes.values()), output, order)
    infer_shapes(graph)
    return graph


def graph_of(net: Module, input_shape: tuple[int, int, int]) -> Graph | None:
    """`to_graph`, None for a network that computes what a Graph cannot hold, or no such pictures."""
    try:
        return to_graph(net, input_shape)
    except (ValueError, TypeError):
        return None


def _plain(value: Any) -> Any:
    """An attribute in Python's own numbers."""
    return tuple(map(int, value)) if isinstance(value, tuple | list) else np.asarray(value).item()


class _Builder:
    """Turns operations into nodes, in order. `values` maps the name of a value to the node that computes it."""

    def __init__(self, net: Module, parameters: dict[str, Parameter]) -> None:
        self.parameters = parameters
        self.buffers = {id(array): name for name, array in net.named_buffers()}
        self.nodes: dict[str, Node] = {}
        self.values = {INPUT: INPUT}

    def _add(self, op: str, name: str, inputs: tuple[str, ...], attributes: dict[str, Any], **arrays: Any) -> str:
        """Append a node; a name that is taken gets #2, #3, ..."""
        unique, count = name, 1
        while unique in self.nodes or unique == INPUT:
            count += 1
            unique = f"{name}#{count}"
        self.nodes[unique] = Node(op, unique, inputs, attributes, **arrays)
        return unique

    def translate(self, op: Operation) -> str:
        """Append the nodes of one operation; the name of the value that it computes."""
        kind = _OPS.get(op.op, op.op)
        known = kind in OPS and (kind != "flatten" or len(op.shape) == 1)
        given = dict(op.attributes)
        if kind == "pad":
            known = len(op.shape) == 3 and given["before"][0] == given["after"][0] == 0
            given = {key: tuple(given[key][1:]) for key in ("before", "after")}
        if not known:
            raise ValueError(f"{op.op} to shape {op.shape} does not fit a graph")
        roles = _ARRAYS.get(kind, ())
        split = len(op.inputs) if not roles else 1
        inputs = tuple(self._value(name, op) for name in op.inputs[:split])
        arrays = {role: self._parameter(name, op) for role, name in zip(roles, op.inputs[split:], strict=False)}
        if kind == "batch_norm":
            return self._batch_norm(op, inputs[0], arrays)
        said = DEFAULTS.get(kind, {}) | given
        attributes = {key: _plain(said[key]) for key in OPS[kind].attributes}
        name = arrays[roles[0]].name.removesuffix(".weight") if roles else kind
        return self._add(kind, name, inputs, attributes, **arrays)

    def _value(self, name: str, op: Operation) -> str:
        if name not in self.values:
            raise ValueError(f"{op.op} reads the parameter {name}, which a graph does not hold")
        return self.values[name]

    def _parameter(self, name: str, op: Operation) -> Parameter:
        if name not in self.parameters:
            raise ValueError(f"{op.op} computes with {name} where a graph wants a parameter")
        return self.parameters[name]

    def _batch_norm(self, op: Operation, x: str, arrays: dict[str, Parameter]) -> str:
        """The node of the normalization alone, and what was done with it in one go."""
        for role in ("mean", "var"):
            buffer = self.buffers.get(id(op.attributes[role]))
            if buffer is None:
                raise ValueError(f"batch_norm computes with statistics that are no buffers of a module, {role}")
            arrays[role] = self.parameters[buffer]
        layer = arrays["scale"].name.removesuffix(".weight")
        x = self._add("batch_norm", layer, (x,), {"eps": float(op.attributes["eps"])}, **arrays)
        if module_of(self.nodes[x]) is None:
            names = ", ".join(p.name for p in arrays.values())
            raise ValueError(f"batch_norm computes with {names}, wanted the tensors of one module")
        if len(op.inputs) > 3:
            x = self._add("add", f"{layer}.add", (x, self._value(op.inputs[3], op)), {})
        if op.attributes["relu"]:
            x = self._add("relu", f"{layer}.relu", (x,), {})
        return x
