"""What `mpirun` tells the processes that it starts, before any of them has begun to speak with the others."""

from __future__ import annotations

import os

_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")  # of Open MPI; of MPICH and its kin
_RANKS = ("OMPI_COMM_WORLD_RANK", "PMI_RANK")


def launched() -> tuple[int, int]:
    """(rank, size) by the environment; (0, 1) where no launcher says so."""
    return _number(_RANKS, 0), _number(_SIZES, 1)


def _number(names: tuple[str, ...], otherwise: int) -> int:
    return next((int(os.environ[name]) for name in names if os.environ.get(name, "").isdecimal()), otherwise)
