"""Machines that C can be built for and run on here: this one, others in user-mode emulation, and emulated boards.

    python -m tools.boards list
    python -m tools.boards run m4 FILE.c... [--flags=-Ifolder]
    python -m tools.boards count m4 FILE.c...

A program includes c/board.h and has a main(), whose value is its exit code. Boards have no operating system and no C
library: startup code, memcpy and memset are in c/. `targets.TARGETS` is the table.
"""

from .building import BoardError, BuildFailed, Crash, DoesNotFit, Hang, build, compile_object, link, run
from .counting import count
from .targets import TARGETS, Target

__all__ = [
    "TARGETS",
    "BoardError",
    "BuildFailed",
    "Crash",
    "DoesNotFit",
    "Hang",
    "Target",
    "build",
    "compile_object",
    "count",
    "link",
    "run",
]
