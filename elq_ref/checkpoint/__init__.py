"""Checkpoints: safetensors in and out; PyTorch's files without PyTorch and without running their pickle."""

from .networks import BOOKKEEPING, Checkpoint, Codes, graph_metadata, load, read, save
from .tensors import write

__all__ = ["BOOKKEEPING", "Checkpoint", "Codes", "graph_metadata", "load", "read", "save", "write"]
