"""A network run by NumPy, where the extension is missing: the same as c_backend.CBackend, slower."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..graph.nodes import required
from .integer_interpreter import interpret_int8
from .numpy_functions import function
from .packed import PackedNetwork

MAX_FLOATS = 1 << 26  # of activations that one pass holds: more pictures are run in several passes


@dataclass(frozen=True, eq=False)
class NumpyInstruction:
    """A node as a function of the values that it reads; `dead` are those that nobody reads afterwards."""

    name: str
    op: str
    macs: int
    source: str
    reads: tuple[str, ...] = ()
    run: Callable[..., np.ndarray] | None = None
    dead: tuple[str, ...] = ()
    runs: str = "NumPy"


class NumpyBackend:
    """A network compiled for one kind of activations; with int8 ones it is the definition itself, one instruction."""

    arena_bytes = 0

    def __init__(self, network: PackedNetwork, activations: str, table: np.ndarray) -> None:
        graph, shapes = network.graph, network.shapes
        self._input, self._output, self._table = graph.input, graph.output, table
        self._int8 = network.int8 if activations == "int8" else None
        macs = network.macs
        self.instructions = []
        if self._int8 is not None:
            self.instructions.append(NumpyInstruction(graph.output, "network", sum(macs.values()), graph.output))
        else:
            last = {name: position for position, node in enumerate(graph.nodes) for name in node.inputs}
            last[graph.output] = len(graph.nodes)
            for position, node in enumerate(graph.nodes):
                dead = tuple(name for name in {*node.inputs, node.name} if last.get(name, position) == position)
                work, run = macs.get(node.name, 0), function(node, shapes[node.name])
                self.instructions.append(NumpyInstruction(node.name, node.op, work, node.name, node.inputs, run, dead))
        self.layer_bytes = {name: weight.data.nbytes for name, weight in network.layers.items()}
        self._most = max(1, MAX_FLOATS // sum(map(math.prod, shapes.values())))

    def run(self, x: np.ndarray, seconds: np.ndarray | None = None) -> np.ndarray:
        """float32 (N, classes) of x float32 or uint8 (N, C, H, W); or the raw int32 of x int8 or uint8."""
        parts = [self._run(x[first : first + self._most], seconds) for first in range(0, len(x), self._most)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _run(self, x: np.ndarray, seconds: np.ndarray | None) -> np.ndarray:
        before = time.perf_counter()
        if self._int8 is not None:
            raw = interpret_int8(self._int8, x).raw
            if seconds is not None:
                seconds[0] += time.perf_counter() - before
            return raw
        if x.dtype == np.uint8:
            x = self._table[np.arange(x.shape[1])[:, None, None], x]
        known = {self._input: np.ascontiguousarray(x.transpose(0, 2, 3, 1))}
        for position, instruction in enumerate(self.instructions):
            known[instruction.name] = required(instruction.run)(*(known[i] for i in instruction.reads))
            for gone in instruction.dead:
                del known[gone]
            if seconds is not None:
                now = time.perf_counter()
                seconds[position] += now - before
                before = now
        return np.ascontiguousarray(known[self._output])
