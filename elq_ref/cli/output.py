"""What all commands share: what they give back, standard output and error, progress, tables. Imports nothing of the
training side.

The answer goes to standard output and must arrive there. All else goes to standard error, for people, and where nobody
can read it, nothing stops for that.
"""

from __future__ import annotations

import argparse
import errno
import json
import math
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, TextIO, TypeAlias, TypeVar

from ..errors import shown
from ..files import check_source

T = TypeVar("T")
Result = tuple[dict[str, Any], str, int]  # the JSON object, the text, the exit code
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # to which a command adds itself
EVERY = 10.0  # seconds between two lines of progress, where there is no terminal
_bars: list[Any] = []  # that are open


def answer(text: str) -> None:
    """A text of some lines and an end of line on standard output; OSError that names it where it cannot be written.

    A reader who has gone, as `| head` does, has seen enough.
    """
    check_output()
    try:
        _write(sys.stdout, text)
    except BrokenPipeError:
        _mute(sys.stdout)
    except OSError as error:
        _mute(sys.stdout)
        raise OSError(error.errno or errno.EIO, error.strerror or str(error), "standard output") from None


def check_output() -> None:
    """OSError where there is no standard output at all, as a shell leaves it for `>&-`."""
    if _is_closed(sys.stdout):
        raise OSError(errno.EBADF, "There is nowhere to write the answer", "standard output")


def say(text: str) -> None:
    """A text and an end of line on standard error, if there is one that can be written."""
    if _is_closed(sys.stderr):
        return
    try:
        _write(sys.stderr, text)
    except OSError:
        _mute(sys.stderr)


def _is_closed(stream: TextIO | None) -> bool:
    return stream is None or getattr(stream, "closed", False)


def _write(stream: TextIO, text: str) -> None:
    lines = "\n".join(map(shown, text.split("\n"))) + "\n"
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(lines.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def _mute(stream: TextIO) -> None:
    """Let what a stream still holds go nowhere: Python would fail on it once more at its end."""
    with suppress(OSError, ValueError, AttributeError):
        number = stream.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)


def progress(items: Iterable[T], total: int, label: str) -> Iterator[T]:
    """`items`, with a bar on standard error for what takes longer than half a second. Where that is no terminal, or
    without the package tqdm, a line now and then says how far it is."""
    try:
        from tqdm import tqdm
    except ImportError:
        tqdm = None
    if tqdm is None or not _is_terminal():
        yield from _with_lines(items, total, label)
        return
    bar = tqdm(items, total=total, desc=label, file=_Forgiving(sys.stderr), mininterval=0.1, delay=0.5, leave=False)
    _bars.append(bar)
    yield from bar
    _bars.remove(bar)


def _with_lines(items: Iterable[T], total: int, label: str) -> Iterator[T]:
    begin = told = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - told >= EVERY and done < total:
            left = timedelta(seconds=round((now - begin) / done * (total - done)))
            say(f"{label}: {done:,} of {total:,}, {left} left")
            told = now


def _is_terminal() -> bool:
    return not _is_closed(sys.stderr) and sys.stderr.isatty()


class _Forgiving:
    """Standard error for a bar, which must not stop the work when the terminal is gone."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


def close_progress() -> None:
    """Take away the bars of what an error stopped, so that its message has a line of its own."""
    while _bars:
        _bars.pop().close()


def add_key(command: argparse.ArgumentParser) -> None:
    """--key, of commands that read checkpoints."""
    command.add_argument("--key", help="entry of a PyTorch file that holds the tensors, where it has several: a or a/b")


def to_json(result: Any) -> str:
    """A result as JSON, which has no NaN and nothing infinite: null in their place."""
    return json.dumps(_finite(result), allow_nan=False)


def _finite(value: Any) -> Any:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {key: _finite(inside) for key, inside in value.items()}
        case list() | tuple():
            return [_finite(inside) for inside in value]
    return value


def add_activations(command: argparse.ArgumentParser) -> None:
    """--activations."""
    words = "float32 (default), or int8 for a calibrated network"
    command.add_argument("--activations", choices=("float32", "int8"), default="float32", help=words)


def add_most_operations(command: argparse.ArgumentParser) -> None:
    """--most-operations of a packed network."""
    from ..runtime.packed import MOST_OPERATIONS  # here: see is_packed

    words = f"refuse networks that take more for a picture, as elq summary says (default {MOST_OPERATIONS:,})"
    command.add_argument("--most-operations", type=int, default=MOST_OPERATIONS, help=words)


def is_packed(path: str | Path) -> bool:
    """Whether a file is a packed network, by its name, .elq, or by how it begins; errors as in `check_source`."""
    from ..runtime import container  # here: it imports the kernels, whose complaints `main` must be there to catch

    check_source(path)
    return Path(path).suffix == ".elq" or container.is_packed(path)


def table(rows: list[list[str]]) -> str:
    """Rows of cells as aligned columns, the first left, the others right."""
    rows = [[shown(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]).rstrip()
        for row in rows
    )
