"""The definition of int8 inference, in NumPy: what every kernel must equal, to the last bit. docs/arithmetic.md
explains it. Plain, not fast.

Sums are exact: they are integers of at most 128 sum |w| < 2^31, taken in int64; those of layers in float32 or float64,
which hold all integers to 2^24 and 2^53 (so that no order of addition rounds), because that is what NumPy multiplies
matrices fast in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..graph.codes import from_rows
from ..graph.nodes import required
from . import interpreter
from .integer import IntegerNetwork, IntegerNode
from .integer_constants import LOW
from .steps import REQUANTIZED, TABLED

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
        elif node.op in TABLED:
            values[node.name] = look_up(node, *operands)
        else:  # moves values or chooses among them, as in the float graph
            values[node.name] = interpreter.run_node(node, *operands)
    raw = (values[network.graph.output] if raw is None else raw).astype(np.int32)
    return Outputs(values, raw, (raw * network.factor.astype(np.float64)).astype(np.float32))


def accumulate(node: IntegerNode, *operands: Array) -> Array:
    """sum + b of a node with a requantization, int64 (N, O, P, Q) or (N, O); in a constant channel its value."""
    r = required(node.requantize)
    sums: Array = _SUMS[node.op](node, *operands).astype(np.int64)
    total: Array = np.where(_spread(r.constant, node, sums), 0, sums) + _spread(r.b.astype(np.int64), node, sums)
    return total


def requantize(node: IntegerNode, sums: Array) -> Array:
    """int8 from sum + b: clamp(((sums << l) * q + 2^(s - 1)) >> s, lo, hi), or sums itself in a constant channel."""
    r = required(node.requantize)
    q, s = (_spread(v.astype(np.int64), node, sums) for v in (r.q, r.s))
    y = ((sums << r.l) * q + (1 << s - 1)) >> s
    return np.where(_spread(r.constant, node, sums), sums, y).clip(node.lo, node.hi).astype(np.int8)


def look_up(node: IntegerNode, *operands: Array) -> Array:
    """int8 from the tables: of a function, of which each channel may have its own; of a concat, one an operand."""
    tables = required(node.tables)
    if node.op == "concat":
        parts = [table[x.astype(np.intp) - LOW] for table, x in zip(tables, operands, strict=True)]
        return np.concatenate(parts, 1)
    (x,) = operands
    channels = np.arange(len(tables)).reshape(-1, *(1,) * (x.ndim - 2))
    y: Array = tables[channels, x.astype(np.intp) - LOW]
    return y


def _spread(values: Array, node: IntegerNode, like: Array) -> Array:
    """(O) or (1) values that broadcast over (N, O, ...); of an average of varying counts those of its pixels (P, Q)."""
    which = node.which
    spread: Array = values.reshape(-1, *(1,) * (like.ndim - 2)) if which is None else values[which]
    return spread


def _multiplicands(node: IntegerNode, x: Array) -> tuple[Array, Array]:
    """The weights and x, in the float type that holds every sum of their products."""
    weight = required(node.weight)
    dtype: Any = np.float32 if 128 * int(weight.absolute_sums().max()) <= 1 << 24 else np.float64
    return from_rows(weight.rows(), weight.shape).astype(dtype), x.astype(dtype)


def _conv(node: IntegerNode, x: Array) -> Array:
    w, x = _multiplicands(node, x)
    return interpreter.convolve(w, node.attributes, x)


def _linear(node: IntegerNode, x: Array) -> Array:
    w, x = _multiplicands(node, x)
    y: Array = x @ w.T
    return y


def _scale_shift(node: IntegerNode, x: Array) -> Array:
    w = required(node.weight).data.astype(np.int64)
    y: Array = x * w.reshape(-1, *(1,) * (x.ndim - 2))
    return y


def _average(node: IntegerNode, x: Array) -> Array:
    return interpreter.window_sums(node, x.astype(np.int64))


def _mul(node: IntegerNode, a: Array, b: Array) -> Array:
    y: Array = a.astype(np.int64) * b
    return y


def _add(node: IntegerNode, a: Array, b: Array) -> Array:
    add = required(node.add)
    total: Array = a.astype(np.int64) * add.q1 + b.astype(np.int64) * add.q2
    return ((total + (1 << add.s - 1)) >> add.s).clip(node.lo, node.hi).astype(np.int8)


_SUMS: dict[str, Callable[..., Array]] = {
    "conv": _conv,
    "linear": _linear,
    "scale_shift": _scale_shift,
    "avg_pool": _average,
    "adaptive_avg_pool": _average,
    "global_avg_pool": _average,
    "mul": _mul,
}
