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
    """255 products fit 16 bits."""
    return layer.groups == layer.c and layer.p * layer.q > 1 and layer.k <= 255


def _scratch(layer: Layer) -> int:
    """The lines that a window covers, a word a column, and the weights of a channel."""
    width = (layer.q - 1) * layer.sx + (layer.kw - 1) * layer.dx + 1
    return 4 * width * ((layer.kh - 1) * layer.dy + 1) + layer.k


def _fields(rows: np.ndarray, bits: int) -> np.ndarray:
    """Weights as values below 2^bits."""
    return rows + 1 if bits == 2 else rows < 0 if bits == 1 else rows.view(np.uint8)


def _form(name: str, levels: tuple[str, ...], bits: int) -> Form:
    title = f"{name} by channel"
    costs = title if bits == 8 else "codes by channel"
    function = f"depthwise_{name.replace('2-bit', 'twobit')}"
    return Form(
        title,
        function,
        (f"{function}.c",),
        fits=lambda layer: layer.levels in levels and _one_channel(layer),
        encode=lambda layer: _packed(_fields(weights(layer), bits), bits),
        scratch_bytes=_scratch,
        cost=lambda layer, target: instructions(costs, layer, target, layer.o * layer.k),
    )


TWOBIT_BY_CHANNEL = _form("2-bit", ("ternary", "binary"), 2)
SIGN_BY_CHANNEL = _form("sign", ("binary",), 1)
INT8_BY_CHANNEL = _form("int8", ("ternary", "binary", "int8"), 8)
