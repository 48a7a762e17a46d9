"""Checkpoints: safetensors in and out; PyTorch's files without PyTorch and without running their pickle."""

from .tensors import BOOKKEEPING, load, read, save

__all__ = ["BOOKKEEPING", "load", "read", "save"]
