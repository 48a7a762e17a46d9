"""What a file is read with, that nobody trusts: tensors that are each taken once, JSON values of the right kind.

Whatever is wrong becomes one FormatError of one line.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import FormatError

# The name in a file of every dtype that a tensor may have.
DTYPES: dict[np.dtype[Any], str] = {
    np.dtype(np.uint8): "U8",
    np.dtype(np.int8): "I8",
    np.dtype(np.int32): "I32",
    np.dtype(np.float32): "F32",
}


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
                f"tensor {name!r} is {DTYPES[array.dtype]} {array.shape}, "
                f"wanted {DTYPES[np.dtype(dtype)]} {' or '.join(map(str, shapes))}"
            )
        return array

    def next(self, name: str, dtype: Any, count: int) -> np.ndarray:
        """The next `count` numbers of the tensor `name`, of `dtype`, on one axis."""
        array = self._tensors.get(name)
        if array is None:
            raise FormatError(f"tensor {name!r} is missing")
        first = self._taken.get(name, 0)
        if array.dtype != dtype or array.ndim != 1 or len(array) - first < count:
            raise FormatError(
                f"tensor {name!r} is {DTYPES[array.dtype]} {array.shape}, "
                f"wanted {DTYPES[np.dtype(dtype)]} with at least {first + count} numbers"
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
