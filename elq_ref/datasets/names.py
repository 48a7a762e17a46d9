"""Names: a million names of files in the memory of their letters."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, overload

import numpy as np

_CHUNK = 1 << 16


class Names(Sequence[str]):
    """Names of files in an order: one array of bytes, where each begins, and which of them these are.

    >>> names = elq.datasets.Names.of(["cat/1.jpg", "cat/2.jpg", "dog/1.jpg"])
    >>> names[1], list(names.take([2, 0])), len(names.blob)
    ('cat/2.jpg', ['dog/1.jpg', 'cat/1.jpg'], 30)
    """

    def __init__(self, blob: np.ndarray, order: np.ndarray | None = None) -> None:
        """blob: uint8, the names in UTF-8 (surrogateescape), each with a zero byte behind it. order: of all names in it
        those that are meant, by number; None for all.
        """
        self.blob, self._ends = blob, np.flatnonzero(blob == 0)
        self.order = order

    @classmethod
    def of(cls, names: Iterable[str]) -> Names:
        """Those; ValueError for one with a zero byte, which no file has."""
        parts = [name.encode("utf-8", "surrogateescape") for name in names]
        if any(b"\0" in part for part in parts):
            raise ValueError("a name of a file with a zero byte in it")
        text = b"\0".join(parts) + b"\0" * bool(parts)
        return cls(np.frombuffer(text, np.uint8))

    def __len__(self) -> int:
        return len(self._ends if self.order is None else self.order)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Names: ...
    def __getitem__(self, index: int | slice) -> str | Names:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        return self._bytes(range(len(self))[index]).decode("utf-8", "surrogateescape")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and not isinstance(other, str) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def take(self, indices: Any) -> Names:
        """Those at `indices`, with the same memory."""
        numbers = np.arange(len(self)) if self.order is None else self.order
        taken = Names.__new__(Names)
        taken.blob, taken._ends, taken.order = self.blob, self._ends, numbers[np.asarray(indices)]
        return taken

    @property
    def digest(self) -> str:
        """SHA-256 of the names with a zero byte between two, in hexadecimal digits."""
        sums = hashlib.sha256()
        numbers = np.arange(len(self._ends)) if self.order is None else self.order
        begins = np.concatenate([[0], self._ends[:-1] + 1])
        for first in range(0, len(numbers), _CHUNK):
            part = numbers[first : first + _CHUNK]
            lengths = self._ends[part] + 1 - begins[part]  # with the zero byte
            places = np.arange(lengths.sum()) + np.repeat(begins[part] - lengths.cumsum() + lengths, lengths)
            letters = self.blob[places]
            sums.update(letters if first + _CHUNK < len(numbers) else letters[:-1])
        return sums.hexdigest()

    def _bytes(self, place: int) -> bytes:
        number = place if self.order is None else int(self.order[place])
        begin = int(self._ends[number - 1]) + 1 if number else 0
        return self.blob[begin : int(self._ends[number])].tobytes()
