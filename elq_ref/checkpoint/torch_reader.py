"""PyTorch's files read without PyTorch: tensors and nothing else.

    zip format           NAME/data.pkl, a pickle that describes the tensors, and NAME/data/KEY, their storages
    old (before 1.6)     pickles of a magic number, a protocol, a system, the object and the storages' keys;
                         then each storage as a 64-bit count and its values

No memory is taken for a size that a file states before it has been checked against the file's own.
"""

from __future__ import annotations

import math
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np

from ..errors import FormatError
from . import torch_dtypes
from .entries import tensors_of
from .torch_pickle import UNTYPED, Opaque, Storage, View, interpret

ZIP_MAGIC = b"PK\x03\x04"
_MAGIC = b"l\xfc\x9cF\xf9 j\xa8P\x19"  # of the old format, as a number
_OLD_MAGIC = re.compile(
    rb"(?:\x80[\x02-\xff](?:\x95.{8})?\x8a\x0a" + re.escape(_MAGIC) + rb"|L%dL\n)\." % int.from_bytes(_MAGIC, "little"),
    re.DOTALL,
)

_PROTOCOL = 1001
_MAX_AXES = 32
_MAX_ELEMENTS = 1 << 31  # of a tensor that repeats its storage's values, or has none
_MAX_READINGS = 4  # of one storage as different dtypes or signs: each is a copy

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

_Data = Callable[[Storage], bytes | memoryview]
_Reading = tuple[str, str, bool, bool]  # key of the storage, dtype, negated, conjugated


def is_torch(content: bytes) -> bool:
    """Whether bytes begin as a PyTorch file does."""
    return content.startswith(ZIP_MAGIC) or _OLD_MAGIC.match(content) is not None


def tensors(content: bytes, key: str | None = None) -> dict[str, np.ndarray]:
    """The tensors of a PyTorch file's content by name; entries that are no dense tensors are passed over.

    They are those under `key`, or those that `entries.tensors_of` takes for the network's. Dtypes that NumPy has not
    become the next larger. Arrays are read-only; those that shared memory share it. Raises FormatError for whatever is
    damaged or changes a tensor in a way that is not known.
    """
    value, data, big = _open_zip(content) if content.startswith(ZIP_MAGIC) else _open_old(content)
    if isinstance(value, Opaque):
        raise FormatError(
            f"it asks for {value.name}, which builds no tensor: refused, not run "
            "(of a network of yours, save the state_dict())"
        )
    if isinstance(value, list | tuple) and any(isinstance(inside, dict) for inside in value):
        value = {str(k): inside for k, inside in enumerate(value)}
    if not isinstance(value, dict):
        raise FormatError(f"it holds a {type(value).__name__.lower()}, wanted a dictionary of tensors")
    views = tensors_of(value, key)
    readings: dict[str, set[_Reading]] = {}
    for name, view in views.items():
        _check(name, view, big)
        if view.storage is not None:
            readings.setdefault(view.storage.key, set()).add(_reading(view))
    if any(len(ways) > _MAX_READINGS for ways in readings.values()):
        raise FormatError(f"a storage is read in more than {_MAX_READINGS} ways, by dtype or sign: refused")
    made: dict[_Reading, np.ndarray] = {}
    for view in views.values():
        if view.storage is not None and _reading(view) not in made:
            made[_reading(view)] = _values(view, data(view.storage), big)
    return {name: _array(view, made) for name, view in views.items()}


def _open_zip(content: bytes) -> tuple[Any, _Data, bool]:
    """The object of a file of the zip format, what gives a storage's bytes, and whether those are big-endian."""
    try:
        archive = zipfile.ZipFile(BytesIO(content))
        listed = archive.infolist()
    except _ZIP_ERRORS as error:
        raise FormatError(f"a PyTorch zip file that is cut off or damaged: {_line(error)}") from None
    entries = {entry.filename: entry for entry in listed}
    if len(entries) != len(listed):
        raise FormatError("a zip file with two entries of one name")
    pickles = [name for name in entries if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise FormatError("a zip file without NAME/data.pkl: not PyTorch's")
    folder = pickles[0].removesuffix("data.pkl")
    if folder + "constants.pkl" in entries:
        raise FormatError("a TorchScript program, wanted tensors: torch.save(torch.jit.load(FILE).state_dict(), OTHER)")
    if any(e.compress_type != zipfile.ZIP_STORED or e.flag_bits & 1 for e in listed):
        raise FormatError("a zip file with compressed or encrypted entries: PyTorch writes none")
    total = sum(entry.file_size for entry in listed)
    if total > len(content):
        raise FormatError(f"a zip file of {len(content):,} bytes that states {total:,} bytes of content")

    def take(name: str, size: int | None = None) -> memoryview:
        entry = entries.get(folder + name)
        if entry is None:
            raise FormatError(f"{name[:80]!r} is missing in the PyTorch zip file")
        if size is not None and entry.file_size != size:
            raise FormatError(f"{name[:80]!r} has {entry.file_size:,} bytes, its tensors say {size:,}")
        return _stored(content, entry, name)

    order = bytes(take("byteorder")[:20]) if folder + "byteorder" in entries else b"little"
    if order not in (b"little", b"big"):
        raise FormatError(f"its byte order is {order!r}, wanted little or big")
    value, _ = interpret(BytesIO(take("data.pkl")))
    return value, lambda storage: take(f"data/{storage.key}", storage.size), order == b"big"


def _stored(content: bytes, entry: zipfile.ZipInfo, name: str) -> memoryview:
    """The bytes of an entry that is not compressed. A sum of 0 is none: PyTorch writes it where asked for no sums."""
    at = entry.header_offset
    if not 0 <= at <= len(content) - 30 or content[at : at + 4] != ZIP_MAGIC:
        raise FormatError(f"{name[:80]!r} in the PyTorch zip file is damaged: it has no header")
    start = at + 30 + sum(struct.unpack_from("<HH", content, at + 26))
    data = memoryview(content)[start : start + entry.file_size]
    if entry.compress_size != entry.file_size or len(data) != entry.file_size:
        raise FormatError(f"{name[:80]!r} in the PyTorch zip file is damaged: it reaches beyond the file")
    if entry.CRC and zlib.crc32(data) != entry.CRC:
        raise FormatError(f"{name[:80]!r} in the PyTorch zip file is damaged: another CRC than stated")
    return data


def _open_old(content: bytes) -> tuple[Any, _Data, bool]:
    """The object of a file of the old format, what gives a storage's bytes, and False: all is little-endian."""
    head = _OLD_MAGIC.match(content)
    assert head is not None
    stream = BytesIO(content)
    stream.seek(head.end())
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
        position += 8 + storages[key].size
        if position > len(content):
            raise FormatError(f"cut off: {len(content):,} bytes, storage {key[:40]!r} ends at {position:,}")
        if count != storages[key].count:
            raise FormatError(f"storage {key[:40]!r} has {count:,} values, wanted {storages[key].count:,}")
    if position != len(content):
        raise FormatError(f"{len(content) - position:,} bytes follow its last storage")
    return value, lambda s: memoryview(content)[places[s.key] : places[s.key] + s.size], False


def _dtype(view: View) -> str:
    """The dtype of a tensor by PyTorch's name, which may be one that is not known."""
    if view.dtype is not None:
        return torch_dtypes.KINDS.get(view.dtype, view.dtype)
    return torch_dtypes.KINDS.get(view.storage.kind if view.storage else "", "of no dtype")


def _reading(view: View) -> _Reading:
    return (view.storage.key if view.storage else "", _dtype(view), view.negated, view.conjugated)


def _reach(view: View) -> int:
    """How far its last element lies behind its first."""
    return sum((d - 1) * s for d, s in zip(view.shape, view.strides, strict=True))


def _check(name: str, view: View, big_endian: bool) -> None:
    """Refuse a tensor that is not inside its storage, or whose values are not known."""
    name = name[:80]
    if type(view.shape) is not tuple or type(view.strides) is not tuple:
        raise FormatError(f"tensor {name!r} has no offset, shape and strides")
    if len(view.shape) != len(view.strides) or len(view.shape) > _MAX_AXES:
        raise FormatError(f"tensor {name!r} has {len(view.shape)} axes and {len(view.strides)} strides")
    if any(type(n) is not int or not 0 <= n < 1 << 63 for n in (view.offset, *view.shape, *view.strides)):
        raise FormatError(f"tensor {name!r} has an offset, shape or strides that are no sizes")
    dtype = _dtype(view)
    itemsize = torch_dtypes.size(dtype)
    if itemsize is None:
        raise FormatError(f"tensor {name!r} is {ascii(dtype[:40])[1:-1]}, which NumPy has not")
    negable, conjugable = dtype != "bool" and not dtype.startswith("float8"), dtype.startswith("complex")
    if (view.negated and not negable) or (view.conjugated and not conjugable):
        raise FormatError(f"tensor {name!r} is {dtype} and negated or conjugated: refused")
    storage = view.storage or Storage(UNTYPED, "", 0)
    if view.dtype is not None and view.storage and storage.kind not in (UNTYPED, _kind_of(dtype)):
        raise FormatError(f"tensor {name!r} is {dtype} in a storage of {storage.kind}: refused")
    if storage.kind == UNTYPED and big_endian:
        raise FormatError(f"tensor {name!r} has a storage of bytes in a big-endian file: refused")
    count = storage.count // itemsize if storage.kind == UNTYPED else storage.count
    empty = 0 in view.shape
    end = view.offset + (0 if empty else 1 + _reach(view))
    # Strides of 0 repeat elements, which takes no memory here, but wherever they are used.
    elements = math.prod(d or 1 for d in view.shape)
    if end > count or elements > max(0 if empty else count, _MAX_ELEMENTS):
        sizes = (view.offset, view.shape, view.strides)
        raise FormatError(
            f"tensor {name!r} with {str(sizes)[:80]} as offset, shape, strides "
            f"does not fit its storage of {count} values"
        )


def _kind_of(dtype: str) -> str | None:
    return next((kind for kind, name in torch_dtypes.KINDS.items() if name == dtype), None)


def _values(view: View, data: bytes | memoryview, big_endian: bool) -> np.ndarray:
    """All values of the storage of a tensor, in its dtype and sign."""
    dtype = _dtype(view)
    itemsize = torch_dtypes.size(dtype) or 1
    values = torch_dtypes.values(data[: len(data) // itemsize * itemsize], dtype, big_endian)
    values = -values if view.negated else values
    return values.conj() if view.conjugated else values


def _array(view: View, made: dict[_Reading, np.ndarray]) -> np.ndarray:
    """The tensor that `_check` has passed."""
    if view.storage is None:
        return torch_dtypes.values(b"", _dtype(view))
    values = made[_reading(view)]
    if 0 in view.shape:
        return np.empty(view.shape, values.dtype)
    # The stride of an axis of size 1 is never used and may be any number.
    steps = zip(view.shape, view.strides, strict=True)
    strides = tuple(s * values.itemsize if d > 1 else 0 for d, s in steps)
    offset = (view.storage.start + view.offset) * values.itemsize
    array = np.ndarray(view.shape, values.dtype, values, offset, strides)
    array.flags.writeable = False
    return array


def _line(error: BaseException) -> str:
    return " ".join(str(error)[:1000].split())[:160] or type(error).__name__
