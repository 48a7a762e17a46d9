"""Session: a packed network ready to run on pictures."""

from __future__ import annotations

import os

import numpy as np

from . import kernels
from .integer import to_int8
from .numpy_program import NumpyProgram
from .packed import PackedNetwork
from .program import Program

ACTIVATIONS = ("float32", "int8")


class Session:
    """Runs a packed network; the weights stay packed, laid out once when it is made.

    session(x) -> float32 (N, classes), what the graph computes (no softmax). x is
      float32 (N, C, H, W): the network's input, normalized already;
      uint8 (N, C, H, W): pictures, normalized by the file's rule (x / 255 - mean) / std.
    activations "int8": integer arithmetic (docs/arithmetic.md), for networks that `elq calibrate` has gone through.

    One Session may be used from several threads at once: each call has memory of its own. The result depends neither on
    the number of threads nor on the other pictures of the call. The first call with more pictures than ever takes
    memory, which later ones use again.
    Raises TypeError and ValueError that name the dtype or shape given and wanted.
    """

    def __init__(self, network: PackedNetwork | str | os.PathLike[str], activations: str = "float32") -> None:
        if not isinstance(network, PackedNetwork):
            network = PackedNetwork.load(network)
        if activations not in ACTIVATIONS:
            raise ValueError(f"activations are {activations!r}, wanted one of {', '.join(ACTIVATIONS)}")
        if activations == "int8" and network.int8 is None:
            raise ValueError("this network has no int8 program: `elq calibrate` makes one")
        self.activations, self.metadata, self.input_shape = activations, network.metadata, network.graph.input_shape
        self._classes = len(self.metadata.classes)
        self._layers = {name: (w.levels, w.shape, w.size) for name, w in network.layers.items()}
        if activations == "float32":
            table = self.metadata.normalization.table()
        else:
            table, self._factor = network.int8.table, network.int8.factor.astype(np.float64)
            self._scale = network.int8.scales[network.graph.input]
        kind = NumpyProgram if kernels._infer is None else Program
        self._program = kind(network, activations, table)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        if self.activations == "float32":
            return self._run(x)
        return (self._run(x) * self._factor).astype(np.float32)

    def raw(self, x: np.ndarray) -> np.ndarray:
        """int32 (N, classes) of int8 activations, before they are scaled to logits: `interpret_int8`'s raw."""
        if self.activations == "float32":
            raise ValueError("a Session with float32 activations has no raw integers")
        return self._run(x)

    def profile(self, x: np.ndarray) -> list[tuple[str, str, str, float, int]]:
        """Run x once and say where the time went: (step, op, kernel, seconds, multiply-adds a picture) of every
        step, in order. Several threads share each step, even where a call would give them pictures of their own.
        """
        seconds = np.zeros(len(self._program.steps))
        self._run(x, seconds)
        return [
            (step.name, step.op, step.runs, float(t), step.macs)
            for step, t in zip(self._program.steps, seconds, strict=True)
        ]

    @property
    def kernels(self) -> dict[str, str]:
        """What runs each convolution and fully connected layer, by name."""
        if self.activations == "int8" and isinstance(self._program, NumpyProgram):
            return dict.fromkeys(self._layers, "NumPy")
        return {step.source: step.runs for step in self._program.steps if step.macs}

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights as they lie in memory."""
        return sum(self._program.layer_bytes.values())

    @property
    def arena_bytes(self) -> int:
        """Bytes of the activations of one picture that live at the same time (0: NumPy, which plans nothing)."""
        return self._program.arena_bytes

    def summary(self) -> str:
        """A table: for every layer name, shape, levels, bits a weight and bytes in memory, multiply-adds a
        picture, and the kernel that runs it.
        """
        rows = [("layer", "shape", "levels", "bits/weight", "bytes", "MMAC", "kernel")]
        macs = {step.source: step.macs for step in self._program.steps}
        for name, kernel in self.kernels.items():
            levels, shape, size = self._layers[name]
            held = self._program.layer_bytes[name]
            work = f"{macs[name] / 1e6:,.2f}" if name in macs else ""
            row = name, "x".join(map(str, shape)), levels, f"{8 * held / size:.2f}", f"{held:,}", work, kernel
            rows.append(row)
        work, arena = f"{sum(macs.values()) / 1e6:,.2f}", f"{self.arena_bytes:,} bytes of activations"
        rows.append(("total", "", "", "", f"{self.weight_bytes:,}", work, arena))
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        signs = "<<<>>><"
        lines = ("  ".join(f"{t:{a}{w}}" for t, a, w in zip(row, signs, widths, strict=True)) for row in rows)
        return "\n".join(line.rstrip() for line in lines)

    def _run(self, x: np.ndarray, seconds: np.ndarray | None = None) -> np.ndarray:
        dtype = x.dtype if isinstance(x, np.ndarray) else type(x).__name__
        if dtype not in (np.float32, np.uint8):
            raise TypeError(f"a Session reads arrays of float32 (normalized) or uint8 (pictures), given {dtype}")
        if x.ndim != 4 or x.shape[1:] != self.input_shape:
            raise ValueError(f"this network reads (N, {str(self.input_shape)[1:]}, given shape {x.shape}")
        if dtype == np.float32 and self.activations == "int8":
            x = to_int8(x, self._scale)
        if not len(x):
            return np.empty((0, self._classes), np.float32 if self.activations == "float32" else np.int32)
        return self._program.run(np.ascontiguousarray(x), seconds)
