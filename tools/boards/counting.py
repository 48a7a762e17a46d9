"""Exact counts of instructions between two marks of a program (BOARD_COUNT of c/board.h)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from .building import BoardError, build, run
from .targets import Target

EMPTY = "empty"  # the count of nothing, in every program


def count(
    target: Target, sources: Sequence[Path], program: Path, flags: Sequence[str] = (), seconds: float = 120
) -> dict[str, int]:
    """name -> instructions, of every BOARD_COUNT that the program ran, less what the marks of BOARD_COUNT("empty", )
    took, which the program has to run too.
    """
    if not target.counts:
        raise BoardError(target, "counts no instructions")
    build(target, sources, program, flags)
    text = run(target, program, seconds, counting=True)
    found = {name: int(number) for name, number in re.findall(r"^count (.+) (\d+)$", text, re.M)}
    if EMPTY not in found:
        raise BoardError(target, f'has no BOARD_COUNT("{EMPTY}", ), wanted to know what the marks take')
    marks = found.pop(EMPTY)
    return {name: number - marks for name, number in found.items()}
