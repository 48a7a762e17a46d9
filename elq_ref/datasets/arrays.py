"""Arrays in a .npz file that is not trusted: nothing is unpickled, and memory is taken after what the header states was
compared with what the file holds."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from ..errors import FormatError

# What a damaged member raises: OSError is a seek to where no file can be.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)
_PLAIN = 1 << 30  # bytes of an array that any file may unpack to
_RATIO = 32  # how many times its own size a larger one may unpack to


class Arrays:
    """The arrays of a .npz file, whole numbers, each read when it is asked for.

    FormatError for whatever else a file can be, when it is opened or read; wanted: what such a file has, for that text.
    """

    def __init__(self, path: Path, wanted: str) -> None:
        self.path, self.wanted = path, wanted

    def __enter__(self) -> Arrays:
        try:
            self.zip = zipfile.ZipFile(self.path)
        except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:
            raise FormatError(f"{self.path} is no .npz file: {error}") from None
        return self

    def __exit__(self, *_: object) -> None:
        self.zip.close()

    def __contains__(self, name: str) -> bool:
        return f"{name}.npy" in self.zip.namelist()

    def read(self, name: str) -> np.ndarray:
        if name not in self:
            there = ", ".join(n.removesuffix(".npy")[:40] for n in self.zip.namelist()[:8]) or "nothing"
            raise FormatError(f"{self.path} has no {name}, it has {there}: wanted {self.wanted}")
        if self.zip.getinfo(f"{name}.npy").compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise FormatError(f"{self.path}: {name} is packed otherwise than np.savez and np.savez_compressed do")
        try:
            with self.zip.open(f"{name}.npy") as file:
                self._check(name, file)
            with self.zip.open(f"{name}.npy") as file:
                array: np.ndarray = npy.read_array(file, allow_pickle=False)
        except FormatError:
            raise
        except _DAMAGE as error:
            raise FormatError(f"{self.path}: {name} cannot be read: {' '.join(str(error).split())[:160]}") from None
        return array

    def _check(self, name: str, file: IO[bytes]) -> None:
        """FormatError unless the header states what the file can hold."""
        version = npy.read_magic(file)
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
        if read is None:
            raise FormatError(f"{self.path}: {name} has the version {version} of .npy, wanted 1.0 or 2.0")
        shape, _, dtype = read(file)
        if dtype.hasobject or dtype.kind not in "ui":
            raise FormatError(f"{self.path}: {name} is {dtype}, wanted whole numbers")
        size = math.prod(shape) * dtype.itemsize
        stated = self.zip.getinfo(f"{name}.npy").file_size - file.tell()
        most = max(_PLAIN, self.path.stat().st_size * _RATIO)
        if size != stated or size > most:
            raise FormatError(
                f"{self.path}: {name} states {shape}, {size:,} bytes, and has {stated:,}; wanted that, up to {most:,}"
            )
