"""World: the processes that share the micro-batches of a batch, and what they exchange. Here the one of a single one.

Process `rank` of `size` takes a run of neighbouring micro-batches. All processes call the same methods in the same
order, each of which waits for the others; each of them computes the same network to the same bits, so that after a step
nobody has to be told its weights.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from . import tree
from .launch import launched


class World:
    """One process alone: it has every micro-batch, sends nothing, and agrees with itself.

    sent: bytes that this process gave to others in `total`, so far. ring: those that a ring all-reduce would have sent
    of the same sums, 2 (size - 1) / size of each.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size
        self.sent = 0
        self.ring = 0.0

    def run(self, count: int, rank: int | None = None) -> tree.Span:
        """Which of `count` leaves a process (this one) takes: first .. last-1. Runs follow one another, none is longer
        than another by more than one leaf."""
        rank = self.rank if rank is None else rank
        return count * rank // self.size, count * (rank + 1) // self.size

    def total(self, leaf: Callable[[int], np.ndarray], count: int, length: int, dtype: np.dtype) -> np.ndarray:
        """The sum along the tree of `count` leaves: leaf(k) is a new array (length,) of `dtype`, asked for in order of
        the k that this process has. Every process gets the sum."""
        return tree.summed((0, count), leaf)

    def joined(self, part: np.ndarray) -> np.ndarray:
        """The arrays (n, ...) of all processes behind one another, in the order of their ranks."""
        return part

    def told(self, value: Any) -> Any:
        """What the first process has for `value`, of plain JSON values; the others' counts for nothing."""
        return value

    def any(self, asked: bool) -> bool:
        """Whether any process says True."""
        return asked

    def stop(self, code: int) -> None:
        """End every process, this one last, with the exit code; of one process alone nothing."""


ALONE = World()


@cache
def here(asked: bool = False) -> World:
    """The world that this process was started in: that of `mpirun`, or ALONE.

    mpirun of Open MPI and MPICH says so in the environment; `asked` is for launchers that do not. ValueError where the
    package mpi4py, or the MPI that it wants, is missing.
    """
    _, size = launched()
    if not asked and size == 1:
        return ALONE
    try:
        from .mpi import MPIWorld
    except (ImportError, RuntimeError) as error:  # RuntimeError: mpi4py finds no MPI library
        said = str(error).partition("\n")[0]
        raise ValueError(
            f"started as one of {size} processes of an MPI program, but MPI for Python is missing ({said}): wanted "
            "pip install 'elq_ref[mpi]', and an MPI"
        ) from None
    return MPIWorld()
