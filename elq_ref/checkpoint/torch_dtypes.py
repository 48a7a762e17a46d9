"""The dtypes of PyTorch's tensors as NumPy's: what NumPy has not becomes the next larger one that holds every value."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# PyTorch's name: (dtype of the bytes, what makes values of them)
_PLAIN = {
    "float32": "<f4", "float64": "<f8", "float16": "<f2", "int64": "<i8", "int32": "<i4", "int16": "<i2", "int8": "i1",
    "uint8": "u1", "uint16": "<u2", "uint32": "<u4", "uint64": "<u8", "complex64": "<c8", "complex128": "<c16",
}  # fmt: skip
KINDS = {
    "Float": "float32", "Double": "float64", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64",
    "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool",
    "ComplexFloat": "complex64", "ComplexDouble": "complex128",
}  # fmt: skip


def bfloat16(values: np.ndarray) -> np.ndarray:
    """bfloat16, given as its uint16 bits, as float32: they are the upper half of a float32's."""
    return (values.astype(np.uint32) << 16).view(np.float32)


def _small_float(fraction_bits: int, bias: int, nans: tuple[int, ...]) -> Callable[[np.ndarray], np.ndarray]:
    """Floats of 8 bits, a sign, an exponent and a fraction, by a table of float32, which holds each exactly."""
    bits = np.arange(256)
    exponent, fraction = (bits & 127) >> fraction_bits, bits % (1 << fraction_bits) / (1 << fraction_bits)
    size = np.ldexp(fraction + (exponent > 0), np.maximum(exponent, 1) - bias)
    table = np.where(bits > 127, -size, size).astype(np.float32)
    table[list(nans)] = np.nan
    return lambda values: table[values]


def _powers(values: np.ndarray) -> np.ndarray:
    """float8_e8m0fnu: 2^(bits - 127), NaN for 255."""
    powers: np.ndarray = np.ldexp(np.float32(1), values.astype(np.int32) % 255 - 127)
    powers[values == 255] = np.nan
    return powers


_MADE: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "bfloat16": ("<u2", bfloat16),
    "bool": ("u1", lambda values: values.astype(bool)),
    "complex32": ("<f2", lambda values: values.astype(np.float32).view(np.complex64)),
    "float8_e4m3fn": ("u1", _small_float(3, 7, (127, 255))),
    "float8_e4m3fnuz": ("u1", _small_float(3, 8, (128,))),
    "float8_e5m2": ("u1", lambda values: (values.astype(np.uint16) << 8).view(np.float16).astype(np.float32)),
    "float8_e5m2fnuz": ("u1", _small_float(2, 16, (128,))),
    "float8_e8m0fnu": ("u1", _powers),
}


def size(name: str) -> int | None:
    """Bytes of a value, None for a dtype that is not known."""
    if name == "complex32":
        return 4
    stored = _PLAIN.get(name) or _MADE.get(name, (None,))[0]
    return None if stored is None else np.dtype(stored).itemsize


def values(data: bytes | memoryview, name: str, big_endian: bool = False) -> np.ndarray:
    """The values of whole elements in this machine's byte order."""
    stored, make = _MADE[name] if name in _MADE else (_PLAIN[name], None)
    array = np.frombuffer(data, np.dtype(stored).newbyteorder(">") if big_endian else stored)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    return array if make is None else make(array)
