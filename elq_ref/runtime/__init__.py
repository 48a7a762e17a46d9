"""The runtime: reads a packed network and runs it. Imports NumPy, safetensors and nothing of the training
side.

file -> format -> PackedNetwork -> Session (C kernels, or NumPy) or interpreter (the oracle)
"""

import os

from .graph_types import Graph, Node, Weight
from .interpreter import interpret
from .packed import Metadata, PackedNetwork
from .session import Session


def load(path: str | os.PathLike[str]) -> PackedNetwork:
    """Read an .elq file; FormatError says in one line what is wrong with it."""
    return PackedNetwork.load(path)


__all__ = ["Graph", "Metadata", "Node", "PackedNetwork", "Session", "Weight", "interpret", "load"]
