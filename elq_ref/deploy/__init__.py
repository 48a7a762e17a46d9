"""What turns a trained network into a file."""

from .packing import pack, unpack

__all__ = ["pack", "unpack"]
