"""How far two programs in float32 may be apart in a network's logits: docs/onnx.md, "The bound".

The local errors of every node (local_errors.py, winograd_errors.py) are added with random signs to a pass in float64,
which carries them to the logits as the network does. Their standard deviation there, times what a sum of bounded
independent parts exceeds with a probability that is chosen, is the bound.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from elq_ref.graph import Graph, Node
from elq_ref.graph.folding import folded
from elq_ref.graph.nodes import Weight, required
from elq_ref.runtime.interpreter import run_node

from . import winograd_errors
from .local_errors import errors, magnitudes
from .winograd_errors import signs

Array = np.ndarray
U = 2.0**-24
DRAWS = 4  # a photograph
RISK = 1e-6  # that any of all logits is beyond its bound


def quantile(logits: int, risk: float = RISK) -> float:
    """t with 2 exp(-t^2 / 2) logits = risk: none of so many is beyond t standard deviations, but for that risk."""
    return math.sqrt(2 * math.log(2 * logits / risk))


def bound(one: float, other: float, logits: int) -> float:
    """Of the difference of two programs whose errors have these standard deviations."""
    return quantile(logits) * math.hypot(one, other)


@dataclass(frozen=True)
class Deviations:
    """Of one program: deviations of the logits, (photographs, draws, classes)."""

    values: Array

    @property
    def of_photographs(self) -> Array:
        """Root mean squares over draws and logits."""
        return np.sqrt(np.square(self.values).mean((1, 2)))

    @property
    def sigma(self) -> float:
        """The standard deviation of the worst logit on the worst photograph.

        Few draws say little of one logit on one photograph, so the two are taken apart: the largest root mean square
        of a logit, over draws and photographs, times how much larger the worst photograph's are than all.
        """
        logits = np.sqrt(np.square(self.values).mean((0, 1)))
        whole = math.sqrt(np.square(self.values).mean())
        return float(logits.max() * self.of_photographs.max() / whole) if whole else 0.0


def deviations(
    graph: Graph,
    tensors: Mapping[str, Array],
    photographs: Array,
    winograd: bool,
    draws: int = DRAWS,
    seed: int = 0,
    scale: float = 1.0,
) -> Deviations:
    """Of a program that computes a trainable graph, with BatchNorm folded or not, on photographs (N, C, H, W).

    winograd: whether it may use Winograd's algorithm. scale: of all local errors.
    """
    packed, sizes = folded(graph, tensors), magnitudes(graph, tensors)
    rng = np.random.default_rng(seed)
    found = []
    for x in photographs:
        values = {packed.input: np.repeat(x[None].astype(np.float64), draws + 1, 0)}
        last = {name: node.name for node in packed.nodes for name in node.inputs}
        for node, magnitude in zip(packed.nodes, sizes.nodes, strict=True):
            operands = [values[name] for name in node.inputs]
            y = run_node(node, *operands)
            noise = _drawn(node, magnitude, [v[:1].astype(np.float32) for v in operands], y[:1], winograd, rng, draws)
            if noise is not None:
                y[1:] += scale * U * noise
            values[node.name] = y
            for name in node.inputs:
                if last[name] == node.name:
                    values.pop(name, None)
        logits = values[packed.output]
        found.append(logits[1:] - logits[0])
    return Deviations(np.array(found))


def _drawn(
    node: Node,
    magnitude: Node,
    operands: list[Array],
    exact: Array,
    winograd: bool,
    rng: np.random.Generator,
    draws: int,
) -> Array | None:
    """Local errors of a node's value, (draws, C, ...) in units of u; None of an exact one."""
    y = exact.astype(np.float32)
    local = errors(node, magnitude, operands, y)
    if local.own is None and not local.shared:
        return None
    noise = np.zeros((draws, *y.shape[1:]), np.float32)
    if local.own is not None:
        noise += signs(rng, noise.shape) * local.own
    for part in local.shared:
        noise += signs(rng, (*noise.shape[:2], *(1,) * (noise.ndim - 2))) * part
    if winograd and winograd_errors.possible(node, y):  # besides: the layer may be computed either way
        w, factor = required(node.weight).values(), required(node.scale)[:, None, None]
        parts = winograd_errors.drawn(operands[0], w, node.attributes["padding"], rng, draws)
        noise += np.stack([factor * part for part in parts])
    if local.weights and node.weight is not None:
        for draw in noise:
            draw += run_node(_flipped(node, rng), *operands)[0]
    return noise


def _flipped(node: Node, rng: np.random.Generator) -> Node:
    """The layer without its bias, every weight with a sign of its own."""
    w = required(node.weight).values()
    weight = Weight("float", w.shape, w * signs(rng, w.shape))
    return replace(node, weight=weight, bias=np.zeros_like(required(node.bias)))
