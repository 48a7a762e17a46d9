"""A graph as one would write it by hand: what the translators leave is drawn together."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from ...graph.nodes import Node, Parameter

# Nodes of the graph in the making:
RAISED = "raised"  # (C) as (C, 1, 1)
MEANS = "channel_means"  # of the squares of the channels that a local response norm sees
Shapes = dict[str, tuple[int, ...]]
Tensors = dict[str, np.ndarray]


def cleaned(nodes: list[Node], output: str, shapes: Shapes, tensors: Tensors) -> tuple[Node, ...]:
    """The nodes that `output` depends on. Changes `tensors` where a layer becomes another.

    (C) as (C, 1, 1) is computed so from the start; a mean over the whole picture that is flattened is a
    global_avg_pool; a shift behind a convolution without bias is its bias; zeros around a convolution are its padding;
    adaptive means of rows and then of columns are one.
    """
    nodes = _needed(nodes, output)
    if lonely := [node.name for node in nodes if node.op == MEANS]:
        raise ValueError(f"{lonely[0]!r} averages over channels, which only a local response norm may do")
    found = _needed(_raised(nodes, shapes, tensors), output)
    for step in (_global_means, _biases, _paddings, _adaptive_means):
        found = _needed(step(found, output, shapes, tensors), output)
    return tuple(found)


def _needed(nodes: list[Node], output: str) -> list[Node]:
    """The nodes that the output depends on, in order."""
    wanted, kept = {output}, []
    for node in reversed(nodes):
        if node.name in wanted:
            wanted.update(node.inputs)
            kept.append(node)
    return kept[::-1]


def _readers(nodes: list[Node], output: str) -> Counter[str]:
    return Counter([name for node in nodes for name in node.inputs] + [output])


def _raised(nodes: list[Node], shapes: Shapes, tensors: Tensors) -> list[Node]:
    """Nodes that compute (C) are made to compute (C, 1, 1) where that is wanted: a linear layer as a convolution."""
    wanted: set[str] = set()
    for node in reversed(nodes):
        if node.op == RAISED:
            wanted.add(node.inputs[0])
        elif node.name in wanted and node.op not in ("linear", "flatten"):
            if len(shapes[node.name]) != 1 or node.op == "global_avg_pool":
                raise ValueError(f"{node.op} {node.name!r} gives (C), wanted (C, 1, 1)")
            wanted.update(node.inputs)
        elif node.name in wanted and node.op == "linear":
            wanted.update(node.inputs)
    if not wanted:
        return nodes
    same: dict[str, str] = {}  # the name of a value (C, 1, 1) by that of its (C)
    found: list[Node] = []
    lowered: set[str] = set()

    def low(name: str) -> str:
        """The name of the (C) of a value that is (C, 1, 1) now."""
        if name not in same:
            return name
        flat = f"{name}#flat"
        if flat not in lowered:
            lowered.add(flat)
            shapes[flat] = shapes[name]
            found.append(Node("flatten", flat, (same[name],)))
        return flat

    for node in nodes:
        if node.op == RAISED:
            same[node.name] = same[node.inputs[0]]
            shapes[node.name] = (*shapes[node.inputs[0]], 1, 1)
        elif node.name not in wanted:
            inputs = tuple(same[n] if n in same and len(shapes[n]) == 3 else low(n) for n in node.inputs)
            found.append(replace(node, inputs=inputs))
        elif node.op == "flatten":
            source = node.inputs[0]
            if shapes[source][1:] != (1, 1):
                raise ValueError(f"{node.name!r} flattens {shapes[source]}, which is (C, 1, 1) nowhere")
            same[node.name] = same.get(source, source)
        else:
            inputs = tuple(same[name] for name in node.inputs)
            found.append(replace(node, inputs=inputs) if node.op != "linear" else _as_conv(node, inputs, tensors))
            same[node.name] = node.name
    return found


def _as_conv(node: Node, inputs: tuple[str, ...], tensors: Tensors) -> Node:
    """A linear node as a convolution of 1x1; its weight (O, I) becomes (O, I, 1, 1)."""
    assert isinstance(node.weight, Parameter)
    name, shape = node.weight.name, (*node.weight.shape[:2], 1, 1)
    tensors[name] = tensors[name].reshape(shape)
    one = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    return Node("conv", node.name, inputs, one, weight=Parameter(name, shape), bias=node.bias)


def _global_means(nodes: list[Node], output: str, shapes: Shapes, tensors: Tensors) -> list[Node]:
    known, found = {node.name: node for node in nodes}, []
    for node in nodes:
        pool = known.get(node.inputs[0])
        if node.op == "flatten" and pool is not None and pool.op == "avg_pool":
            a = pool.attributes
            if a["kernel"] == shapes[pool.inputs[0]][1:] and not any(a["padding"]):
                node = Node("global_avg_pool", node.name, pool.inputs)
        found.append(node)
    return found


def _biases(nodes: list[Node], output: str, shapes: Shapes, tensors: Tensors) -> list[Node]:
    readers, known = _readers(nodes, output), {node.name: node for node in nodes}
    shared = Counter(p.name for node in nodes for p in node.parameters.values())
    same: dict[str, str] = {}
    changed: dict[str, Node] = {}
    for node in nodes:
        layer = known.get(node.inputs[0])
        if node.op != "scale_shift" or layer is None or layer.op not in ("conv", "linear") or layer.bias is not None:
            continue
        assert isinstance(node.scale, Parameter)
        assert isinstance(node.bias, Parameter)
        assert isinstance(layer.weight, Parameter)
        if readers[layer.name] > 1 or shared[layer.weight.name] > 1 or (tensors[node.scale.name] != 1).any():
            continue
        name = f"{layer.weight.name.removesuffix('.weight')}.bias"
        if name in tensors:
            continue
        tensors[name] = tensors[node.bias.name]
        changed[layer.name] = replace(layer, bias=Parameter(name, node.bias.shape))
        same[node.name] = layer.name
    if output in same:  # the last value keeps its name
        layer = changed.pop(same[output])
        return [replace(layer, name=output) if n.name == layer.name else _renamed(changed.get(n.name, n), same)
                for n in nodes if n.name not in same]  # fmt: skip
    return [_renamed(changed.get(node.name, node), same) for node in nodes if node.name not in same]


def _renamed(node: Node, same: dict[str, str]) -> Node:
    return replace(node, inputs=tuple(same.get(name, name) for name in node.inputs))


def _paddings(nodes: list[Node], output: str, shapes: Shapes, tensors: Tensors) -> list[Node]:
    known, found = {node.name: node for node in nodes}, []
    for node in nodes:
        pad = known.get(node.inputs[0])
        if node.op == "conv" and pad is not None and pad.op == "pad":
            before, after = pad.attributes["before"], pad.attributes["after"]
            if before == after and before[0] == 0:
                rows, columns = node.attributes["padding"]
                padding = (rows + before[1], columns + before[2])
                node = replace(node, inputs=pad.inputs, attributes={**node.attributes, "padding": padding})
        found.append(node)
    return found


def _adaptive_means(nodes: list[Node], output: str, shapes: Shapes, tensors: Tensors) -> list[Node]:
    """Means of rows, then of columns, as one."""
    readers, known, found = _readers(nodes, output), {node.name: node for node in nodes}, []
    for node in nodes:
        first = known.get(node.inputs[0])
        if node.op == "adaptive_avg_pool" and first is not None and first.op == node.op and readers[first.name] == 1:
            node = replace(node, inputs=first.inputs)
        found.append(node)
    return found
