"""A trainable graph as plain JSON values, and back: what a checkpoint says of its network beside the tensors.

{"input": name, "shape": [C, H, W], "tensors": {name: shape, ...}, "nodes": [...], "output": name}. A node is an object
as in a packed file, its arrays names of tensors under their roles. The order of `tensors` is that of the state dict.
"""

from __future__ import annotations

from typing import Any

from ..errors import FormatError
from .json import from_entry, op_of, to_entry
from .nodes import Graph, Node, Parameter
from .reading import integers, items, members
from .shapes import MAX_NODES, OPS, infer_shapes

MAX_TENSORS = 4 * MAX_NODES
_TOP = ("input", "shape", "tensors", "nodes", "output")


def module_of(node: Node) -> str | None:
    """The name of the module whose tensors a node reads, as PyTorch names them: of "conv1.weight" it is "conv1".

    A weight, a scale and a slope are called NAME.weight, the others NAME.bias, NAME.running_mean, NAME.running_var.
    None where one is called otherwise, or where there is none.
    """
    usual = {"bias": "bias", "mean": "running_mean", "var": "running_var"}
    ends = {p.name: f".{usual.get(role, 'weight')}" for role, p in node.parameters.items()}
    names = {name.removesuffix(end) if name.endswith(end) else None for name, end in ends.items()}
    return names.pop() if len(names) == 1 else None


def graph_to_json(graph: Graph) -> dict[str, Any]:
    """Plain values of a trainable graph."""
    return {
        "input": graph.input,
        "shape": list(graph.input_shape),
        "tensors": {name: list(parameter.shape) for name, parameter in graph.parameters.items()},
        "nodes": [to_entry(n) | {role: p.name for role, p in n.parameters.items()} for n in graph.nodes],
        "output": graph.output,
    }


def graph_from_json(value: Any) -> Graph:
    """The graph of plain values that nobody trusts, checked as `infer_shapes` does; ValueError (FormatError or one of
    the parts') says in one line what is wrong."""
    top = members("the graph", value, _TOP)
    shape = integers("the graph's input shape", top["shape"])
    if len(shape) != 3:
        raise FormatError(f"the graph's input shape is {shape}, wanted (C, H, W)")
    tensors = top["tensors"]
    if not isinstance(tensors, dict) or len(tensors) > MAX_TENSORS:
        raise FormatError(f"the graph's tensors are {str(tensors)[:40]}, wanted an object of at most {MAX_TENSORS}")
    known = {name: Parameter(name, integers(f"shape of {name[:80]!r}", of)) for name, of in tensors.items()}
    nodes = tuple(_node(entry, known) for entry in items("the graph's nodes", top["nodes"], MAX_NODES))
    graph = Graph(top["input"], (shape[0], shape[1], shape[2]), nodes, top["output"], tuple(known))
    infer_shapes(graph)
    unread = known.keys() - graph.parameters.keys()
    if unread:
        raise FormatError(f"no node reads the tensor {min(unread)[:80]!r}")
    return graph


def _node(entry: Any, known: dict[str, Parameter]) -> Node:
    op = op_of(entry, OPS)
    roles = tuple(role for role in OPS[op].trainable if role in entry or role not in OPS[op].optional)
    name, inputs, attributes = from_entry(entry, roles)
    for role in roles:
        if not isinstance(entry[role], str) or entry[role] not in known:
            raise FormatError(f"{role} of {name!r} is {str(entry[role])[:80]}, wanted the name of a tensor")
    return Node(op, name, inputs, attributes, **{role: known[entry[role]] for role in roles})
