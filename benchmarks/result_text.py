"""What a driver leaves under benchmarks/results: its command with what it printed, and beside that the figures."""

import argparse
import json
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from elq_ref.files import atomic_write


def add_output(parser: argparse.ArgumentParser) -> None:
    """The option -o, --output of every driver that measures."""
    parser.add_argument(
        "-o", "--output", type=_text, metavar="FILE.txt", help="text to write, figures beside it as .json"
    )


def _text(name: str) -> Path:
    if Path(name).suffix != ".txt":
        raise argparse.ArgumentTypeError(f"{name}: wanted a name that ends in .txt")
    return Path(name)


def write_result(path: Path | None, text: str, figures: Any) -> None:
    """Write the command and `text` to `path`, and {"command", "about", "figures"} beside it as .json; nothing without a
    path.

    figures: of plain values, in SI units where a name says nothing else.
    """
    if path is None:
        return
    with atomic_write(path) as temporary:
        temporary.write_text(f"    {command()}\n\n{text.rstrip()}\n")
    with atomic_write(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps({"command": command(), "about": about(), "figures": figures}, indent=1) + "\n")


def command() -> str:
    """How this process was called, without where it writes; a chosen instruction set is part of it."""
    words = sys.argv[1:]
    for option in ("-o", "--output"):
        if option in words:
            first = words.index(option)
            del words[first : first + 2]
    isa = f"ELQ_ISA={os.environ['ELQ_ISA']} " if "ELQ_ISA" in os.environ else ""
    return f"{isa}{' '.join([sys.argv[0], *map(shlex.quote, words)])}"


def about() -> dict[str, Any]:
    """Date, CPU, load and versions of this machine."""
    from datetime import date

    from elq_ref import runtime
    from elq_ref.machine import cpu_name
    from elq_ref.training.state import environment

    load = {"load": round(os.getloadavg()[0], 2)} if hasattr(os, "getloadavg") else {}
    made = {key: value for key, value in environment().items() if key != "threads"}  # of this process, not of its peers
    return {"date": str(date.today()), "cpu": cpu_name(), **load, **made, "runtime_kernel": runtime.info()["kernel"]}


def made_by(environment: Mapping[str, str]) -> str:
    """Versions, machine and kernels of a run in one line."""
    return ", ".join(f"{key} {value}" for key, value in environment.items())
