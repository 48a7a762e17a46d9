"""One byte a weight, four to a word."""

from __future__ import annotations

import numpy as np

from ...graph.nodes import required
from ..layers import Layer
from .form import Form


def encode(layer: Layer) -> np.ndarray:
    """uint32 (O * ceil(K / 4)): rows of bytes from the low end of each word."""
    rows = required(layer.rows)
    padded = np.zeros((len(rows), -(-layer.k // 4) * 4), np.int8)
    padded[:, : layer.k] = rows
    return padded.view("<u4").astype(np.uint32).ravel()


INT8 = Form(
    "int8",
    "conv_int8",
    ("conv_int8.c",),
    fits=lambda layer: True,
    encode=encode,
    scratch_bytes=None,
    cost=lambda layer, target: 8.0 * layer.macs,
)
