"""The constants of a layer: as C declares them, and the bytes of which the self-test takes a CRC-32."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..graph.nodes import required
from .layers import INPUT, Layer
from .text import array

SUMS = ("conv", "scale_shift", "avg_pool")  # have a requantization
SHAPED = ("max_pool", "subsample", "pad", "flatten")  # have sizes and nothing else


class Constants(NamedTuple):
    """text: a declaration of constants<i>, empty if there are none. content: their bytes, little-endian."""

    text: str
    content: bytes


def constants_of(layer: Layer) -> Constants:
    """All but the weights."""
    name = f"constants{layer.index}"
    if layer.op == INPUT:
        table = required(layer.table)
        text = f"static const int8_t {name}[{table.size}] = {array(map(str, table.ravel()))};\n"
        return Constants(text, table.tobytes())
    if layer.op == "add":
        values = [*required(layer.add), layer.lo]
        return Constants(f"static const add_t {name} = {_braces(values)};\n", np.array(values, "<i4").tobytes())
    if layer.op in SHAPED:
        return Constants(f"static const shape_t {name} = {_braces(sizes(layer))};\n", _bytes(sizes(layer)))
    if layer.op not in SUMS:
        return Constants("", b"")
    b, q, s = (required(v).astype(kind) for v, kind in ((layer.b, "<i4"), (layer.q31, "<i4"), (layer.s, "u1")))
    s = np.concatenate([s, np.zeros(-len(s) % 4, np.uint8)])  # the struct has no padding
    arrays = "".join(f"    {array(map(str, values), 4)},\n" for values in (b, q, s))
    text = (
        f"static const struct {{\n    shape_t shape;\n    int32_t b[{len(b)}], q[{len(q)}];\n    uint8_t s[{len(s)}];\n"
        f"}} {name} = {{\n    {_braces(sizes(layer))},\n{arrays}}};\n"
    )
    return Constants(text, _bytes(sizes(layer)) + b.tobytes() + q.tobytes() + s.tobytes())


def sizes(layer: Layer) -> list[int]:
    """The members of a shape_t, in its order."""
    window = [layer.kh, layer.kw, layer.sy, layer.sx, layer.dy, layer.dx, layer.top, layer.left]
    both = [layer.h, layer.w, layer.c, layer.p, layer.q, layer.o]
    return [*both, *window, layer.groups, layer.k, layer.l, layer.lo]


def _bytes(values: list[int]) -> bytes:
    return np.array(values, np.int64).astype("<u2").tobytes()


def _braces(values: list[int]) -> str:
    return f"{{{', '.join(map(str, values))}}}"
