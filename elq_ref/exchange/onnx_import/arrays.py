"""The arrays of an ONNX file, decoded when they are asked for: every size is checked before memory is taken."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

MAX_AXES = 16
MAX_SIZE = 1 << 31  # elements of one array
_FIELDS = {  # number of a data type: (dtype as stored, bits of an element, the typed field of its values)
    1: ("<f4", 32, "float_data"),
    2: ("u1", 8, "int32_data"),
    3: ("i1", 8, "int32_data"),
    4: ("<u2", 16, "int32_data"),
    5: ("<i2", 16, "int32_data"),
    6: ("<i4", 32, "int32_data"),
    7: ("<i8", 64, "int64_data"),
    9: ("u1", 8, "int32_data"),  # bool
    10: ("<f2", 16, "int32_data"),
    11: ("<f8", 64, "double_data"),
    12: ("<u4", 32, "uint64_data"),
    13: ("<u8", 64, "uint64_data"),
    16: ("<u2", 16, "int32_data"),  # bfloat16
    21: ("u1", 4, "int32_data"),
    22: ("i1", 4, "int32_data"),
    25: ("u1", 2, "int32_data"),
    26: ("i1", 2, "int32_data"),
}
_BOOL, _HALF, _UINT64, _BFLOAT16 = 9, 10, 13, 16


class Arrays:
    """The arrays of one file by name. Each is decoded once; `taken` counts the bytes that all of them take."""

    def __init__(self, protos: Mapping[str, Any], folder: Path) -> None:
        self.protos, self._folder = protos, folder
        self._made: dict[str, np.ndarray] = {}
        self._external: dict[str, int] = {}  # bytes of each external file that no array has taken yet
        self.places: list[tuple[Path, int, int]] = []  # (file, offset, length) of what was read outside of the file

    def get(self, name: str) -> np.ndarray:
        """The array of an initialiser, read-only."""
        if name not in self._made:
            self._made[name] = self.decode(self.protos[name])
        return self._made[name]

    def decode(self, proto: Any) -> np.ndarray:
        """The array of a TensorProto, read-only; bfloat16 becomes float32, what has fewer than 8 bits int8 or uint8.

        ValueError for a type that is not known, a size that is not that of the data, or data elsewhere than in files of
        the folder.
        """
        shape = tuple(proto.dims)
        if proto.data_type not in _FIELDS:
            raise ValueError(f"an array is of data type {proto.data_type}, wanted floats, integers or bool")
        if len(shape) > MAX_AXES or any(n < 0 for n in shape) or math.prod(shape) > MAX_SIZE:
            raise ValueError(f"an array has the shape {str(shape)[:80]}, wanted at most {MAX_SIZE:,} elements")
        stored, bits, field = _FIELDS[proto.data_type]
        size = -(-math.prod(shape) * bits // 8)
        if proto.data_location:
            data = self._outside(proto, size)
        elif proto.HasField("raw_data"):
            data = proto.raw_data
        else:
            data = _typed(getattr(proto, field), proto.data_type, stored)
        if len(data) != size:
            raise ValueError(f"an array of {size:,} bytes has {len(data):,}")
        if bits < 8:
            values = _unpacked(np.frombuffer(data, np.uint8), bits, math.prod(shape), stored)
        else:
            values = np.frombuffer(data, stored)
            values = values.astype(values.dtype.newbyteorder("="), copy=False)
        if proto.data_type == _BFLOAT16:
            values = (values.astype(np.uint32) << 16).view(np.float32)
        elif proto.data_type == _BOOL:
            values = values.astype(bool)
        values = values.reshape(shape)
        values.flags.writeable = False
        return values

    def _outside(self, proto: Any, size: int) -> bytes:
        """The bytes of an array in a file of its own, which lies in the folder or below, whatever leads there."""
        entries = {text(entry.key): text(entry.value) for entry in proto.external_data}
        location = entries.get("location", "")
        offset, length = (_count(key, entries.get(key, default)) for key, default in (("offset", "0"), ("length", "-")))
        if length not in (None, size):
            raise ValueError(f"an array of {size:,} bytes has {length:,} in its external file")
        if not location or len(location) > 1000 or not location.isprintable():
            raise ValueError("an array names no external file")
        parts = location.replace("\\", "/").split("/")
        if os.path.isabs(location) or ".." in parts or ":" in parts[0]:
            raise ValueError(f"external data at {location[:80]!a}, wanted a file in the folder of the .onnx file")
        folder, place = os.path.realpath(self._folder), os.path.realpath(self._folder / location)
        if os.path.commonpath([folder, place]) != folder:
            raise ValueError(f"external data {location[:80]!a} leads out of the folder of the .onnx file")
        if not os.path.isfile(place):
            raise ValueError(f"there is no external data file {location[:80]!a} beside the .onnx file")
        whole = os.path.getsize(place)
        left = self._external.setdefault(place, whole)
        if (offset or 0) + size > whole or size > left:
            raise ValueError(f"external data {location[:80]!a} has {whole:,} bytes, arrays want more of it")
        self._external[place] = left - size
        self.places.append((Path(place), offset or 0, size))
        with open(place, "rb") as file:
            file.seek(offset or 0)
            return file.read(size)


def text(value: str | bytes) -> str:
    """A string of a message, which is bytes where it is no UTF-8."""
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def _count(key: str, said: str) -> int | None:
    if said == "-":
        return None
    if not said.isascii() or not said.isdigit() or len(said) > 18:
        raise ValueError(f"the {key} of external data is {said[:40]!a}, wanted a number of bytes")
    return int(said)


def _typed(values: Any, kind: int, stored: str) -> bytes:
    """The bytes of an array whose values stand one by one: small integers, bits of halves and packed bytes as int32."""
    carrier = np.dtype("<u2") if kind == _HALF else np.dtype(stored)
    wide = {"f": np.float64, "u": np.int64, "i": np.int64}[carrier.kind] if kind != _UINT64 else np.uint64
    with np.errstate(over="ignore"):
        return np.fromiter(values, wide, len(values)).astype(carrier).tobytes()


def _unpacked(packed: np.ndarray, bits: int, count: int, stored: str) -> np.ndarray:
    """Elements of 4 or 2 bits, the first in the lowest bits, as int8 or uint8."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    fields = (packed[:, None] >> shifts & ((1 << bits) - 1)).reshape(-1)[:count]
    if stored == "u1":
        return fields.astype(np.uint8)
    return (fields.astype(np.int8) ^ (1 << bits - 1)) - np.int8(1 << bits - 1)
