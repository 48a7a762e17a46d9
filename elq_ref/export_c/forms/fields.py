"""Two bits or one bit a weight, in fields of words: ternary and binary layers."""

from __future__ import annotations

import numpy as np

from ..layers import Layer
from .costs import instructions
from .form import Form
from .rows import fields, in_pairs, pixels_at_once, up, weights

FRAGMENTS = ("gather.c", "words.c", "spread.c", "neon.c", "fields_neon.c", "fields.c")
SEGMENT = 240  # operands that c/spread.c sums up apart


def encode_twobit(layer: Layer) -> np.ndarray:
    """w + 1: 0, 1, 2."""
    return in_pairs(fields(weights(layer) + 1, 2), layer.groups)


def encode_sign(layer: Layer) -> np.ndarray:
    """0 for +1, 1 for -1."""
    return in_pairs(fields(weights(layer) < 0, 1), layer.groups)


def _scratch(layer: Layer, bits: int) -> int:
    """What c/fields.c or c/fields_neon.c takes, whichever is more."""
    words, pixels = -(-layer.k * bits // 32), pixels_at_once(layer, 2)
    plain = pixels * 4 * (16 // bits * words + -(-layer.k // SEGMENT)) + up(layer.k, 8)
    vectors = (pixels_at_once(layer, 4) + 1) * up(words, 4) * (32 // bits)
    return max(plain, vectors)


TWOBIT = Form(
    "2-bit",
    "conv_twobit",
    (*FRAGMENTS, "conv_twobit.c"),
    fits=lambda layer: layer.levels in ("ternary", "binary"),
    encode=encode_twobit,
    scratch_bytes=lambda layer: _scratch(layer, 2),
    cost=lambda layer, target: instructions("2-bit", layer, target),
)
SIGN = Form(
    "sign",
    "conv_sign",
    (*FRAGMENTS, "conv_sign.c"),
    fits=lambda layer: layer.levels == "binary",
    encode=encode_sign,
    scratch_bytes=lambda layer: _scratch(layer, 1),
    cost=lambda layer, target: instructions("sign", layer, target),
)
