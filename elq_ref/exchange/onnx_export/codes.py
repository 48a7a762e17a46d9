"""Codes as ONNX's integers: of 2, 4 or 8 bits, by what an opset has. Little-endian: element 0 in the lowest bits."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ...graph.nodes import Weight


class Integer(NamedTuple):
    """A type of onnx.TensorProto, the bits of an element, the first opset whose DequantizeLinear reads it."""

    name: str
    bits: int
    opset: int


INTEGERS = (Integer("INT2", 2, 25), Integer("INT4", 4, 21), Integer("INT8", 8, 13))


def integer_type(opset: int) -> Integer:
    """The smallest integers that an opset, 13 or later, has."""
    return next(kind for kind in INTEGERS if kind.opset <= opset)


def packed(codes: np.ndarray, bits: int) -> bytes:
    """int8 codes in their memory order, `bits` each; what is left of the last byte is 0."""
    each = 8 // bits
    fields = codes.ravel().view(np.uint8) & np.uint8((1 << bits) - 1)
    fields = np.concatenate([fields, np.zeros(-fields.size % each, np.uint8)]).reshape(-1, each)
    shifts = np.arange(each, dtype=np.uint8) * bits
    joined: np.ndarray = np.bitwise_or.reduce(fields << shifts, axis=1).astype(np.uint8)
    return joined.tobytes()


def code_bytes(weights: Iterable[Weight], opset: int) -> int:
    """Bytes of `weights`: of codes in the integers of `opset`, of the others in float32."""
    bits = integer_type(opset).bits
    return sum(-(-math.prod(w.shape) * (32 if w.alpha is None else bits) // 8) for w in weights)
