"""Session: a packed network ready to run on pictures."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np

from . import layers
from .kernels import kernel_name, prepare
from .packed import PackedNetwork

MAX_FLOATS = 1 << 26  # of activations that one pass holds: more pictures are run in several passes


class Session:
    """Runs a packed network with float32 activations; the weights stay packed, laid out once when it is made.

    session(x) -> float32 (N, classes), what the graph computes (no softmax). x is
      float32 (N, C, H, W): the network's input, normalized already;
      uint8 (N, C, H, W): pictures, normalized by the file's rule (x / 255 - mean) / std.
    One Session may be used from several threads at once: it holds nothing that a call changes. The result
    does not depend on the number of threads.
    Raises TypeError and ValueError that name the dtype or shape given and wanted.
    """

    def __init__(self, network: PackedNetwork | str | os.PathLike[str]) -> None:
        if not isinstance(network, PackedNetwork):
            network = PackedNetwork.load(network)
        graph, self.metadata = network.graph, network.metadata
        self.input_shape = graph.input_shape
        self.kernels = {
            node.name: kernel_name(node, network.shapes[node.inputs[0]]) for node in graph.nodes if node.weight
        }
        self._input, self._output = graph.input, graph.output
        last_use = {name: position for position, node in enumerate(graph.nodes) for name in node.inputs}
        last_use[graph.output] = len(graph.nodes)
        self._steps: list[tuple[str, Callable[..., np.ndarray], tuple[str, ...], list[str]]] = []
        for position, node in enumerate(graph.nodes):
            sizes = network.shapes[node.inputs[0]], network.shapes[node.name]
            run = prepare(node, *sizes) if node.weight else layers.prepare(node)
            dead = [name for name in {*node.inputs, node.name} if last_use.get(name, position) == position]
            self._steps.append((node.name, run, node.inputs, dead))
        floats = sum(int(np.prod(shape)) for shape in network.shapes.values())
        self._most = max(1, MAX_FLOATS // floats)
        mean, std = (np.array(v)[:, None] for v in (self.metadata.mean, self.metadata.std))
        self._normalized = ((np.arange(256) / 255 - mean) / std).astype(np.float32)  # (C, 256)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        dtype = x.dtype if isinstance(x, np.ndarray) else type(x).__name__
        if dtype not in (np.float32, np.uint8):
            raise TypeError(
                f"a Session reads arrays of float32 (normalized) or uint8 (pictures), given {dtype}"
            )
        if x.ndim != 4 or x.shape[1:] != self.input_shape:
            raise ValueError(f"this network reads (N, {str(self.input_shape)[1:]}, given shape {x.shape}")
        if len(x) <= self._most:
            return self._run(x)
        return np.concatenate(
            [self._run(x[first : first + self._most]) for first in range(0, len(x), self._most)]
        )

    def _run(self, x: np.ndarray) -> np.ndarray:
        if x.dtype == np.uint8:
            x = self._normalized[np.arange(x.shape[1])[:, None, None], x]
        known = {self._input: np.ascontiguousarray(x.transpose(0, 2, 3, 1))}
        for name, run, inputs, dead in self._steps:
            known[name] = run(*(known[i] for i in inputs))
            for gone in dead:
                del known[gone]
        return np.ascontiguousarray(known[self._output])
