"""Named tensors and JSON values in a safetensors file; the bytes of one, or of a PyTorch file, read as such."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from ..errors import FormatError
from ..files import atomic_write
from . import torch_reader
from .torch_dtypes import bfloat16

KEY = "elq"  # of the JSON text in the file's metadata
MAX_HEADER = 1 << 22  # bytes of names, shapes and metadata: 30,000 tensors; read, they take up to 30 times as much
MAX_NAME = 1000

_DTYPES = {
    "BOOL": "b1", "U8": "u1", "I8": "i1", "I16": "<i2", "U16": "<u2", "I32": "<i4", "U32": "<u4",
    "I64": "<i8", "U64": "<u8", "F16": "<f2", "F32": "<f4", "F64": "<f8", "BF16": "<u2",
}  # fmt: skip
_OTHERS = {
    b"\x80": "a pickle that is not PyTorch's",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8": "a JPEG picture",
    b"\x1f\x8b": "a gzip file",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
}


def write(path: str | os.PathLike[str], tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> None:
    """Write `tensors` (bool, integers, floats of 16 to 64 bits; any strides) and `metadata` (JSON values).

    The file is safetensors, written atomically. Raises TypeError or ValueError for what it cannot hold.
    """
    for name, array in tensors.items():
        if array.dtype.newbyteorder("<").str.lstrip("|") not in _DTYPES.values():
            raise TypeError(f"{name} is {array.dtype}, wanted bool, integers or float16 to float64")
    text = json.dumps(dict(metadata), allow_nan=False)
    # safetensors writes the bytes of an array as they lie in memory
    ordered = {n: np.asarray(a, dtype=a.dtype.newbyteorder("<"), order="C") for n, a in tensors.items()}
    with atomic_write(path) as temporary:
        temporary.write_bytes(safetensors.numpy.save(ordered, {KEY: text}))  # save_file would use 0600


def parse(content: bytes, key: str | None = None) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """(tensors by name, metadata) of the bytes of a safetensors or a PyTorch file; they tell which it is.

    Tensors are in the order of the file; bfloat16 becomes float32; arrays may be read-only. Metadata is what was
    written, {} for others' files. Raises FormatError for bytes that are damaged, hostile or of another kind.
    """
    metadata: dict[str, Any] = {}
    if torch_reader.is_torch(content):
        tensors = torch_reader.tensors(content, key)
    elif key is not None:
        raise FormatError("it has no entries of which a key chooses one: it is no PyTorch file")
    else:
        _check_header(content)
        found = _tensors(content)  # whose parser takes nothing but the entries of tensors: what JSON makes is no more
        names, metadata = _header(content)
        tensors = {name: found[name] for name in names if name in found}
    if any(len(name) > MAX_NAME for name in tensors):
        raise FormatError(f"a tensor has a name of more than {MAX_NAME:,} characters")
    unprintable = [name for name in tensors if not name.isprintable()]
    if unprintable:
        raise FormatError(f"the name {ascii(unprintable[0][:80])[:80]} is no printable text")
    return tensors, metadata


def _check_header(content: bytes) -> None:
    """Refuse what does not begin as a safetensors file, 8 bytes of length, then a JSON text, or a text too long."""
    length = int.from_bytes(content[:8], "little")
    if content[8:9] != b"{":
        raise FormatError(f"it is {_describe(content)}, wanted a checkpoint (safetensors or PyTorch)")
    if length > len(content) - 8:
        raise FormatError(f"damaged or cut off: a header of {length:,} bytes in {len(content):,}")
    if length > MAX_HEADER:
        raise FormatError(f"a header of {length:,} bytes, wanted at most {MAX_HEADER:,}")


def _header(content: bytes) -> tuple[list[str], dict[str, Any]]:
    """The names in a safetensors file's header, and the JSON object under KEY in its metadata."""
    length = int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8 : 8 + length])
        metadata = json.loads(header.get("__metadata__", {}).get(KEY, "{}"))
        json.dumps(metadata, allow_nan=False)  # NaN and infinities are no JSON: what loads can be written again
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise FormatError(f"its metadata is damaged: {one_line(error)}") from None
    if not isinstance(metadata, dict):
        raise FormatError(f"its metadata is damaged: a {type(metadata).__name__}, wanted an object")
    if "nodes" in metadata:
        raise FormatError("it is a packed network (.elq), wanted a checkpoint")
    return list(header), metadata


def _tensors(content: bytes) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file, which checks every size and place against the file's."""
    try:
        entries = safetensors.deserialize(content)  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise FormatError(f"damaged or cut off: {one_line(error)}") from None
    tensors = {}
    for name, entry in entries:
        kind = entry["dtype"]
        if kind not in _DTYPES:
            raise FormatError(f"{ascii(name[:80])[:80]} is {str(kind)[:20]}, wanted one of {', '.join(_DTYPES)}")
        dtype = np.dtype(_DTYPES[kind])
        array = np.frombuffer(entry["data"], dtype).reshape(entry["shape"])
        array = bfloat16(array) if kind == "BF16" else array
        tensors[name] = array.astype(array.dtype.newbyteorder("="), copy=False)
    return tensors


def _describe(content: bytes) -> str:
    """What a file that is no checkpoint seems to be."""
    if not content:
        return "empty"
    for start, what in _OTHERS.items():
        if content.startswith(start):
            return what
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in content[:64]):
        return "text"
    return f"something that begins with {content[:8].hex(' ')}"


def one_line(error: BaseException) -> str:
    """What an error says, without line breaks."""
    return " ".join(str(error)[:1000].split())[:160] or type(error).__name__
