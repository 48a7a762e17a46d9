"""The definition of int8 inference, in NumPy: what every kernel must equal, to the last bit. docs/arithmetic.md
explains it. Plain, not fast.

Sums are exact: they are integers of at most 128 sum |w| < 2^31, taken in float32 or float64, which hold all integers
to 2^24 and 2^53 (so that no order of addition rounds), because that is what NumPy multiplies matrices fast in.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..graph.codes import from_rows
from ..graph.nodes import required
from . import interpreter
from .integer import HIGH, REQUANTIZED, IntegerNetwork, IntegerNode

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Outputs:
    """What an IntegerNetwork computes for N pictures.

    values: int8 (N, C, H, W) or (N, C) by name. raw int32 (N, classes): sum + b of the output node, its constant in a
    constant channel, at least 0 behind a ReLU; where it has no sum, its int8. logits float32 (N, classes):
    factor * raw, the float64 product rounded once. The answer is the class of the largest raw if all factors are
    alike, else of the largest logit; the first of equal ones.
    """

    values: dict[str, Array]
    raw: Array
    logits: Array


def interpret_int8(network: IntegerNetwork, x: Array) -> Outputs:
    """Run `network` on pictures x uint8 (N, C, H, W), or on int8: the input's value itself."""
    if x.shape[1:] != network.graph.input_shape or x.dtype not in (np.uint8, np.int8):
        shape = ", ".join(map(str, network.graph.input_shape))
        raise ValueError(f"the input is {x.dtype} {x.shape}, wanted uint8 or int8 (N, {shape})")
    if x.dtype == np.uint8:
        x = network.table[np.arange(x.shape[1])[:, None, None], x]
    values = {network.graph.input: x}
    raw = None
    for node in network.nodes:
        operands = [values[name] for name in node.inputs]
        if node.op in REQUANTIZED:
            sums = accumulate(node, *operands)
            values[node.name] = requantize(node, sums)
            if node.name == network.graph.output:
                raw = np.maximum(sums, 0) if node.lo == 0 else sums
        elif node.op == "add":
            values[node.name] = _add(node, *operands)
        else:  # moves values or chooses among them, as in the float graph
            values[node.name] = interpreter.run_node(node, *operands)
    raw = (values[network.graph.output] if raw is None else raw).astype(np.int32)
    return Outputs(values, raw, (raw * network.factor.astype(np.float64)).astype(np.float32))


def accumulate(node: IntegerNode, x: Array) -> Array:
    """sum + b of a node with a requantization, int64 (N, O, P, Q) or (N, O); in a constant channel its value."""
    r = required(node.requantize)
    most = 128 * (1 if node.weight is None else int(node.weight.absolute_sums().max()))
    sums: Array = _SUMS[node.op](node, x.astype(np.float32 if most <= 1 << 24 else np.float64)).astype(np.int64)
    total: Array = np.where(_column(r.constant, sums), 0, sums) + _column(r.b.astype(np.int64), sums)
    return total


def requantize(node: IntegerNode, sums: Array) -> Array:
    """int8 from sum + b: clamp(((sums << l) * q + 2^(s - 1)) >> s, lo, hi), or sums itself in a constant channel."""
    r = required(node.requantize)
    q, s = (_column(v.astype(np.int64), sums) for v in (r.q, r.s))
    y = ((sums << r.l) * q + (1 << s - 1)) >> s
    return np.where(_column(r.constant, sums), sums, y).clip(node.lo, HIGH).astype(np.int8)


def _column(values: Array, like: Array) -> Array:
    """(O) or (1) values that broadcast over (N, O, ...)."""
    return values.reshape(-1, *(1,) * (like.ndim - 2))


def _weight(node: IntegerNode, dtype: Any) -> Array:
    weight = required(node.weight)
    return from_rows(weight.rows(), weight.shape).astype(dtype)


def _conv(node: IntegerNode, x: Array) -> Array:
    return interpreter.convolve(_weight(node, x.dtype), node.attributes, x)


def _linear(node: IntegerNode, x: Array) -> Array:
    y: Array = x @ _weight(node, x.dtype).T
    return y


def _avg_pool(node: IntegerNode, x: Array) -> Array:
    return functools.reduce(np.add, interpreter.places(node.attributes, x.astype(np.int64)))


def _add(node: IntegerNode, a: Array, b: Array) -> Array:
    add = required(node.add)
    total: Array = a.astype(np.int64) * add.q1 + b.astype(np.int64) * add.q2
    return ((total + (1 << add.s - 1)) >> add.s).clip(node.lo, HIGH).astype(np.int8)


_SUMS: dict[str, Callable[..., Array]] = {
    "conv": _conv,
    "linear": _linear,
    "scale_shift": lambda node, x: x * _column(node.weight.data, x),
    "avg_pool": _avg_pool,
    "global_avg_pool": lambda node, x: x.sum((2, 3), dtype=np.int64),
}
