"""Which pictures a network has right, as a text that fits into a JSON file: a bit a picture, in base64."""

from __future__ import annotations

import base64

import numpy as np


def to_text(right: np.ndarray) -> str:
    """Of a bool (N): the highest bit of the first byte is the first picture's."""
    return base64.b64encode(np.packbits(right).tobytes()).decode()


def from_text(text: object, total: int) -> np.ndarray:
    """Bool (total); ValueError for what `to_text` makes of no answers to so many pictures."""
    if not isinstance(text, str) or len(text) != -(-total // 24) * 4:
        raise ValueError(f"{str(text)[:40]!r} are no answers to {total} pictures in base64")
    bits = np.unpackbits(np.frombuffer(base64.b64decode(text, validate=True), np.uint8))
    if bits.size < total or bits.size - total >= 8:
        raise ValueError(f"{bits.size} bits are no answers to {total} pictures")
    return bits[:total].astype(bool)
