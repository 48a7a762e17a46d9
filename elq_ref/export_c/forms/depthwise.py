"""Layers whose output channels read one input channel each: two bits, one bit or a byte a weight, in plain order."""

from __future__ import annotations

import numpy as np

from ..layers import Layer
from .costs import instructions
from .form import Form
from .rows import padded, weights


def _packed(values: np.ndarray, bits: int) -> np.ndarray:
    """uint32: values (O, K) below 2^bits, value k at bit bits * k of its row, which begins at a word."""
    per_word = 32 // bits
    table = padded(values.astype(np.uint32), per_word).reshape(len(values), -1, per_word)
    shift = np.arange(0, 32, bits, dtype=np.uint32)
    words: np.ndarray = (table << shift).sum(2, dtype=np.uint32)
    return words.ravel()


def _one_channel(layer: Layer) -> bool:
    return layer.groups == layer.c and layer.p * layer.q > 1


def _form(name: str, levels: tuple[str, ...], bits: int) -> Form:
    value = {2: lambda rows: rows + 1, 1: lambda rows: rows < 0, 8: lambda rows: rows.view(np.uint8)}[bits]
    title = f"{name} by channel"
    function = f"depthwise_{name.replace('2-bit', 'twobit')}"
    return Form(
        title,
        function,
        (f"{function}.c",),
        fits=lambda layer: layer.levels in levels and _one_channel(layer),
        encode=lambda layer: _packed(value(weights(layer)), bits),
        scratch_bytes=lambda layer: layer.k,
        cost=lambda layer, target: instructions(title, layer, target),
    )


TWOBIT_BY_CHANNEL = _form("2-bit", ("ternary", "binary"), 2)
SIGN_BY_CHANNEL = _form("sign", ("binary",), 1)
INT8_BY_CHANNEL = _form("int8", ("ternary", "binary", "int8"), 8)
