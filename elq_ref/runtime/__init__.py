"""The runtime: reads a packed network and runs it. Imports NumPy, safetensors and nothing of the training
side.

file -> format -> PackedNetwork -> Session (C kernels, or NumPy) or interpreter (the oracle)
IntegerNetwork (elq_ref.deploy makes it) -> Session, or interpret_int8 (the definition)
"""

import os
from typing import Any

from ..graph.nodes import Graph, Node, Weight
from . import native
from .integer import IntegerNetwork
from .integer_interpreter import interpret_int8
from .interpreter import interpret
from .metadata import Metadata
from .packed import PackedNetwork
from .session import Session


def load(path: str | os.PathLike[str]) -> PackedNetwork:
    """Read an .elq file; FormatError says in one line what is wrong with it."""
    return PackedNetwork.load(path)


def info() -> dict[str, Any]:
    """What runs packed networks: kernel ("C avx512" or "NumPy"), the names of all kernels of layers that run here,
    rows, those of the functions of everything else, threads, and the reason for NumPy or None."""
    infer = native._infer
    if infer is None:
        return {"kernel": "NumPy", "kernels": [], "rows": [], "threads": 1, "reason": native.REASON}
    rows = [f"elq_rows_{name}" for name in infer.rows()]
    found = {"kernel": f"C {infer.isa()}", "kernels": infer.kernels(), "rows": rows}
    return found | {"threads": infer.threads(), "reason": None}


__all__ = [
    "Graph",
    "IntegerNetwork",
    "Metadata",
    "Node",
    "PackedNetwork",
    "Session",
    "Weight",
    "info",
    "interpret",
    "interpret_int8",
    "load",
]
