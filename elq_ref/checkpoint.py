"""Checkpoints: tensors and metadata to and from files. Ours are safetensors; PyTorch's .pth/.th are read too."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from . import torch_reader
from .errors import FormatError
from .files import atomic_write
from .nn import Module

MAX_HEADER = 1 << 26  # bytes of a safetensors header; the largest published models need about 1 << 20
BOOKKEEPING = "elq/"  # names of a run's own tensors begin with this; a network's never do

_DTYPES = {
    "BOOL": "b1", "U8": "u1", "I8": "i1", "I16": "<i2", "U16": "<u2", "I32": "<i4", "U32": "<u4",
    "I64": "<i8", "U64": "<u8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip

_OTHERS = {
    b"\x80": "a pickle that is not PyTorch's",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8": "a JPEG picture",
    b"\x1f\x8b": "a gzip file",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
}


def save(
    path: str | os.PathLike[str], tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]
) -> None:
    """Write `tensors` and `metadata` (JSON values) to a safetensors file, atomically.

    Arrays of bool, 8 to 64 bit integers and float16 to float64, any shape and strides.
    Raises TypeError or ValueError for metadata that JSON does not hold, or an array of another dtype.
    """
    for name, array in tensors.items():
        if array.dtype.newbyteorder("<").str.lstrip("|") not in _DTYPES.values():
            raise TypeError(f"{name} is {array.dtype}, wanted bool, integers or float16 to float64")
    text = json.dumps(dict(metadata), allow_nan=False)
    # A copy in C order: safetensors writes the bytes of an array as they lie.
    little = {n: np.array(a, dtype=a.dtype.newbyteorder("<"), order="C") for n, a in tensors.items()}
    content = safetensors.numpy.save(little, {"elq": text})
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def read(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """(tensors by name, metadata) of a safetensors file or of PyTorch's state dict; the content tells which.

    Metadata is what `save` was given, {} for others' files. bfloat16 becomes float32. Arrays may be read-only.
    Raises FileNotFoundError, or FormatError for a file that is damaged, hostile or of another kind.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no checkpoint {path}")
    if not path.is_file():
        raise FormatError(f"{path} is a folder or a device, wanted a checkpoint file")
    content = path.read_bytes()
    try:
        if torch_reader.recognises(content):
            return torch_reader.tensors(content), {}
        return _safetensors(content)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from None


def load(net: Module, path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the checkpoint `path` into `net`, converted to its dtype; returns the metadata.

    The `module.` of PyTorch's DataParallel is taken off the names; a run's bookkeeping and PyTorch's
    num_batches_tracked are passed over. Raises ValueError with what is missing, unexpected or of another shape
    or kind; then nothing was assigned.
    """
    tensors, metadata = read(path)
    state = {n: t for n, t in tensors.items() if not n.startswith(BOOKKEEPING)}
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): t for name, t in state.items()}
    state = {n: t for n, t in state.items() if n.rpartition(".")[2] != "num_batches_tracked"}
    try:
        for name, array in state.items():
            if array.dtype.kind != "f":
                raise ValueError(f"{name} is {array.dtype}, wanted floating point")
        net.load_state_dict(state)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return metadata


def _safetensors(content: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    metadata = _metadata(_header(content))
    try:
        entries = safetensors.deserialize(content)
    except safetensors.SafetensorError as error:
        raise FormatError(f"a safetensors file that is damaged or cut off: {_line(error)}") from None
    return {name: _array(name, entry) for name, entry in entries}, metadata


def _header(content: bytes) -> dict[str, Any]:
    """The JSON header of a safetensors file: its length in 8 bytes, then the text."""
    if not content:
        raise FormatError("the file is empty, wanted a checkpoint (safetensors or PyTorch)")
    length = int.from_bytes(content[:8], "little")
    if len(content) < 10 or length < 2 or content[8:9] != b"{":
        raise FormatError(f"found {_describe(content)}, wanted a checkpoint (safetensors or PyTorch)")
    if length > min(MAX_HEADER, len(content) - 8):
        raise FormatError(
            f"a safetensors file that is damaged or cut off: a header of {length:,} bytes in {len(content):,}"
        )
    try:
        header = json.loads(content[8 : 8 + length])
    except (ValueError, RecursionError) as error:
        raise FormatError(f"the safetensors header is no valid JSON: {_line(error)}") from None
    if not isinstance(header, dict):
        raise FormatError("the safetensors header is no JSON object")
    return header


def _metadata(header: dict[str, Any]) -> dict[str, Any]:
    entries = header.get("__metadata__", {})
    text = entries.get("elq", "{}") if isinstance(entries, dict) else None
    try:
        metadata = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        metadata = None
    if not isinstance(metadata, dict):
        raise FormatError('the metadata under "elq" is no JSON object')
    return metadata


def _array(name: str, entry: dict[str, Any]) -> np.ndarray:
    """One tensor of a safetensors file, whose sizes safetensors has checked."""
    kind, shape, data = entry["dtype"], entry["shape"], entry["data"]
    if kind == "BF16":
        return torch_reader.bfloat16(np.frombuffer(data, "<u2")).reshape(shape)
    if kind not in _DTYPES:
        raise FormatError(f"{name[:80]!r} is {str(kind)[:20]}, wanted one of BF16, {', '.join(_DTYPES)}")
    dtype = np.dtype(_DTYPES[kind])
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _describe(content: bytes) -> str:
    """A guess in words of what a file is."""
    for start, what in _OTHERS.items():
        if content.startswith(start):
            return what
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in content[:64]):
        return "text"
    return f"the bytes {content[:8].hex(' ')}"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160]
