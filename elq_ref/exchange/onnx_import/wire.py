"""How many nodes an ONNX file has, counted in its bytes: parsed, each takes some hundred bytes of memory."""

from __future__ import annotations

from collections.abc import Iterator

_GRAPH, _NODE = 7, 1  # fields of ModelProto and GraphProto
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # how a field is written


def nodes(content: bytes, most: int) -> int:
    """The nodes of a model's graph, counted up to `most` + 1; of bytes that are no message, those before the flaw."""
    count = 0
    for field, start, end in _fields(content, 0, len(content)):
        if field == _GRAPH:
            for inner, _, _ in _fields(content, start, end):
                count += inner == _NODE
                if count > most:
                    return count
    return count


def _fields(content: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(number, start, end) of each field of a message; ends where the bytes are none."""
    while start < end:
        tag, start = _varint(content, start, end)
        kind, size = tag & 7, 0
        if kind == _BYTES:
            size, start = _varint(content, start, end)
        elif kind == _VARINT:
            _, after = _varint(content, start, end)
            size = after - start
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            return
        if size > end - start:
            return
        yield tag >> 3, start, start + size
        start += size


def _varint(content: bytes, start: int, end: int) -> tuple[int, int]:
    """(value, where the next begins)."""
    value = 0
    for k in range(start, min(start + 10, end)):
        value |= (content[k] & 127) << 7 * (k - start)
        if content[k] < 128:
            return value, k + 1
    return 0, end
