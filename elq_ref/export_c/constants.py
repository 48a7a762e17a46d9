"""The constants of a layer: as C declares them, and the bytes of which the self-test takes a CRC-32."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..graph.nodes import required
from .layers import Layer
from .text import array

# Have sizes and nothing else.
SHAPED = ("max_pool", "max_pool_border", "subsample", "pad", "flatten", "slice", "shuffle")


class Constants(NamedTuple):
    """text: a declaration of constants<i>, empty if there are none. content: their bytes, little-endian."""

    text: str
    content: bytes


def constants_of(layer: Layer, high_ends: bool = False) -> Constants:
    """All but the weights. high_ends: clamps are stored with both ends."""
    name = f"constants{layer.index}"
    if layer.table is not None:
        table = layer.table if layer.op != "concat" else layer.table[changing(layer)]
        if not table.size:
            return Constants("", b"")
        text = f"static const int8_t {name}[{table.size}] = {array(map(str, table.ravel()))};\n"
        return Constants(text, table.tobytes())
    if layer.add is not None:
        values = [*layer.add, layer.lo, *([layer.hi] if high_ends else [])]
        return Constants(f"static const add_t {name} = {_braces(values)};\n", np.array(values, "<i4").tobytes())
    members, shape = sizes(layer), _bytes(sizes(layer))
    if high_ends:
        members, shape = [*members, layer.hi], shape[:-2] + np.array([layer.lo, layer.hi], np.int8).tobytes()
    if layer.op in SHAPED:
        return Constants(f"static const shape_t {name} = {_braces(members)};\n", shape)
    if layer.b is None:
        return Constants("", b"")
    b, q, s = (required(v).astype(kind) for v, kind in ((layer.b, "<i4"), (layer.q31, "<i4"), (layer.s, "u1")))
    s = np.concatenate([s, np.zeros(-len(s) % 4, np.uint8)])  # the struct has no padding
    arrays = "".join(f"    {array(map(str, values), 4)},\n" for values in (b, q, s))
    more, content = "", shape + b.tobytes() + q.tobytes() + s.tobytes()
    if layer.counts is not None:
        counts = np.concatenate([layer.counts, np.zeros(len(layer.counts) % 2, np.int64)]).astype("<u2")
        more = f"    uint16_t counts[{len(counts)}];\n"
        arrays += f"    {array(map(str, counts), 4)},\n"
        content += counts.tobytes()
    if layer.op == "avg_pool_border":
        more += "    uint16_t counted[4];\n"
        arrays += f"    {_braces([*layer.counted])},\n"
        content += _bytes([*layer.counted])
    text = (
        f"static const struct {{\n    shape_t shape;\n    int32_t b[{len(b)}], q[{len(q)}];\n    uint8_t s[{len(s)}];\n"
        f"{more}}} {name} = {{\n    {_braces(members)},\n{arrays}}};\n"
    )
    return Constants(text, content)


def changing(layer: Layer) -> np.ndarray:
    """Which operands of a concat have another scale than its value, and so a table, bool (operands)."""
    found: np.ndarray = (required(layer.table) != np.arange(-128, 128)).any(1)
    return found


def sizes(layer: Layer) -> list[int]:
    """The members of a shape_t, in its order."""
    window = [layer.kh, layer.kw, layer.sy, layer.sx, layer.dy, layer.dx, layer.top, layer.left]
    both = [layer.h, layer.w, layer.c, layer.p, layer.q, layer.o]
    return [*both, *window, layer.groups, layer.k, layer.l, layer.lo]


def _bytes(values: list[int]) -> bytes:
    return np.array(values, np.int64).astype("<u2").tobytes()


def _braces(values: list[int]) -> str:
    return f"{{{', '.join(map(str, values))}}}"
