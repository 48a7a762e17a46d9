"""The integers that a node on int8 activations multiplies by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..graph.codes import flip_rows, nonzeros, row_bytes, row_length, to_rows, unpack_rows
from ..graph.nodes import Node, frozen_array, required
from .integer_constants import HIGH, LOW

STEPS = 64  # a scale_shift multiplies its operand by this or its negative, so that its bias has finer steps


@dataclass(frozen=True, eq=False)
class IntegerWeight:
    """The integers w that a conv (O, C/groups, KH, KW), linear (O, C) or scale_shift (C) multiplies by.

    levels "ternary", "binary": `data` uint8 (O, row_bytes) is packed as in graph.codes, the channels with a
    negative scale already flipped. levels "int8": `data` int8 in `shape`, -127 to 127.
    """

    levels: str
    shape: tuple[int, ...]
    data: np.ndarray

    def __post_init__(self) -> None:
        if self.levels == "int8":
            object.__setattr__(self, "data", frozen_array("int8 weight", self.data, np.int8, self.shape))
            if (self.data == LOW).any():
                raise ValueError(f"an int8 weight is {LOW}, wanted {-HIGH} to {HIGH}")
        else:
            length = row_length(self.shape)
            wanted = (self.shape[0], row_bytes(self.levels, length))
            object.__setattr__(self, "data", frozen_array("codes", self.data, np.uint8, wanted))

    def rows(self) -> np.ndarray:
        """w as int8 (O, K) in canonical order, K = KH * KW * C / groups."""
        if self.levels == "int8":
            return to_rows(self.data)
        return unpack_rows(self.data, self.levels, row_length(self.shape))

    def absolute_sums(self) -> np.ndarray:
        """sum |w| of each output channel, int64 (O)."""
        if self.levels == "int8":
            sums: np.ndarray = np.abs(self.data.astype(np.int64)).reshape(self.shape[0], -1).sum(1)
            return sums
        return nonzeros(self.data, self.levels, row_length(self.shape))


def needs_weights(node: Node) -> bool:
    """Whether a node's weights are float, so that an IntegerNetwork has int8 ones for them."""
    return node.weight is not None and required(node.weight).levels == "float"


def integer_weight(node: Node, int8: np.ndarray | None = None) -> IntegerWeight:
    """The integers that a node multiplies by; `int8`: those of a float layer."""
    negative: np.ndarray = required(node.scale) < 0
    if node.op == "scale_shift":
        return IntegerWeight("int8", negative.shape, np.where(negative, -STEPS, STEPS).astype(np.int8))
    weight = required(node.weight)
    levels, shape = weight.levels, weight.shape
    if int8 is not None:
        return IntegerWeight("int8", shape, int8)
    return IntegerWeight(levels, shape, flip_rows(weight.data, levels, row_length(shape), negative))
