"""What turns a trained network into a file."""

from .onnx_export import export_onnx
from .packing import pack, unpack

__all__ = ["export_onnx", "pack", "unpack"]
