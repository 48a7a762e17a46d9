"""Checkpoints: named tensors and metadata in safetensors files; PyTorch's files are read too."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from ..errors import FormatError
from ..files import atomic_write
from ..nn import Module
from ..preprocessing import Normalization
from . import torch_reader

KEY = "elq"  # of the JSON text in the file's metadata
BOOKKEEPING = "elq/"  # the names of a run's own tensors begin with this; a network's never do

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


def save(
    path: str | os.PathLike[str], tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]
) -> None:
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


def read(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """(tensors by name, metadata) of a safetensors file or of a PyTorch file; the content tells which it is.

    Metadata is what was saved, {} for others' files. bfloat16 becomes float32; arrays may be read-only.
    Raises FileNotFoundError, or FormatError for a file that is damaged, hostile or of another kind.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no checkpoint {path}")
    if not path.is_file():
        raise FormatError(f"{path} is a folder or a device, wanted a checkpoint")
    content = path.read_bytes()
    try:
        if content.startswith((torch_reader.ZIP_MAGIC, torch_reader.OLD_MAGIC)):
            tensors, metadata = torch_reader.tensors(content), {}
        else:
            metadata = _metadata(content)
            tensors = _tensors(content)
        unprintable = [name for name in tensors if not name.isprintable()]
        if unprintable:
            raise FormatError(f"the name {ascii(unprintable[0])[:80]} is no printable text")
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from None
    return tensors, metadata


def load(net: Module, path: str | os.PathLike[str]) -> dict[str, Any]:
    """Assign the tensors of a checkpoint to `net`, converted to its dtype; returns the metadata.

    A prefix "module." of all names (PyTorch's DataParallel) is dropped; a run's bookkeeping and the counters
    num_batches_tracked, which nothing here reads, are passed over. Raises what `read` raises, and ValueError
    that lists what is missing, unexpected, of another shape or no float; then `net` is as it was.

    >>> elq.save(elq.models.lenet5(), "lenet5.safetensors", elq.NetworkInfo((1, 28, 28), tuple("0123456789"),
    ...     elq.datasets.Normalization((0.13,), (0.31,)), model="lenet5"))
    >>> net = elq.models.lenet5(seed=1)
    >>> elq.load(net, "lenet5.safetensors")["model"]
    'lenet5'
    >>> elq.load(elq.models.digits_cnn(), "lenet5.safetensors")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: lenet5.safetensors: the tensors do not fit DigitsCNN: missing: bn1.weight (32,), ...
    """
    tensors, metadata = read(path)
    state = {n: t for n, t in tensors.items() if not n.startswith(BOOKKEEPING)}
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): t for name, t in state.items()}
    state = {n: t for n, t in state.items() if n.rpartition(".")[2] != "num_batches_tracked"}
    for name, array in state.items():
        if array.dtype.kind != "f":
            raise ValueError(f"{path}: {name} is {array.dtype}, wanted floats")
    try:
        net.load_state_dict(state)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return metadata


def _metadata(content: bytes) -> dict[str, Any]:
    """The JSON object under KEY in a safetensors file's header: 8 bytes of length, then a JSON text."""
    length = int.from_bytes(content[:8], "little")
    if content[8:9] != b"{":
        raise FormatError(f"it is {_describe(content)}, wanted a checkpoint (safetensors or PyTorch)")
    if length > len(content) - 8:
        raise FormatError(f"damaged or cut off: a header of {length:,} bytes in {len(content):,}")
    try:
        entries = json.loads(content[8 : 8 + length]).get("__metadata__", {})
        metadata = json.loads(entries.get(KEY, "{}"))
        _check(metadata)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise FormatError(f"its metadata is damaged: {_line(error)}") from None
    if "nodes" in metadata:
        raise FormatError("it is a packed network (.elq), wanted a checkpoint")
    return metadata


def _check(metadata: Any) -> None:
    """Raise one of several errors unless `metadata` is a dictionary whose words on pictures can be used."""
    if not isinstance(metadata, dict):
        raise ValueError(f"a {type(metadata).__name__}, wanted an object")
    if not isinstance(metadata.get("model", ""), str):
        raise ValueError("model is no text")
    shape = metadata.get("input_shape", [1, 1, 1])
    if not isinstance(shape, list) or len(shape) != 3 or not all(type(n) is int and n > 0 for n in shape):
        raise ValueError("input_shape is not three numbers > 0")
    classes = metadata.get("classes", ["any"])
    if not isinstance(classes, list) or not classes or not all(isinstance(name, str) for name in classes):
        raise ValueError("classes are not a list of texts")
    if "normalization" in metadata:
        stored = metadata["normalization"]
        Normalization(tuple(map(float, stored["mean"])), tuple(map(float, stored["std"])))


def _tensors(content: bytes) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file, which checks every size and place against the file's."""
    try:
        entries = safetensors.deserialize(content)
    except safetensors.SafetensorError as error:
        raise FormatError(f"damaged or cut off: {_line(error)}") from None
    tensors = {}
    for name, entry in entries:
        kind = entry["dtype"]
        if kind not in _DTYPES:
            raise FormatError(f"{ascii(name)[:80]} is {str(kind)[:20]}, wanted one of {', '.join(_DTYPES)}")
        dtype = np.dtype(_DTYPES[kind])
        array = np.frombuffer(entry["data"], dtype).reshape(entry["shape"])
        array = torch_reader.bfloat16(array) if kind == "BF16" else array
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


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
