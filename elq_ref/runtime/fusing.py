"""From the nodes of a graph to the steps that run: what a convolution's tail takes in, and what need not be done.

| nodes                                   | step                                                             |
|-----------------------------------------|------------------------------------------------------------------|
| op, relu                                | op, clamped at 0 (runtime.integer.fuse)                          |
| conv or linear, add [, relu]            | the layer at the add's place, adding the other operand [clamped] |
| flatten, linear                         | linear on the unflattened value, its columns in another order    |

Each only where nobody else reads the value between. No fusion changes a bit of what is computed. What the output does
not need is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..graph.nodes import Graph, Node
from .integer import IntegerNetwork, IntegerNode, fuse

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Step:
    """The value `name` = `node` of `inputs`, and what happens in the same go.

    relu: float values are clamped at 0 (int8 ones at the node's own lo). add, residual: the addition of that value
    before the clamp. flattened: (C, H, W) of the operand of a linear node, which wants it flattened in this order.
    """

    node: Node | IntegerNode
    name: str
    inputs: tuple[str, ...]
    relu: bool = False
    add: Node | IntegerNode | None = None
    residual: str | None = None
    flattened: Shape | None = None

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of all values that it reads."""
        return self.inputs if self.residual is None else (*self.inputs, self.residual)


def float_steps(graph: Graph, shapes: Mapping[str, Shape]) -> list[Step]:
    """The steps that compute `graph` with float activations."""
    steps = [Step(node, name, node.inputs, relu=name != node.name) for node, name in fuse(graph)]
    return _fused(steps, graph.output, shapes)


def int8_steps(program: IntegerNetwork, shapes: Mapping[str, Shape]) -> list[Step]:
    """The steps that compute `program` with int8 activations."""
    steps = [Step(node, node.name, node.inputs) for node in program.nodes]
    return _fused(steps, program.graph.output, shapes)


def _fused(steps: list[Step], output: str, shapes: Mapping[str, Shape]) -> list[Step]:
    return _into_tails(_through_flatten(_needed(steps, output), output, shapes), output)


def _needed(steps: list[Step], output: str) -> list[Step]:
    """The steps that the output depends on; the last one computes it."""
    wanted, result = {output}, []
    for step in reversed(steps):
        if step.name in wanted:
            wanted.update(step.reads)
            result.append(step)
    return result[::-1]


def _readers(steps: list[Step], output: str) -> Counter[str]:
    """How often each value is read; being the output counts."""
    return Counter([name for step in steps for name in step.reads] + [output])


def _through_flatten(steps: list[Step], output: str, shapes: Mapping[str, Shape]) -> list[Step]:
    """Every linear step behind a flatten reads what the flatten reads."""
    flat = {step.name: step.inputs[0] for step in steps if step.node.op == "flatten"}
    result = []
    for step in steps:
        source = flat.get(step.inputs[0])
        if step.node.op == "linear" and source is not None:
            step = replace(step, inputs=(source,), flattened=shapes[source])
        result.append(step)
    readers = _readers(result, output)
    return [step for step in result if step.node.op != "flatten" or readers[step.name]]


def _into_tails(steps: list[Step], output: str) -> list[Step]:
    """Every add goes into the tail of the later one of its operands that is a layer which nobody else reads."""
    readers = _readers(steps, output)
    place = {step.name: position for position, step in enumerate(steps)}
    result: list[Step | None] = list(steps)
    for position, step in enumerate(steps):
        if step.node.op != "add":
            continue
        a, b = step.inputs
        for name, other in sorted([(a, b), (b, a)], key=lambda pair: place.get(pair[0], -1), reverse=True):
            layer = result[place[name]] if name in place else None
            if layer is None or layer.node.op not in ("conv", "linear") or readers[name] > 1:
                continue
            if layer.add is None and not layer.relu:
                result[place[name]] = None
                result[position] = replace(layer, name=step.name, relu=step.relu, add=step.node, residual=other)
                break
    return [step for step in result if step is not None]
