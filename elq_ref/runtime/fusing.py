"""Which nodes of a graph run in one go: what a convolution's tail takes in, and what need not be done.

| nodes                                   | fused node                                                       |
|-----------------------------------------|------------------------------------------------------------------|
| op, relu or clip                        | op, clamped (runtime.steps)                                      |
| conv or linear, add [, relu or clip]    | the layer at the add's place, adding the other operand [clamped] |
| flatten, linear                         | linear on the unflattened value, its columns in another order    |
| pad of rows and columns, conv           | conv with a border that is wider at some sides                   |
| concat of N values                      | N parts of one value, each copied to its channels                |

The first two only where nobody else reads the value between. No fusion changes a bit of what is computed. What the
output does not need is left out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from ..graph.nodes import NO_BORDER, Graph, Node
from ..graph.shapes import Shape
from .integer import IntegerNetwork, IntegerNode
from .steps import Step, steps

N = TypeVar("N", Node, IntegerNode)


@dataclass(frozen=True, eq=False)
class FusedNode(Generic[N]):
    """The value `name` = `node` of `inputs`, and what happens in the same go.

    low, high: float values are clamped (int8 ones at the node's own lo and hi). add, residual: the addition of that
    value before the clamp. flattened: (C, H, W) of the operand of a linear node, which wants it flattened in this
    order. border: zeros around the operand of a conv beside its own padding: top, left, bottom, right.
    part: which operand of a concat, and the first channel of the value that it becomes.
    """

    node: N
    name: str
    inputs: tuple[str, ...]
    low: float = -math.inf
    high: float = math.inf
    add: N | None = None
    residual: str | None = None
    flattened: Shape | None = None
    border: tuple[int, ...] = NO_BORDER
    part: tuple[int, int] | None = None

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of all values that it reads."""
        return self.inputs if self.residual is None else (*self.inputs, self.residual)


def fuse_float(graph: Graph, shapes: Mapping[str, Shape]) -> list[FusedNode[Node]]:
    """What computes `graph` with float activations, in order."""
    nodes = [FusedNode(step.node, step.name, step.node.inputs, *_bounds(step)) for step in steps(graph)]
    return _fused(nodes, graph.output, shapes)


def _bounds(step: Step) -> tuple[float, float]:
    if step.clamp is None:
        return -math.inf, math.inf
    if step.clamp.op == "relu":
        return 0.0, math.inf
    return step.clamp.attributes["low"], step.clamp.attributes["high"]


def fuse_int8(network: IntegerNetwork, shapes: Mapping[str, Shape]) -> list[FusedNode[IntegerNode]]:
    """What computes `network` with int8 activations, in order."""
    nodes = [FusedNode(node, node.name, node.inputs) for node in network.nodes]
    return _fused(nodes, network.graph.output, shapes)


def _fused(nodes: list[FusedNode[N]], output: str, shapes: Mapping[str, Shape]) -> list[FusedNode[N]]:
    nodes = _through_pads(_through_flatten(_needed(nodes, output), output, shapes), output)
    return [part for fused in _into_tails(nodes, output, shapes) for part in _parts(fused, shapes)]


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


def _through_pads(nodes: list[FusedNode[N]], output: str) -> list[FusedNode[N]]:
    """Every conv behind a pad that adds no channels reads what the pad reads."""
    pads = {fused.name: fused for fused in nodes if fused.node.op == "pad" and not _sides(fused)[0]}
    result = []
    for fused in nodes:
        while fused.node.op == "conv" and fused.inputs[0] in pads:
            source = pads[fused.inputs[0]]
            border = tuple(a + b for a, b in zip(fused.border, _sides(source)[1], strict=True))
            fused = replace(fused, inputs=source.inputs, border=border)
        result.append(fused)
    return _needed(result, output)


def _sides(pad: FusedNode[N]) -> tuple[int, tuple[int, ...]]:
    """How many channels a pad adds, and what it adds at the top, left, bottom, right."""
    a: Mapping[str, Any] = pad.node.attributes
    return a["before"][0] + a["after"][0], (*a["before"][1:], *a["after"][1:])


def _into_tails(nodes: list[FusedNode[N]], output: str, shapes: Mapping[str, Shape]) -> list[FusedNode[N]]:
    """Every add of values of one shape goes into the tail of the later one of them that is a layer which nobody else
    reads.
    """
    readers = _readers(nodes, output)
    place = {fused.name: position for position, fused in enumerate(nodes)}
    result: list[FusedNode[N] | None] = list(nodes)
    for position, fused in enumerate(nodes):
        a, b = fused.inputs if fused.node.op == "add" else ("", "")
        if fused.node.op != "add" or shapes[a] != shapes[b]:
            continue
        for name, other in sorted([(a, b), (b, a)], key=lambda pair: place.get(pair[0], -1), reverse=True):
            layer = result[place[name]] if name in place else None
            if layer is None or layer.node.op not in ("conv", "linear") or readers[name] > 1:
                continue
            if layer.add is None and (layer.low, layer.high) == (-math.inf, math.inf):
                result[place[name]] = None
                result[position] = replace(
                    layer, name=fused.name, low=fused.low, high=fused.high, add=fused.node, residual=other
                )
                break
    return [fused for fused in result if fused is not None]


def _parts(fused: FusedNode[N], shapes: Mapping[str, Shape]) -> list[FusedNode[N]]:
    """A concat as a node for each of its operands."""
    if fused.node.op != "concat":
        return [fused]
    parts, first = [], 0
    for index, name in enumerate(fused.inputs):
        parts.append(replace(fused, inputs=(name,), part=(index, first)))
        first += shapes[name][0]
    return parts
