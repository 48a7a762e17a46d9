"""What runs of a graph, on float and on int8 activations: a relu or clip may go into the clamp of the node before it.

Which values have a scale of their own on int8 activations follows.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from ..graph.functions import FUNCTIONS
from ..graph.nodes import Graph, Node
from ..graph.windows import AVERAGES

REQUANTIZED = ("conv", "linear", "scale_shift", *AVERAGES, "mul")  # a sum or product becomes int8 (Requantize)
CLAMPED = (*REQUANTIZED, "add")  # the ops that end in a clamp
TABLED = (*(op for op in FUNCTIONS if op != "relu"), "concat")  # an int8 is looked up
SCALED = (*CLAMPED, *TABLED)  # the ops whose value has a scale of its own
FLOAT_ONLY = ("lrn",)


class Step(NamedTuple):
    """A node that runs, and the relu or clip behind it that went into its clamp, whose name the value then bears."""

    node: Node
    clamp: Node | None = None

    @property
    def name(self) -> str:
        """Of the value."""
        return (self.clamp or self.node).name


def steps(graph: Graph) -> list[Step]:
    """The nodes that run, in order. A relu or clip goes into the clamp of a node that it alone reads; not a clip that
    is the output, whose sums have no end of the clamp.
    """
    readers = Counter([graph.output, *(name for node in graph.nodes for name in node.inputs)])
    known = {node.name: node for node in graph.nodes}
    clamps: dict[str, Node] = {}
    for node in graph.nodes:
        before = known.get(node.inputs[0])
        ends = node.op == "relu" or (node.op == "clip" and node.name != graph.output)
        if ends and before is not None and before.op in CLAMPED and readers[before.name] == 1:
            clamps[before.name] = node
    gone = {node.name for node in clamps.values()}
    return [Step(node, clamps.get(node.name)) for node in graph.nodes if node.name not in gone]


def int8_steps(graph: Graph) -> list[Step]:
    """`steps`; ValueError that names a node which runs on float activations only."""
    for node in graph.nodes:
        if node.op in FLOAT_ONLY:
            raise ValueError(f"node {node.name!r}: {node.op} runs on float activations only, int8 has no such op")
    return steps(graph)
