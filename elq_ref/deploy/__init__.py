"""What turns a trained network into a file."""

from .calibration import calibrate
from .derive import derive
from .packing import pack, unpack

__all__ = ["calibrate", "derive", "pack", "unpack"]
