"""Codes as bits: ternary in 2 bits, binary in 1; on disk ternary in 1.6. docs/format.md shows worked examples.

Canonical order O KH KW I: one row per output channel, weight k = (i_row * KW + i_column) * I + i_channel of
a row. Field k of a row starts at bit k * bits, counted from the least significant bit of its first byte;
every row starts at a byte, and the bits behind its last field are 0. A field is the code in two's
complement: ternary 00 = 0, 01 = +1, 11 = -1 (10 is reserved), binary 0 = +1, 1 = -1: the highest bit of a
field is the sign, as in a float.

On disk five ternary codes share a byte, t0 + 3 t1 + 9 t2 + 27 t3 + 81 t4 with t = 0, 1, 2 for 0, +1, -1; the rows
follow each other without gaps, and the t behind the last code are 0.
"""

import math

import numpy as np

BITS = {"ternary": 2, "binary": 1}
_TERNARY = np.array([0, 1, 0, -1], np.int8)
_TRITS = 5  # in a byte
_BLOCK = 1 << 16  # bytes of trits that are unpacked at a time
_POWERS = 3 ** np.arange(_TRITS, dtype=np.uint8)
_FIELDS = np.array([0b00, 0b01, 0b11], np.uint8)[np.arange(256)[:, None] // _POWERS % 3]  # of every byte, (256, 5)


def row_bytes(levels: str, length: int) -> int:
    """Bytes of a row of `length` codes: ceil(length * bits / 8)."""
    return -(-length * BITS[levels] // 8)


def row_length(shape: tuple[int, ...]) -> int:
    """Weights in one row of a weight of `shape` (O, I, KH, KW) or (O, I)."""
    return math.prod(shape[1:])


def to_rows(weight: np.ndarray) -> np.ndarray:
    """A weight (O, I, KH, KW) or (O, I) as rows (O, KH * KW * I) in canonical order."""
    return np.moveaxis(weight, 1, -1).reshape(len(weight), row_length(weight.shape))


def from_rows(table: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The inverse of `to_rows`: rows (O, KH * KW * I) as a weight of `shape`."""
    return np.moveaxis(table.reshape(shape[0], *shape[2:], shape[1]), -1, 1)


def pack_codes(codes: np.ndarray, levels: str) -> np.ndarray:
    """Codes int8 (O, I, KH, KW) or (O, I) in {-1, 0, +1} (ternary) or {-1, +1} (binary) -> uint8 (O,
    row_bytes).

    Raises TypeError for another dtype and ValueError for a code that is not of these levels.
    """
    if codes.dtype != np.int8:
        raise TypeError(f"codes are int8, given {codes.dtype}")
    allowed = (-1, 0, 1) if levels == "ternary" else (-1, 1)
    if not np.isin(codes, allowed).all():
        raise ValueError(f"{levels} codes are {allowed}, given values from {codes.min()} to {codes.max()}")
    table = to_rows(codes)
    if levels == "binary":
        return np.packbits(table < 0, axis=1, bitorder="little")
    return _pack_fields((table & 3).view(np.uint8))


def _pack_fields(fields: np.ndarray) -> np.ndarray:
    """2-bit fields uint8 (O, K) -> uint8 (O, row_bytes)."""
    count, length = fields.shape
    if length % 4:
        fields = np.concatenate([fields, np.zeros((count, -length % 4), np.uint8)], axis=1)
    four = np.ascontiguousarray(fields).view("<u4")  # a field in the low bits of each byte
    packed: np.ndarray = four | four >> 6 | four >> 12 | four >> 18
    return packed.astype(np.uint8)


def trit_bytes(count: int) -> int:
    """Bytes that `count` ternary codes take on disk: ceil(count / 5)."""
    return -(-count // _TRITS)


def pack_trits(packed: np.ndarray, length: int) -> np.ndarray:
    """Ternary rows uint8 (O, row_bytes) of `length` codes each -> uint8 (trit_bytes(O * length))."""
    trits = unpack_rows(packed, "ternary", length).ravel() % np.int8(3)  # 0, 1, 2 for 0, +1, -1
    whole = np.zeros(_TRITS * trit_bytes(trits.size), np.uint8)
    whole[: trits.size] = trits
    values: np.ndarray = (whole.reshape(-1, _TRITS) * _POWERS).sum(1, dtype=np.uint8)
    return values


def unpack_trits(trits: np.ndarray, outputs: int, length: int) -> np.ndarray:
    """The inverse of `pack_trits`: uint8 (trit_bytes(O * length)) -> rows uint8 (O, row_bytes).

    ValueError for a byte above 242, which is no five trits, and for a trit behind the last code that is not 0.
    """
    if trits.max(initial=0) >= 3**_TRITS:
        raise ValueError(f"a byte is {trits.max()}, five ternary codes are at most {3**_TRITS - 1}")
    packed = np.empty((outputs, row_bytes("ternary", length)), np.uint8)
    step = _TRITS * max(1, _BLOCK // length)  # rows at a time; five rows are `length` bytes
    for first in range(0, outputs, step):
        last = min(first + step, outputs)
        fields = _FIELDS[trits[first * length // _TRITS : trit_bytes(last * length)]].ravel()
        count = (last - first) * length
        if fields[count:].any():
            raise ValueError(f"a trit is set behind the {outputs * length} codes")
        packed[first:last] = _pack_fields(fields[:count].reshape(-1, length))
    return packed


def unpack_rows(packed: np.ndarray, levels: str, length: int) -> np.ndarray:
    """uint8 (O, row_bytes) -> codes int8 (O, length), in canonical order."""
    codes: np.ndarray
    if levels == "binary":
        codes = 1 - 2 * np.unpackbits(packed, axis=1, count=length, bitorder="little").view(np.int8)
    else:
        fields = packed[:, :, None] >> np.array([0, 2, 4, 6], np.uint8) & 3
        codes = _TERNARY[fields.reshape(len(packed), -1)[:, :length]]
    return codes


def check_codes(packed: np.ndarray, levels: str, length: int) -> None:
    """Refuse (ValueError) a reserved field or a bit that is set behind the last field of a row."""
    if levels == "ternary" and np.any(packed >> 1 & ~packed & 0x55):
        raise ValueError("a 2-bit field holds the reserved pattern 10")
    used = length * BITS[levels] % 8
    if used and np.any(packed[:, -1] >> used):
        raise ValueError(f"bits are set behind the {length} codes of a row")


def flip_rows(packed: np.ndarray, levels: str, length: int, chosen: np.ndarray) -> np.ndarray:
    """The rows with every code of the `chosen` ones (bool (O)) negated."""
    if not chosen.any():
        return packed
    if levels == "ternary":  # 01 <-> 11, and 00 stays
        return np.where(chosen[:, None], packed ^ (packed & 0x55) << 1, packed)
    tail = 8 * packed.shape[1] - length
    used = np.full(packed.shape[1], 0xFF, np.uint8)
    used[-1] >>= tail
    return np.where(chosen[:, None], packed ^ used, packed)


def nonzeros(packed: np.ndarray, levels: str, length: int) -> np.ndarray:
    """How many codes of each row are not 0, int64 (O)."""
    if levels == "binary":
        return np.full(len(packed), length)
    counts: np.ndarray = np.bitwise_count(packed & 0x55).sum(1, dtype=np.int64)
    return counts
