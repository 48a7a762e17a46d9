"""elq verify: the statements of the method, of packed networks and of their integers, each computed two ways."""

from __future__ import annotations

import argparse
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .. import checkpoint, datasets, models
from ..checkpoint import Checkpoint
from ..datasets import Dataset
from ..files import check_target
from ..statements import Line, Subject, statements
from ..statements.subject import random_pictures
from .networks import open_network
from .output import Commands, Result, add_key

PICTURES = 8
WIDTHS = {
    "statement": 28,
    "equation": 32,
    "computed two ways": 44,
    "deviation": 9,
    "bound": 8,
    "bound from": 24,
    "verdict": 7,
}


def add(commands: Commands) -> None:
    command = commands.add_parser("verify", help="check the method, packed networks and their integers numerically")
    command.add_argument("--model", help="check those about losses on this model instead of a small CNN")
    command.add_argument("--checkpoint", help="its weights (default: random)")
    add_key(command)
    command.add_argument("--data", help="digits, mnist, cifar10, or a path to such a folder (default: noise)")
    command.add_argument("--data-dir", help="folder of the data sets (default: the environment variable ELQ_DATA)")
    command.add_argument("--report", metavar="DIR", help="write a page with every statement, DIR/index.html, too")
    command.add_argument("--plot", metavar="DIR", help="draw plots into DIR, too (needs matplotlib)")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    draw = _painter() if args.plot else None
    if args.report:
        check_target(Path(args.report) / "index.html")
    subject = _subject(args)
    if subject and args.checkpoint:
        _check_free(subject, args.checkpoint)
    started = time.perf_counter()
    lines = list(statements(subject))
    seconds = time.perf_counter() - started
    failed = [line for line in lines if not line.holds]
    files = [str(path) for path in draw(Path(args.plot))] if draw else []
    if args.report:
        from ..statements.page import write_page

        files.insert(0, str(write_page(lines, args.report, subject.name if subject else None)))
    summary = f"{len(lines) - len(failed)} of {len(lines)} statements hold ({seconds:.0f} s)"
    text = "\n".join([_table(lines), summary, *(f"does not hold: {line.statement}" for line in failed), *files])
    result = {"statements": [_entry(line) for line in lines], "failed": len(failed), "files": files}
    return result, text, 1 if failed else 0


def _painter() -> Callable[[Path], Iterator[Path]]:
    try:
        from ..statements.plots import draw
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise ValueError("--plot needs matplotlib: pip install 'elq_ref[plot]'") from None
    return draw


def _subject(args: argparse.Namespace) -> Subject | None:
    """The network that was asked for, or None for the small CNN."""
    if args.model is None and args.checkpoint is None:
        if args.data:
            raise ValueError("--data says on what --model or --checkpoint is checked: give one of them")
        return None
    if args.checkpoint is None:
        data = _data(args)
        net = models.build(args.model, data.input_shape, len(data.classes))
        return Subject.of(f"{args.model} on {data.name}", net, data)
    file = checkpoint.read(args.checkpoint, args.key)
    data = _data(args, file)
    net, info = open_network(file, args.model, data)
    return Subject.of(f"{info.model or file.path.name} on {data.name}", net, datasets.adapted(data, info))


def _data(args: argparse.Namespace, file: Checkpoint | None = None) -> Dataset:
    """A few pictures of the data set, or noise of the shape that the file states, or else that the model reads."""
    if args.data:
        return datasets.load(args.data, args.data_dir, "train").subset(np.arange(PICTURES))
    stated = file.stated if file else {}
    shape = stated.get("input_shape", (3, 32, 32) if str(args.model).startswith("resnet") else (1, 28, 28))
    return random_pictures(shape, len(stated.get("classes", range(10))), PICTURES)


def _check_free(subject: Subject, path: str) -> None:
    """ValueError for a quantized network, one with a weight of at most three values an output channel."""
    for name, weight in subject.net.quantizable().items():
        rows = weight.data.reshape(len(weight.data), -1)
        if rows.shape[1] > 3 and all(len(np.unique(row)) <= 3 for row in rows):
            raise ValueError(
                f"{path} is quantized ({name} stands on levels): W = W_hat there, and the statements are about a W "
                "that differs; give the float network that it was made of"
            )


def _entry(line: Line) -> dict[str, Any]:
    return {**vars(line), "holds": line.holds}


def _table(lines: list[Line]) -> str:
    """The lines as a table with wrapped cells."""
    rows = [list(WIDTHS), ["-" * width for width in WIDTHS.values()]]
    for line in lines:
        numbers = [f"{line.deviation:.2g}", f"{line.bound:.2g}"]
        rows.append([line.statement, line.equation, line.ways, *numbers, line.why, "holds" if line.holds else "FAILS"])
    out = []
    for row in rows:
        cells = [textwrap.wrap(cell, width) for cell, width in zip(row, WIDTHS.values(), strict=True)]
        for number in range(max(map(len, cells))):
            parts = [
                (cell[number] if number < len(cell) else "").ljust(width)
                for cell, width in zip(cells, WIDTHS.values(), strict=True)
            ]
            out.append("  ".join(parts).rstrip())
    return "\n".join(out)
