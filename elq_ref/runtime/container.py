"""What an .elq file is outside: safetensors with one JSON text; read strictly, as everything that is not trusted.

Whatever is wrong becomes one FormatError of one line; no memory is taken that the file's own size does not bound.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from ..errors import FormatError

MAX_HEADER = 1 << 24
_DTYPES = {np.dtype(np.uint8): "U8", np.dtype(np.int8): "I8", np.dtype(np.int32): "I32", np.dtype(np.float32): "F32"}
_NAMED = {name: dtype for dtype, name in _DTYPES.items()}


def closed(tensors: dict[str, np.ndarray], text: dict[str, Any]) -> bytes:
    """The content of a file; the same tensors and text give the same bytes."""
    compact = json.dumps(text, allow_nan=False, separators=(",", ":"))
    return safetensors.numpy.save(tensors, {"elq": compact})


def opened(content: bytes) -> tuple[Tensors, Any]:
    """The tensors of a file's content and what its JSON text under "elq" says."""
    if not content:
        raise FormatError("the file is empty")
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or not 2 <= length <= min(MAX_HEADER, len(content) - 8):
        raise FormatError(f"not an .elq file, or cut off: {len(content):,} bytes with a header of {length:,}")
    header = _json(content[8 : 8 + length], "the header")
    meta = header.get("__metadata__") if isinstance(header, dict) else None
    if not isinstance(meta, dict) or list(meta) != ["elq"] or not isinstance(meta["elq"], str):
        raise FormatError('not an .elq file: its header has no metadata "elq"')
    try:
        entries = safetensors.deserialize(content)
    except safetensors.SafetensorError as error:
        raise FormatError(f"damaged or cut off: {error}") from None
    tensors = {}
    for name, entry in entries:
        if entry["dtype"] not in _NAMED:
            raise FormatError(f"tensor {name[:80]!r} is {entry['dtype']}, wanted {', '.join(_NAMED)}")
        dtype = _NAMED[entry["dtype"]]
        array = np.frombuffer(entry["data"], dtype.newbyteorder("<")).reshape(entry["shape"])
        tensors[name] = array.astype(dtype, copy=False)
    return Tensors(tensors), _json(meta["elq"], "the metadata")


class Tensors:
    """The tensors of a file, each taken once: whole, or the numbers of one from front to back."""

    def __init__(self, tensors: dict[str, np.ndarray]) -> None:
        self._tensors = tensors
        self._taken: dict[str, int] = {}

    def whole(self, name: str, dtype: Any, *shapes: tuple[int, ...]) -> np.ndarray:
        """The tensor `name`, of `dtype` and one of `shapes`."""
        array = self._tensors.pop(name, None)
        if array is None:
            raise FormatError(f"tensor {name!r} is missing")
        if array.dtype != dtype or (shapes and array.shape not in shapes):
            raise FormatError(
                f"tensor {name!r} is {_DTYPES[array.dtype]} {array.shape}, "
                f"wanted {_DTYPES[np.dtype(dtype)]} {' or '.join(map(str, shapes))}"
            )
        return array

    def length(self, name: str) -> int:
        """Numbers on the first axis of the tensor `name`; 0 if there is none."""
        array = self._tensors.get(name)
        return array.shape[0] if array is not None and array.ndim else 0

    def next(self, name: str, dtype: Any, count: int) -> np.ndarray:
        """The next `count` numbers of the tensor `name`, of `dtype`, on one axis."""
        array = self._tensors.get(name)
        if array is None:
            raise FormatError(f"tensor {name!r} is missing")
        first = self._taken.get(name, 0)
        if array.dtype != dtype or array.ndim != 1 or len(array) - first < count:
            raise FormatError(
                f"tensor {name!r} is {_DTYPES[array.dtype]} {array.shape}, "
                f"wanted {_DTYPES[np.dtype(dtype)]} with at least {first + count} numbers"
            )
        self._taken[name] = first + count
        return array[first : first + count]

    def finish(self) -> None:
        """Refuse what nobody took."""
        for name, taken in self._taken.items():
            if taken != len(self._tensors[name]):
                raise FormatError(f"tensor {name!r} has {len(self._tensors[name])} numbers, {taken} have a use")
        rest = self._tensors.keys() - self._taken
        if rest:
            raise FormatError(f"{len(rest)} tensor(s) belong to no node, first {min(rest)[:80]!r}")


def _json(text: str | bytes, what: str) -> Any:
    """JSON read strictly: no key twice, no NaN or Infinity, no endless nesting."""

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) != len(pairs):
            raise ValueError("a key appears twice")
        return dict(pairs)

    def constant(name: str) -> Any:
        raise ValueError(f"{name} is no number")

    try:
        return json.loads(text, object_pairs_hook=members, parse_constant=constant)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{what} is no valid JSON: {str(error)[:80]}") from None


def members(what: str, value: Any, keys: tuple[str, ...]) -> dict[str, Any]:
    """`value`, a JSON object with exactly the members `keys`."""
    if not isinstance(value, dict) or set(value) != set(keys):
        given = sorted(value) if isinstance(value, dict) else type(value).__name__
        raise FormatError(f"{what} has members {str(given)[:120]}, wanted {sorted(keys)}")
    return value


def items(what: str, value: Any, most: int = 1 << 20) -> list[Any]:
    """`value`, a JSON list of at most `most`."""
    if not isinstance(value, list) or len(value) > most:
        raise FormatError(f"{what} is {str(value)[:40]}, wanted a list of at most {most}")
    return value


def integers(what: str, value: Any) -> tuple[int, ...]:
    """`value`, a JSON list of 1 to 4 integers."""
    values = items(what, value, 4)
    if not values or not all(type(v) is int for v in values):
        raise FormatError(f"{what} is {str(value)[:40]}, wanted integers")
    return tuple(values)


def number(value: Any) -> float:
    """`value`, a JSON number of a usual size."""
    if type(value) not in (int, float) or abs(value) > 1e30:
        raise FormatError(f"{str(value)[:40]} is no number of this file")
    return float(value)
