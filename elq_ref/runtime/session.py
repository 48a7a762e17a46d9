"""Session: a packed network ready to run on pictures."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from ..graph.nodes import required
from . import native
from .c_backend import CBackend
from .instructions import Instruction
from .integer_constants import to_int8
from .numpy_backend import NumpyBackend, NumpyInstruction
from .packed import MOST_OPERATIONS, PackedNetwork

ACTIVATIONS = ("float32", "int8")


class Session:
    """Runs a packed network; the weights stay packed, laid out once when it is made.

    session(x) -> float32 (N, classes), what the graph computes (no softmax). x is
      float32 (N, C, H, W): the network's input, normalized already;
      uint8 (N, C, H, W): pictures, normalized by the file's rule (x / 255 - mean) / std.
    activations "int8": integer arithmetic (docs/arithmetic.md), for networks that `elq calibrate` has gone through.

    most_operations: how much work a picture may take (PackedNetwork.operations). A network that takes more is refused,
    so that a small file from elsewhere does not keep the machine busy.

    One Session may be used from several threads at once: each call has memory of its own. The result depends neither on
    the number of threads nor on the other pictures of the call. The first call with more pictures than ever takes
    memory, which later ones use again. A Session can be copied and pickled; for that it keeps its packed network.
    Raises TypeError and ValueError that name the dtype or shape given and wanted.

    >>> _, test = elq.datasets.digits()
    >>> session = elq.Session(elq.pack(elq.models.digits_cnn(), test, quantized={}))
    >>> logits = session(test.images[:3])
    >>> bool(np.allclose(logits, session(test.normalized(slice(3)))))
    True
    """

    def __init__(
        self,
        network: PackedNetwork | str | os.PathLike[str],
        activations: str = "float32",
        most_operations: int = MOST_OPERATIONS,
    ) -> None:
        if not isinstance(network, PackedNetwork):
            network = PackedNetwork.load(network)
        if activations not in ACTIVATIONS:
            raise ValueError(f"activations are {activations!r}, wanted one of {', '.join(ACTIVATIONS)}")
        if activations == "int8" and network.int8 is None:
            raise ValueError("this network is not calibrated for int8 activations: `elq calibrate` does that")
        network.check_operations(most_operations)
        self.activations, self.metadata, self.input_shape = activations, network.metadata, network.graph.input_shape
        self._made_of = network, activations, most_operations
        self._classes = len(self.metadata.classes)
        self._layers = {name: (w.levels, w.shape, w.size) for name, w in network.layers.items()}
        if activations == "float32":
            table = self.metadata.normalization.table()
        else:
            int8 = required(network.int8)
            table, self._factor = int8.table, int8.factor.astype(np.float64)
            self._scale = int8.scales[network.graph.input]
        backend: type[CBackend | NumpyBackend] = NumpyBackend if native._infer is None else CBackend
        self._backend = backend(network, activations, table)

    def __reduce__(self) -> tuple[type[Session], tuple[PackedNetwork, str, int]]:
        """Pickled as the network, which is laid out for the machine that unpickles it."""
        return type(self), self._made_of

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
        """Run x once and say where the time went: (value, op, kernel, seconds, multiply-adds a picture) of every
        instruction, in order. Several threads share each one, even where a call would give them pictures of their own.
        """
        seconds = np.zeros(len(self._backend.instructions))
        self._run(x, seconds)
        instructions: Sequence[Instruction | NumpyInstruction] = self._backend.instructions
        return [(i.name, i.op, i.runs, float(t), i.macs) for i, t in zip(instructions, seconds, strict=True)]

    @property
    def kernels(self) -> dict[str, str]:
        """What runs each convolution and fully connected layer, by name."""
        if self.activations == "int8" and isinstance(self._backend, NumpyBackend):
            return dict.fromkeys(self._layers, "NumPy")
        return {i.source: i.runs for i in self._backend.instructions if i.macs}

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights as they lie in memory."""
        return sum(self._backend.layer_bytes.values())

    @property
    def arena_bytes(self) -> int:
        """Bytes of the activations of one picture that live at the same time (0: NumPy, which plans nothing)."""
        return self._backend.arena_bytes

    def summary(self) -> str:
        """A table: for every layer name, shape, levels, bits a weight and bytes in memory, multiply-adds a
        picture, and the kernel that runs it.
        """
        rows = [("layer", "shape", "levels", "bits/weight", "bytes", "MMAC", "kernel")]
        macs = {i.source: i.macs for i in self._backend.instructions}
        for name, kernel in self.kernels.items():
            levels, shape, size = self._layers[name]
            size_here = self._backend.layer_bytes[name]
            work = f"{macs[name] / 1e6:,.2f}" if name in macs else ""
            row = name, "x".join(map(str, shape)), levels, f"{8 * size_here / size:.2f}", f"{size_here:,}", work, kernel
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
        return self._backend.run(np.ascontiguousarray(x), seconds)
