"""Types of the extension _infer: the inference kernels (_ext/)."""

from collections.abc import Sequence

import numpy as np

from .runtime.instructions import FloatTail, Instruction, Int8Tail

Pair = tuple[int, ...]

def isa() -> str: ...
def threads() -> int: ...
def kernels() -> list[str]: ...
def rows() -> list[str]: ...
def rows_name(name: str) -> str: ...
def kernel_for(
    activations: str,
    weights: str,
    size: tuple[int, ...],
    outputs: int,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> str: ...
def limit(activations: str, macs: float = 0) -> str | None: ...

class PackedLayer:
    packed: np.ndarray
    def __init__(
        self,
        activations: str,
        weights: str,
        rows: np.ndarray,
        size: tuple[int, ...],
        kernel: Pair,
        stride: Pair,
        padding: Pair,
        dilation: Pair,
        groups: int,
        tail: FloatTail | Int8Tail,
        name: str | None = None,
    ) -> None: ...
    @property
    def name(self) -> str: ...
    @property
    def error(self) -> str: ...
    def __call__(self, x: np.ndarray, residual: np.ndarray | None = None) -> np.ndarray: ...

class Program:
    def __init__(
        self, instructions: Sequence[Instruction], arena_bytes: int, input_bytes: int, output_bytes: int
    ) -> None: ...
    def memory(self, n: int) -> int: ...
    def run(self, x: np.ndarray, y: np.ndarray, seconds: np.ndarray | None = None) -> None: ...
