"""Places of the weights that are not 0, a byte each: ternary layers of which many are 0, and binary ones."""

from __future__ import annotations

import numpy as np

from ..layers import Layer
from .costs import instructions
from .form import Form
from .rows import up, weights

WINDOW = 255  # weights whose places are counted from the first of them


def encode(layer: Layer) -> np.ndarray:
    """uint32: of every row and window the bytes n, m, 4 n places of +1, 4 m places of -1, in little-endian words.

    A list is filled up to whole fours with the place behind the window.
    """
    bytes_: list[int] = []
    for row in weights(layer):
        for first in range(0, layer.k, WINDOW):
            window = row[first : first + WINDOW]
            lists = [np.flatnonzero(window == sign).tolist() for sign in (1, -1)]
            bytes_ += [-(-len(places) // 4) for places in lists]
            for places in lists:
                bytes_ += places + [len(window)] * (-len(places) % 4)
    return np.array(bytes_ + [0] * (-len(bytes_) % 4), np.uint8).view("<u4").astype(np.uint32)


def scratch(layer: Layer) -> int:
    """Of four pixels 2 bytes a place, or of one 1 byte and the gathered operands, and zeros behind windows."""
    places = layer.k + -(-layer.k // WINDOW)
    if layer.p * layer.q < 4:
        return places + up(layer.k, 8)
    return 4 + 8 * places + layer.c // layer.groups  # 4: to a multiple of 8 where words have 8 bytes


LISTS = Form(
    "lists",
    "conv_lists",
    ("gather.c", "conv_lists.c"),
    fits=lambda layer: layer.levels in ("ternary", "binary"),
    encode=encode,
    scratch_bytes=scratch,
    cost=lambda layer, target: instructions("lists", layer, target),
)
