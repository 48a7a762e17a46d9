"""The integers of a network on int8 activations from a network and the scales of its values, computed once, in float64.

docs/arithmetic.md has the formulas. Nothing that runs one computes them again: a file holds their results.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..graph.functions import FUNCTIONS
from ..graph.nodes import Node, Weight, required
from ..graph.shapes import Shape
from ..runtime.integer import IntegerNetwork, check_scales, has_clamp, largest_sums
from ..runtime.integer_constants import (
    CONSTANT_SHIFT,
    HIGH,
    LOW,
    AddScales,
    Clamp,
    Constants,
    Requantize,
    Tables,
    to_int8,
)
from ..runtime.integer_weights import STEPS, integer_weight, needs_weights
from ..runtime.packed import PackedNetwork
from ..runtime.steps import REQUANTIZED, SCALED, Step, int8_steps

EVERY_INT8 = np.arange(LOW, HIGH + 1, dtype=np.float64)


def scaled_values(network: PackedNetwork) -> list[str]:
    """Names of the values that have a scale of their own, in order: the input, then those of the ops in SCALED.
    ValueError for a network that no int8 activations run.
    """
    graph = network.graph
    return [graph.input, *(step.name for step in int8_steps(graph) if step.node.op in SCALED)]


def derive(
    network: PackedNetwork, scales: Mapping[str, float], calibration: Mapping[str, Any] | None = None
) -> IntegerNetwork:
    """`network` on int8 activations for the scales of its `scaled_values`: real number = scale * int8.

    calibration: how the scales were found, kept with it.
    Raises ValueError for a scale that is missing or not a float from 1e-28 to 1e28, and one that names the layer whose
    sums could leave 32 bits, or whose scales lie too far apart, or which runs on float activations only.
    """
    graph, shapes = network.graph, network.shapes
    check_scales(scales, scaled_values(network))
    of = dict(scales)  # of every value by name
    constants: dict[str, Constants] = {}
    weights: dict[str, np.ndarray] = {}
    units: dict[str, np.ndarray] = {}
    clamps: dict[str, Clamp] = {}
    for step in int8_steps(graph):
        node, name = step.node, step.name
        try:
            inputs = [of[i] for i in node.inputs]
            if has_clamp(step):
                clamps[name] = _clip(step, of[name])
            if node.op == "add":
                constants[name] = _add(*(scale / of[name] for scale in inputs))
            elif node.op in REQUANTIZED:
                if needs_weights(node):
                    weights[node.name] = _int8(node)
                unit, bias, sums = _sums(node, inputs, weights.get(node.name), shapes)
                lo = LOW if step.clamp is None else 0
                clamp = clamps.get(name, (lo, HIGH))
                requantize = constants[name] = _requantize(unit / of[name], bias / of[name], sums, clamp)
                units[name] = np.where(requantize.constant, of[name], unit)
            elif node.op in SCALED:
                constants[name] = _tables(node, inputs, of[name])
            else:
                of[name] = of[node.inputs[0]]
        except ValueError as error:
            raise ValueError(f"node {node.name!r} in int8: {error}") from None
    factor = np.broadcast_to(units.get(graph.output, of[graph.output]), shapes[graph.output])
    return IntegerNetwork(
        graph,
        scales,
        input_table(network, of[graph.input]),
        constants,
        weights,
        factor.astype(np.float32),
        calibration or {},
        clamps,
    )


def input_table(network: PackedNetwork, scale: float) -> np.ndarray:
    """int8 (C, 256): what a uint8 of each channel becomes, clamp(floor((v / 255 - mean) / std / scale + 1/2))."""
    return to_int8(network.metadata.normalization.table(np.float64), scale)


def _clip(step: Step, scale: float) -> Clamp:
    """The ends of a clip in steps of its value."""
    ends = required(step.clamp).attributes
    lo, hi = to_int8(np.array([ends["low"], ends["high"]]), scale).tolist()
    return lo, hi


def _tables(node: Node, inputs: list[float], scale: float) -> Tables:
    """What every int8 becomes: a function of it; as it is, for each operand of a concat."""
    if node.op == "concat":
        return Tables(np.stack([to_int8(own * EVERY_INT8, scale) for own in inputs]))
    x = inputs[0] * EVERY_INT8
    if node.slope is not None:
        x = np.repeat(x[None, None], len(required(node.slope)), 1)  # (1, C, 256)
    return Tables(to_int8(FUNCTIONS[node.op](x, node), scale).reshape(-1, len(EVERY_INT8)))


def _sums(
    node: Node, inputs: list[float], int8: np.ndarray | None, shapes: Mapping[str, Shape]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(what 1 in a sum is worth, bias, sum |w|), each float64 or int64 (O), or of every count of an average; inputs:
    the scales of the operands.
    """
    scale = inputs[0]
    if node.scale is None:
        sums = largest_sums(node, None, shapes)
        unit = np.array([scale * inputs[1]]) if node.op == "mul" else scale / sums
        return unit, np.zeros(len(sums)), sums
    factor, bias = np.abs(required(node.scale).astype(np.float64)), required(node.bias).astype(np.float64)
    sums = integer_weight(node, int8).absolute_sums()
    if node.op == "scale_shift":
        return scale * factor / STEPS, bias, sums
    weight = required(node.weight)
    alpha = _row_scale(weight) if int8 is not None else required(weight.alpha).astype(np.float64)
    return scale * alpha * factor, bias, sums


def _row_scale(weight: Weight) -> np.ndarray:
    """What 1 of an int8 weight is worth, float64 (O): max |w_o| / 127."""
    largest: np.ndarray = np.abs(weight.data.astype(np.float64)).reshape(len(weight.data), -1).max(1)
    return largest / HIGH


def _int8(node: Node) -> np.ndarray:
    """A float weight as int8 in its shape, -127 to 127, one scale a channel; negated where the node's scale is."""
    weight = required(node.weight)
    column = (-1, *(1,) * (len(weight.shape) - 1))
    step = _row_scale(weight)
    sign = np.where(required(node.scale) < 0, -1.0, 1.0)
    per_step = np.divide(sign, step, out=np.zeros_like(step), where=step > 0)
    steps: np.ndarray = np.floor(weight.data * per_step.reshape(column) + 0.5)
    return steps.clip(-HIGH, HIGH).astype(np.int8)


def _mantissa(m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(q, e) with m close to q 2^(e - 31), q rounded to 2^30 .. 2^31 - 1; for m > 0."""
    f, e = np.frexp(m)
    q = np.floor(f * 2.0**31 + 0.5).astype(np.int64)
    full = q == 1 << 31
    return np.where(full, 1 << 30, q), e + full


def _requantize(m: np.ndarray, bias: np.ndarray, sums: np.ndarray, clamp: Clamp) -> Requantize:
    """The integers for y = m sum + bias, m and bias in steps of y, |sum| <= 128 `sums`."""
    positive = m > 0
    safe = np.where(positive, m, 1.0)
    q, e = _mantissa(safe)
    l = max(0, 2 + int(e[positive].max(initial=-2)))
    s = 31 + l - e
    room = ((1 << 31) - 1 >> l) - 128 * sums  # what |b| may be
    if (room < 0).any():
        raise ValueError(f"sums of up to {128 * sums.max()}, shifted by l = {l}, do not fit 32 bits")
    b = np.floor(bias / safe + 0.5)
    constant = ~positive | (s > 62) | (np.abs(b) > room)
    value = np.floor(bias + 0.5).clip(*clamp)
    if (constant & (np.abs(value) > room)).any():
        raise ValueError(f"there is no room for a constant beside sums of up to {128 * sums.max()}")
    return Requantize(
        l,
        np.where(constant, value, b).astype(np.int32),
        np.where(constant, 0, q).astype(np.int32),
        np.where(constant, CONSTANT_SHIFT, s).astype(np.uint8),
    )


def _add(m1: float, m2: float) -> AddScales:
    """The integers for y = m1 x1 + m2 x2."""
    larger = max(m1, m2)
    s = 22 - int(np.frexp(larger)[1])

    def rounded(s: int) -> tuple[int, int]:
        q1, q2 = (int(np.floor(np.ldexp(m, s) + 0.5)) for m in (m1, m2))
        return q1, q2

    if max(rounded(s)) >= 1 << 22:
        s -= 1
    if not 1 <= s <= 31:
        raise ValueError(f"its operands' scales are {m1:.3g} and {m2:.3g} times its own, wanted 2^-10 to 2^20")
    return AddScales(*rounded(s), s)
