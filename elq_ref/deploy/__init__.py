"""What turns a trained network into a file."""

from .calibration import calibrate
from .onnx_export import export_onnx
from .packing import pack, unpack

__all__ = ["calibrate", "export_onnx", "pack", "unpack"]
