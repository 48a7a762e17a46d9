"""PyTorch's files read without PyTorch: tensors and nothing else.

    zip format           NAME/data.pkl, a pickle that describes the tensors, and NAME/data/KEY, their storages
    old (before 1.6)     pickles of a magic number, a protocol, a system, the object and the storages' keys;
                         then each storage as a 64-bit count and its values

No memory is taken for a size that a file states before it has been checked against the file's own.
"""

from __future__ import annotations

import math
import struct
import zipfile
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np

from ..errors import FormatError
from .torch_pickle import Storage, View, interpret

ZIP_MAGIC = b"PK\x03\x04"
OLD_MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # the pickle of PyTorch's magic number

_PROTOCOL = 1001
_WRAPPERS = ("state_dict", "model")  # where training scripts put the tensors, beside their own notes
_MAX_AXES = 32
_MAX_EMPTY = 1 << 20  # bounds the sizes of a tensor without elements, whose storage bounds nothing

_DTYPES = {
    "Float": "<f4",
    "Double": "<f8",
    "Half": "<f2",
    "BFloat16": "<u2",
    "Long": "<i8",
    "Int": "<i4",
    "Short": "<i2",
    "Char": "i1",
    "Byte": "u1",
    "Bool": "u1",
}
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    ValueError,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
    OverflowError,
    struct.error,
)

_Data = Callable[[Storage], bytes]


def tensors(content: bytes) -> dict[str, np.ndarray]:
    """The tensors of a PyTorch file's content by name; entries that are no tensors are passed over.

    They are those of the dictionary that was saved, or of its entry "state_dict" or "model" if that is one.
    bfloat16 becomes float32. Arrays are read-only; those that shared memory share it. Raises FormatError for
    whatever is damaged or asks for anything but tensors.
    """
    value, data = _open_zip(content) if content.startswith(ZIP_MAGIC) else _open_old(content)
    if not isinstance(value, dict):
        raise FormatError(f"it holds a {type(value).__name__.lower()}, wanted a dictionary of tensors")
    value = next((value[key] for key in _WRAPPERS if isinstance(value.get(key), dict)), value)
    views = {name: v for name, v in value.items() if isinstance(name, str) and isinstance(v, View)}
    if not views:
        raise FormatError("it holds no tensors by name, wanted a state_dict()")
    for name, view in views.items():
        _check(name, view)
    storages = {view.storage.key: view.storage for view in views.values()}
    values = {key: _values(storage, data(storage)) for key, storage in storages.items()}
    return {name: _array(view, values[view.storage.key]) for name, view in views.items()}


def _open_zip(content: bytes) -> tuple[Any, _Data]:
    """The object of a file of the zip format, and what gives a storage's bytes."""
    try:
        archive = zipfile.ZipFile(BytesIO(content))
        entries = {entry.filename: entry for entry in archive.infolist()}
    except _ZIP_ERRORS as error:
        raise FormatError(f"a PyTorch zip file that is cut off or damaged: {_line(error)}") from None
    pickles = [name for name in entries if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise FormatError("a zip file without NAME/data.pkl: not PyTorch's")
    if pickles[0].removesuffix("data.pkl") + "constants.pkl" in entries:
        raise FormatError("a TorchScript program, wanted tensors: torch.save(torch.jit.load(FILE).state_dict(), OTHER)")
    folder = pickles[0].removesuffix("data.pkl")
    if any(e.compress_type != zipfile.ZIP_STORED or e.flag_bits & 1 for e in entries.values()):
        raise FormatError("a zip file with compressed or encrypted entries: PyTorch writes none")
    total = sum(entry.file_size for entry in entries.values())
    if total > len(content):
        raise FormatError(f"a zip file of {len(content):,} bytes that states {total:,} bytes of content")

    def take(name: str, size: int | None = None) -> bytes:
        entry = entries.get(folder + name)
        if entry is None:
            raise FormatError(f"{name[:80]!r} is missing in the PyTorch zip file")
        if size is not None and entry.file_size != size:
            raise FormatError(f"{name[:80]!r} has {entry.file_size:,} bytes, its tensors say {size:,}")
        try:
            return archive.read(entry)
        except _ZIP_ERRORS as error:
            raise FormatError(f"{name[:80]!r} in the PyTorch zip file is damaged: {_line(error)}") from None

    order = take("byteorder") if folder + "byteorder" in entries else b"little"
    if order != b"little":
        raise FormatError(f"its byte order is {order[:20]!r}, wanted little")
    value, _ = interpret(BytesIO(take("data.pkl")))
    return value, lambda storage: take(f"data/{storage.key}", _bytes(storage))


def _open_old(content: bytes) -> tuple[Any, _Data]:
    """The object of a file of the old format, and what gives a storage's bytes."""
    stream = BytesIO(content)
    stream.seek(len(OLD_MAGIC))
    protocol, _ = interpret(stream)
    system, _ = interpret(stream)
    value, storages = interpret(stream)
    keys, _ = interpret(stream)
    if type(protocol) is not int or protocol != _PROTOCOL:  # not printed: its text could be endless
        raise FormatError(f"its protocol is not {_PROTOCOL}")
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise FormatError("it was not written by a little-endian machine")
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise FormatError("its list of storages is none")
    if len(keys) != len(storages) or set(keys) != set(storages):
        raise FormatError(f"it lists {len(keys)} storages, its tensors use {len(storages)} others")
    places: dict[str, int] = {}
    position = stream.tell()
    for key in keys:
        count = int.from_bytes(content[position : position + 8], "little", signed=True)
        places[key] = position + 8
        position += 8 + _bytes(storages[key])
        if position > len(content):
            raise FormatError(f"cut off: {len(content):,} bytes, storage {key[:40]!r} ends at {position:,}")
        if count != storages[key].count:
            raise FormatError(f"storage {key[:40]!r} has {count:,} values, wanted {storages[key].count:,}")
    if position != len(content):
        raise FormatError(f"{len(content) - position:,} bytes follow its last storage")
    return value, lambda s: content[places[s.key] : places[s.key] + _bytes(s)]


def _bytes(storage: Storage) -> int:
    return storage.count * np.dtype(_DTYPES[storage.kind]).itemsize


def _reach(view: View) -> int:
    """How far its last element lies behind its first."""
    return sum((d - 1) * s for d, s in zip(view.shape, view.strides, strict=True))


def _check(name: str, view: View) -> None:
    """Refuse a tensor that is not inside its storage, or that is larger than it."""
    if type(view.offset) is not int or type(view.shape) is not tuple or type(view.strides) is not tuple:
        raise FormatError(f"tensor {name[:80]!r} has no offset, shape and strides")
    if any(type(n) is not int or n < 0 for n in (view.offset, *view.shape, *view.strides)):
        raise FormatError(f"tensor {name[:80]!r} has an offset, shape or strides that are no sizes")
    if len(view.shape) != len(view.strides) or len(view.shape) > _MAX_AXES:
        raise FormatError(f"tensor {name[:80]!r} has {len(view.shape)} axes and {len(view.strides)} strides")
    empty = 0 in view.shape
    end = view.offset + (0 if empty else 1 + _reach(view))
    # Strides of 0 repeat elements, perhaps endlessly: no network saves more of them than the storage holds.
    elements = math.prod(d or 1 for d in view.shape)
    sizes = (view.offset, view.shape, view.strides)
    if end > view.storage.count or elements > (_MAX_EMPTY if empty else view.storage.count):
        raise FormatError(
            f"tensor {name[:80]!r} with {str(sizes)[:80]} as offset, shape, strides "
            f"does not fit its storage of {str(view.storage.count)[:20]} values"
        )


def bfloat16(values: np.ndarray) -> np.ndarray:
    """bfloat16, given as its uint16 bits, as float32: they are the upper half of a float32's."""
    return (values.astype(np.uint32) << 16).view(np.float32)


def _values(storage: Storage, data: bytes) -> np.ndarray:
    """A storage's values in this machine's byte order."""
    values = np.frombuffer(data, _DTYPES[storage.kind])
    if storage.kind == "BFloat16":
        return bfloat16(values)
    if storage.kind == "Bool":
        return values.astype(bool)
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _array(view: View, values: np.ndarray) -> np.ndarray:
    """The tensor that `_check` has passed."""
    if 0 in view.shape:
        return np.empty(view.shape, values.dtype)
    # The stride of an axis of size 1 is never used and may be any number.
    steps = zip(view.shape, view.strides, strict=True)
    strides = tuple(s * values.itemsize if d > 1 else 0 for d, s in steps)
    array = np.ndarray(view.shape, values.dtype, values, view.offset * values.itemsize, strides)
    array.flags.writeable = False
    return array


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
