"""What a driver keeps under benchmarks/results: the command that made it, and what it printed."""

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from elq_ref.files import atomic_write


def keep(path: Path | None, text: str) -> None:
    """Write the command and `text` to `path`; nothing without one."""
    if path is None:
        return
    with atomic_write(path) as temporary:
        temporary.write_text(f"    {command()}\n\n{text.rstrip()}\n")


def command() -> str:
    """How this process was called, without where it writes; a chosen instruction set is part of it."""
    words = [Path(sys.argv[0]).name, *sys.argv[1:]]
    for option in ("-o", "--output"):
        if option in words:
            first = words.index(option)
            del words[first : first + 2]
    isa = f"ELQ_ISA={os.environ['ELQ_ISA']} " if "ELQ_ISA" in os.environ else ""
    return f"{isa}python benchmarks/{shlex.join(words)}"


def made_by(environment: Mapping[str, str]) -> str:
    """Versions, machine and kernels of a run in one line."""
    return ", ".join(f"{key} {value}" for key, value in environment.items())
