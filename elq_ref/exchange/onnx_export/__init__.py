"""Networks as ONNX files."""

from .export import BATCH, CODE_OPSET, OPSET, export_onnx

__all__ = ["BATCH", "CODE_OPSET", "OPSET", "export_onnx"]
