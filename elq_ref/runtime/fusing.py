"""Which nodes of a graph run in one go: what a convolution's tail takes in, and what need not be done.

| nodes                                   | fused node                                                       |
|-----------------------------------------|------------------------------------------------------------------|
| op, relu                                | op, clamped at 0 (runtime.steps)                              |
| conv or linear, add [, relu]            | the layer at the add's place, adding the other operand [clamped] |
| flatten, linear                         | linear on the unflattened value, its columns in another order    |

Each only where nobody else reads the value between. No fusion changes a bit of what is computed. What the output does
not need is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from ..graph.nodes import Graph, Node
from ..graph.shapes import Shape
from .integer import IntegerNetwork, IntegerNode
from .steps import steps

N = TypeVar("N", Node, IntegerNode)


@dataclass(frozen=True, eq=False)
class FusedNode(Generic[N]):
    """The value `name` = `node` of `inputs`, and what happens in the same go.

    relu: float values are clamped at 0 (int8 ones at the node's own lo). add, residual: the addition of that value
    before the clamp. flattened: (C, H, W) of the operand of a linear node, which wants it flattened in this order.
    """

    node: N
    name: str
    inputs: tuple[str, ...]
    relu: bool = False
    add: N | None = None
    residual: str | None = None
    flattened: Shape | None = None

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of all values that it reads."""
        return self.inputs if self.residual is None else (*self.inputs, self.residual)


def fuse_float(graph: Graph, shapes: Mapping[str, Shape]) -> list[FusedNode[Node]]:
    """What computes `graph` with float activations, in order."""
    nodes = [FusedNode(step.node, step.name, step.node.inputs, relu=step.clamp is not None) for step in steps(graph)]
    return _fused(nodes, graph.output, shapes)


def fuse_int8(network: IntegerNetwork, shapes: Mapping[str, Shape]) -> list[FusedNode[IntegerNode]]:
    """What computes `network` with int8 activations, in order."""
    nodes = [FusedNode(node, node.name, node.inputs) for node in network.nodes]
    return _fused(nodes, network.graph.output, shapes)


def _fused(nodes: list[FusedNode[N]], output: str, shapes: Mapping[str, Shape]) -> list[FusedNode[N]]:
    return _into_tails(_through_flatten(_needed(nodes, output), output, shapes), output)


def _needed(nodes: list[FusedNode[N]], output: str) -> list[FusedNode[N]]:
    """The nodes that the output depends on; the last one computes it."""
    wanted, result = {output}, []
    for node in reversed(nodes):
        if node.name in wanted:
            wanted.update(node.reads)
            result.append(node)
    return result[::-1]


def _readers(nodes: list[FusedNode[N]], output: str) -> Counter[str]:
    """How often each value is read; being the output counts."""
    return Counter([name for node in nodes for name in node.reads] + [output])


def _through_flatten(nodes: list[FusedNode[N]], output: str, shapes: Mapping[str, Shape]) -> list[FusedNode[N]]:
    """Every linear node behind a flatten reads what the flatten reads."""
    flat = {fused.name: fused.inputs[0] for fused in nodes if fused.node.op == "flatten"}
    result = []
    for fused in nodes:
        source = flat.get(fused.inputs[0])
        if fused.node.op == "linear" and source is not None:
            fused = replace(fused, inputs=(source,), flattened=shapes[source])
        result.append(fused)
    readers = _readers(result, output)
    return [fused for fused in result if fused.node.op != "flatten" or readers[fused.name]]


def _into_tails(nodes: list[FusedNode[N]], output: str) -> list[FusedNode[N]]:
    """Every add goes into the tail of the later one of its operands that is a layer which nobody else reads."""
    readers = _readers(nodes, output)
    place = {fused.name: position for position, fused in enumerate(nodes)}
    result: list[FusedNode[N] | None] = list(nodes)
    for position, fused in enumerate(nodes):
        if fused.node.op != "add":
            continue
        a, b = fused.inputs
        for name, other in sorted([(a, b), (b, a)], key=lambda pair: place.get(pair[0], -1), reverse=True):
            layer = result[place[name]] if name in place else None
            if layer is None or layer.node.op not in ("conv", "linear") or readers[name] > 1:
                continue
            if layer.add is None and not layer.relu:
                result[place[name]] = None
                result[position] = replace(layer, name=fused.name, relu=fused.relu, add=fused.node, residual=other)
                break
    return [fused for fused in result if fused is not None]
