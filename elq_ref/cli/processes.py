"""Several processes on the command line: what `elq train`, `quantize` and `reproduce` take, and how they end. Imports
no kernels, as all that `main` itself imports."""

from __future__ import annotations

import argparse
import os
import sys
import time

from ..parallel import ALONE, World, here
from ..parallel.launch import launched

_TURN, _LONGEST = 0.25, 10.0  # seconds that a process leaves to each of those before it, and to all of them


def add_processes(command: argparse.ArgumentParser) -> None:
    """--micro-batch and --mpi."""
    about = "pictures that are computed on at a time, a divisor of the batch size, which processes of mpirun share"
    command.add_argument("--micro-batch", type=int, metavar="M", help=f"{about} (default: the batch)")
    about = "several processes, where a launcher other than mpirun started them (docs/several-processes.md)"
    command.add_argument("--mpi", action="store_true", help=about)


def mute_others() -> None:
    """Let the first process alone speak to people; what ends one of the others it still says."""
    rank, _ = launched()
    _mute(rank)


def world_asked(args: argparse.Namespace) -> World:
    """The processes that share the work of a command."""
    if not hasattr(args, "mpi"):
        return ALONE
    world = here(args.mpi)
    _mute(world.rank)
    return world


def _mute(rank: int) -> None:
    if rank > 0:
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for as long as the process lives


def await_turn(world: World) -> str:
    """Before a process says why it stops: how its line begins.

    What stops all of them the first one says, and ends the others meanwhile.
    """
    if world.rank == 0:
        return ""
    time.sleep(min(1 + _TURN * world.rank, _LONGEST))
    sys.stderr = sys.__stderr__
    return f"process {world.rank} of {world.size}: "
