"""Rows of weights as words in the order in which the C functions read them, two rows at a time."""

from __future__ import annotations

import numpy as np

from ...graph.nodes import required
from ..layers import Layer


def weights(layer: Layer) -> np.ndarray:
    """int8 (O, K) of a layer that has weights."""
    return required(layer.rows)


def padded(rows: np.ndarray, multiple: int) -> np.ndarray:
    """Rows (O, K) with zeros behind each up to a multiple of so many."""
    return np.pad(rows, ((0, 0), (0, -rows.shape[1] % multiple)))


def in_pairs(words: np.ndarray, groups: int) -> np.ndarray:
    """Words (O, W) -> uint32: of each group the rows 0 and 1, then 2 and 3, ..., word by word beside each other; the
    last of an odd number beside zeros.
    """
    table = words.astype(np.uint32).reshape(groups, -1, words.shape[1])
    table = np.pad(table, ((0, 0), (0, table.shape[1] % 2), (0, 0)))
    return table.reshape(groups, -1, 2, words.shape[1]).swapaxes(2, 3).ravel()


def fields(values: np.ndarray, bits: int) -> np.ndarray:
    """Values (O, K) below 2^bits -> words (O, ceil(K bits / 32)).

    Of every four, the first two go to the high half of a word and the others to the low half, there each to the next
    `bits` bits; what is behind the last is 0 (c/fields.c draws it).
    """
    per_word = 32 // bits
    table = padded(values.astype(np.uint32), per_word)
    k = np.arange(per_word)
    shift = bits * (k // 4 * 2 + k % 2) + 16 * (1 - k % 4 // 2)
    words: np.ndarray = (table.reshape(len(values), -1, per_word) << shift.astype(np.uint32)).sum(2, dtype=np.uint32)
    return words


def pixels_at_once(layer: Layer, most: int) -> int:
    """How many pixels a C function that takes `most` of them computes together."""
    return most if layer.p * layer.q >= most else 1


def up(number: int, multiple: int) -> int:
    """The next multiple."""
    return -(-number // multiple) * multiple
