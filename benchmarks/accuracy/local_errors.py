"""What the roundings of one program in float32 do to the value of one node, a priori, in units of u = 2^-24.

Only the node and what it reads are looked at; how far an error gets is none of its business (rounding_bound.py). Every
figure is the square root of a sum of squares of bounds: of parts that are independent, have mean 0 and are no larger
than that. docs/onnx.md derives them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from elq_ref.graph import Graph, Node
from elq_ref.graph.folding import folded
from elq_ref.graph.nodes import required
from elq_ref.graph.windows import AVERAGES, counts
from elq_ref.runtime.interpreter import run_node

Array = np.ndarray
TAIL = 5  # a bias, the products with scale and alpha, what BatchNorm adds: roundings behind a sum
SCALE, SHIFT = 3.0, 4.0  # of the two constants a channel that are made of BatchNorm's
# Approximations: no error of onnxruntime's or of ours is larger, as a test measures.
FUNCTIONS: dict[str, Callable[[Array, Array], Array]] = {
    "sigmoid": lambda x, y: np.full_like(x, 3),
    "tanh": lambda x, y: 6 * np.abs(y),
    "hard_sigmoid": lambda x, y: np.where(np.abs(x) < 3.01, np.abs(x) / 2 + 1.5, 0),
    "hard_swish": lambda x, y: np.where(x > -3.01, np.abs(x) * np.minimum(np.abs(x) + 3, 6) / 2, 0),
    "silu": lambda x, y: 4 * np.abs(x),
    "elu": lambda x, y: np.where(x < 0, 3, 0),
    "gelu": lambda x, y: 4 * np.abs(x),
    "gelu_tanh": lambda x, y: 8 * np.abs(x),
}
EXACT = ("relu", "clip", "max_pool", "concat", "slice", "shuffle", "subsample", "pad", "flatten")
ROUNDED = ("add", "mul", "leaky_relu", "prelu")  # once


@dataclass
class Errors:
    """own: independent for every element, (1, C, ...). shared: (1, C, 1...) or (1, C, ...), one sign for a channel.

    weights: whether each weight is rounded besides; its sign is one for all pixels.
    """

    own: Array | None = None
    shared: list[Array] = field(default_factory=list)
    weights: bool = False


def magnitudes(graph: Graph, tensors: Mapping[str, Array]) -> Graph:
    """The packed graph of a trainable one's magnitudes: its sums are those of the magnitudes of all terms.

    A bias becomes (|b| + |mean|) |scale| + |beta|, before anything cancels.
    """
    roles = {p.name: role for node in graph.nodes for role, p in node.parameters.items()}
    signs = {"mean": -1, "var": 1}
    return folded(graph, {name: signs.get(role, 1) * np.abs(tensors[name]) for name, role in roles.items()})


def made_of_others(node: Node) -> bool:
    """Whether a layer's constants are made of BatchNorm's, or of several of a file: not those of the file."""
    return node.op == "scale_shift" or bool((required(node.scale) != 1).any())


def products(node: Node) -> int:
    """K of a sum of K products."""
    return 1 if node.weight is None else int(np.prod(node.weight.shape[1:]))


def errors(node: Node, magnitude: Node, operands: list[Array], y: Array) -> Errors:
    """Those of a program that adds up in any order. operands, y: exact; magnitude: the node of `magnitudes`."""
    if node.op in EXACT:
        return Errors()
    if node.op in ROUNDED:
        return Errors(np.abs(y))
    if node.op in FUNCTIONS:
        return Errors(shared=[FUNCTIONS[node.op](operands[0], y)])
    if node.weight is None and node.op not in (*AVERAGES, "scale_shift"):
        raise ValueError(f"no local error is known of {node.op}")
    terms = run_node(magnitude, *map(np.abs, operands))
    partial = (terms + np.abs(y)) / 2  # no sum of some of the terms is larger
    if node.op in AVERAGES:
        count = counts(node, operands[0].shape[1:]).max()
        return Errors(
            np.sqrt(count + TAIL) * partial, [np.sqrt(2) * np.abs(y)]
        )  # twice a constant: 1 / rows, 1 / columns
    own = np.sqrt(products(node) + TAIL) * partial
    if not made_of_others(node):
        return Errors(own)
    bias, size = (per_channel(of.bias, y) for of in (node, magnitude))
    return Errors(own, [SCALE * np.abs(y - bias), SHIFT * size], weights=True)


def per_channel(values: Any, y: Array) -> Array:
    return np.asarray(values, y.dtype).reshape(1, -1, *(1,) * (y.ndim - 2))
