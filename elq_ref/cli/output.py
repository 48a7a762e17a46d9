"""What all commands share: what they give back, progress, tables. Imports nothing of the training side."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
Result = tuple[dict[str, Any], str, int]  # the JSON object, the text, the exit code
_bars: list[Any] = []  # that are open


def progress(items: Iterable[T], total: int, label: str) -> Iterator[T]:
    """`items` with a progress bar on standard error, for what takes longer than half a second; a log file gets a line
    every ten seconds. Without the package tqdm there is no bar."""
    try:
        from tqdm import tqdm
    except ImportError:
        yield from items
        return
    slow = 0.1 if sys.stderr.isatty() else 10
    bar = tqdm(items, total=total, desc=label, file=sys.stderr, mininterval=slow, delay=0.5, leave=False)
    _bars.append(bar)
    yield from bar
    _bars.remove(bar)


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


def is_packed(path: str | Path) -> bool:
    """Whether a file is a packed network, by its name: .elq."""
    return Path(path).suffix == ".elq"


def table(rows: list[list[str]]) -> str:
    """Rows of cells as aligned columns, the first left, the others right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]).rstrip()
        for row in rows
    )
