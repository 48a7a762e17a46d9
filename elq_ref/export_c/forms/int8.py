"""One byte a weight, four to a word."""

from __future__ import annotations

import numpy as np

from ..layers import Layer
from .costs import instructions
from .form import Form
from .rows import in_pairs, padded, pixels_at_once, up, weights


def encode(layer: Layer) -> np.ndarray:
    """Rows of bytes from the low end of each word, 0 behind the last."""
    return in_pairs(padded(weights(layer), 4).view("<u4"), layer.groups)


def scratch(layer: Layer) -> int:
    """What c/conv_int8.c takes in whichever of its three ways needs most."""
    lanes = (2 * pixels_at_once(layer, 2) + 1) * up(layer.k, 8) + 4
    return max(lanes, pixels_at_once(layer, 4) * up(layer.k, 16))


INT8 = Form(
    "int8",
    "conv_int8",
    ("gather.c", "words.c", "spread.c", "neon.c", "conv_int8.c"),
    fits=lambda layer: True,
    encode=encode,
    scratch_bytes=scratch,
    cost=lambda layer, target: instructions("int8", layer, target),
)
