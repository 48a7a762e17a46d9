"""What an .elq file is outside: safetensors with one JSON text; read strictly, as everything that is not trusted.

Whatever is wrong becomes one FormatError of one line; no memory is taken that the file's own size does not bound.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from ..errors import FormatError
from ..files import check_source
from ..graph.reading import DTYPES, Tensors

MAX_FILE = 1 << 31
MAX_HEADER = 1 << 24
_DTYPE_NAMED: dict[str, np.dtype[Any]] = {name: dtype for dtype, name in DTYPES.items()}


@contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[bytes]:
    """The content of the file at `path`; every ValueError of the body becomes a FormatError of one line that names it.

    FileNotFoundError if there is no file.
    """
    path = Path(path)
    check_source(path)
    size = path.stat().st_size
    if size > MAX_FILE:
        raise FormatError(f"{path}: {size:,} bytes, at most {MAX_FILE:,} are read")
    try:
        yield path.read_bytes()
    except (ValueError, RecursionError) as error:
        line = " ".join(str(error).split())
        raise FormatError(f"{path}: {line[:300]}") from None


def is_packed(path: str | os.PathLike[str]) -> bool:
    """Whether the file at `path` begins like a packed network, whatever its name."""
    check_source(path)
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length) if 2 <= length <= MAX_HEADER else b""
    try:
        text = json.loads(json.loads(header)["__metadata__"]["elq"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return False
    return isinstance(text, dict) and "nodes" in text


def encode(tensors: dict[str, np.ndarray], text: dict[str, Any]) -> bytes:
    """The content of a file; the same tensors and text give the same bytes."""
    compact = json.dumps(text, allow_nan=False, separators=(",", ":"))
    return safetensors.numpy.save(tensors, {"elq": compact})


def decode(content: bytes) -> tuple[Tensors, Any]:
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
        entries = safetensors.deserialize(content)  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise FormatError(f"damaged or cut off: {error}") from None
    tensors = {}
    for name, entry in entries:
        if entry["dtype"] not in _DTYPE_NAMED:
            raise FormatError(f"tensor {name[:80]!r} is {entry['dtype']}, wanted {', '.join(_DTYPE_NAMED)}")
        dtype = _DTYPE_NAMED[entry["dtype"]]
        array = np.frombuffer(entry["data"], dtype.newbyteorder("<")).reshape(entry["shape"])
        tensors[name] = array.astype(dtype, copy=False)
    return Tensors(tensors), _json(meta["elq"], "the metadata")


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
