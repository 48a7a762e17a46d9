"""The World of processes that `mpirun` started, by mpi4py. Importing this file starts MPI.

A sum is shared out: of every array each process gets one slice from all the others, adds it along the tree, and gives
the others the result. That sends, of n bytes and R whole spans in a run, (size - 1) / size (R + 1) n bytes a process:
with one span each those of a ring all-reduce, whose order of additions depends on the number of processes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from mpi4py import MPI

from . import tree
from .world import World


class MPIWorld(World):
    """All processes of MPI's world."""

    def __init__(self) -> None:
        self._comm = MPI.COMM_WORLD
        super().__init__(self._comm.rank, self._comm.size)

    def total(self, leaf: Callable[[int], np.ndarray], count: int, length: int, dtype: np.dtype) -> np.ndarray:
        runs = [tree.spans(self.run(count, rank), count) for rank in range(self.size)]
        own = [tree.summed(span, leaf) for span in runs[self.rank]]
        cuts = np.array([length * rank // self.size for rank in range(self.size + 1)])
        widths = np.diff(cuts)
        here = int(widths[self.rank])

        # to every process its slice of each span's sum
        parts = [array[a:b] for a, b in pairwise(cuts) for array in own]
        send = own[0] if len(own) == 1 else np.concatenate([*parts, np.empty(0, dtype)])
        receive = np.empty(here * sum(map(len, runs)), dtype)
        self._comm.Alltoallv([send, len(own) * widths], [receive, [here * len(spans) for spans in runs]])
        every = [span for spans in runs for span in spans]
        mine = tree.joined((0, count), dict(zip(every, receive.reshape(len(every), here), strict=True)))

        result = np.empty(length, dtype)
        self._comm.Allgatherv(mine, [result, widths])
        others = self.size - 1
        self.sent += (len(send) - len(own) * here + others * here) * dtype.itemsize
        self.ring += 2 * others / self.size * length * dtype.itemsize
        return result

    def joined(self, part: np.ndarray) -> np.ndarray:
        counts = np.empty(self.size, np.int64)
        self._comm.Allgather(np.array([part.size]), counts)
        result = np.empty(int(counts.sum()), part.dtype)
        self._comm.Allgatherv(np.ascontiguousarray(part), [result, counts])
        return result.reshape(-1, *part.shape[1:])

    def told(self, value: Any) -> Any:
        text = np.frombuffer(json.dumps(value).encode() if self.rank == 0 else b"", np.uint8)
        return json.loads(self.joined(text).tobytes())

    def any(self, asked: bool) -> bool:
        return bool(self.joined(np.array([asked])).any())

    def stop(self, code: int) -> None:
        self._comm.Abort(code)
