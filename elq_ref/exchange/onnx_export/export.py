"""A packed network as the float network that it computes, in ONNX: for other runtimes, and to be compared with them.

Needs the package onnx.
"""

from __future__ import annotations

import json
import os
from types import ModuleType
from typing import Any

from ...files import atomic_write
from ...graph.nodes import required
from ...runtime.packed import PackedNetwork
from .codes import code_bytes, integer_type
from .nodes import WRITE
from .writer import Writer

OPSET = 17  # of 2022, of floats: what every runtime of today reads
CODE_OPSET = 25  # of 2025, of codes: the first with integers of 2 bits
LEAST, MOST = 13, 25  # of those that are written
MAX_BYTES = 2_000_000_000  # a protobuf message, and so an ONNX file, holds less than 2 GiB
BATCH = "N"


def export_onnx(
    network: PackedNetwork, path: str | os.PathLike[str], *, floats: bool = False, opset: int | None = None
) -> int:
    """Write what `network` computes with float32 activations as an ONNX model, atomically; its opset.

    Input float32 (N, C, H, W), normalized already; output float32 (N, classes); N is free. The weight of a conv or
    linear node is its codes, integers of 2 bits from opset 25 on, of 4 from 21 on, else of 8; one DequantizeLinear
    multiplies them by alpha, of the layer or of every output (axis 0), and one Mul by scale_o, where any is not 1. The
    product is, in float32, the number scale_o W_hat rounded once: the very one that is written where `floats` are asked
    for or a weight has no codes. bias_o is that of Conv or Gemm. `opset` None: 25 where there are codes to write, else
    17.
    Class names, mean, std and the resize rule stand under "elq" in the model's metadata, as JSON. Checked by
    onnx.checker before it is written.
    Raises ImportError where the package onnx is missing, ValueError for an opset that is not 13 to 25, or a network too
    large for one ONNX file.
    """
    try:
        import onnx
    except ImportError:
        raise ImportError("ONNX files need the package onnx: pip install 'elq_ref[onnx]'") from None
    weights = [required(node.weight) for node in network.graph.nodes if node.weight is not None]
    coded = not floats and any(weight.alpha is not None for weight in weights)
    opset = (CODE_OPSET if coded else OPSET) if opset is None else opset
    if not LEAST <= opset <= MOST:
        raise ValueError(f"opset is {opset}, wanted {LEAST} to {MOST}")
    size = network.float_bytes if floats else code_bytes(weights, opset)
    if size > MAX_BYTES:
        raise ValueError(f"{size:,} bytes of weights, an ONNX file holds {MAX_BYTES:,}")
    model = _model(onnx, network, opset, coded)
    onnx.checker.check_model(model, full_check=True)
    with atomic_write(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
    return opset


def _model(onnx: ModuleType, network: PackedNetwork, opset: int, coded: bool) -> Any:
    """The ModelProto."""
    graph, meta, helper = network.graph, network.metadata, onnx.helper
    writer = Writer(onnx, graph, network.shapes, integer_type(opset) if coded else None)
    for node in graph.nodes:
        if node.name not in writer.padded.values():
            WRITE[node.op](writer, node)

    def value(name: str, shape: tuple[int, ...]) -> Any:
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, (BATCH, *shape))

    inputs = [value(graph.input, graph.input_shape)]
    outputs = [value(graph.output, network.shapes[graph.output])]
    body = helper.make_graph(writer.nodes, "elq_ref", inputs, outputs, writer.arrays)
    imports = [helper.make_opsetid("", opset)]
    ir = max(8, helper.find_min_ir_version_for(imports))
    model = helper.make_model(body, opset_imports=imports, ir_version=ir, producer_name="elq_ref")
    mean, std = meta.normalization.mean, meta.normalization.std
    about = {"classes": meta.classes, "mean": mean, "std": std, "resize": meta.resize}
    helper.set_model_props(model, {"elq": json.dumps(about)})
    return model
