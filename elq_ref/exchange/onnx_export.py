"""A packed network as the float network that it computes, in ONNX: for other runtimes, and to be compared with them.

Needs the package onnx, which nothing else of elq_ref imports.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from ..files import atomic_write
from ..graph.nodes import Graph, Node, required
from ..runtime.packed import PackedNetwork

OPSET, IR = 17, 8  # of 2022: what every runtime of today reads
MAX_BYTES = 2_000_000_000  # a protobuf message, and so an ONNX file, holds less than 2 GiB
BATCH = "N"


def export_onnx(network: PackedNetwork, path: str | os.PathLike[str]) -> None:
    """Write what `network` computes with float32 weights and activations as an ONNX model of opset 17, atomically.

    Input float32 (N, C, H, W), normalized already; output float32 (N, classes); N is free. A conv or linear node
    becomes one Conv or Gemm with the weights scale_o W_hat, rounded once, and bias_o; class names, mean, std and the
    resize rule stand under "elq" in the model's metadata, as JSON. Checked by onnx.checker before it is written.
    Raises ImportError where the package onnx is missing, ValueError for a network too large for one ONNX file.
    """
    try:
        import onnx
    except ImportError:
        raise ImportError("ONNX files need the package onnx: pip install 'elq_ref[onnx]'") from None
    if network.float_bytes > MAX_BYTES:
        raise ValueError(f"{network.float_bytes:,} bytes of float32 weights, an ONNX file holds {MAX_BYTES:,}")
    model = _Writer(onnx, network).model()
    onnx.checker.check_model(model, full_check=True)
    with atomic_write(path) as temporary:
        temporary.write_bytes(model.SerializeToString())


class _Writer:
    """The ONNX nodes and arrays of a graph, in its order and with its names."""

    def __init__(self, onnx: ModuleType, network: PackedNetwork) -> None:
        self.onnx, self.network = onnx, network
        self.nodes: list[Any] = []
        self.arrays: list[Any] = []
        graph = network.graph
        self.padded = padded_maxima(graph)
        for node in graph.nodes:
            if node.name not in self.padded.values():
                _WRITE[node.op](self, node)

    def model(self) -> Any:
        """The ModelProto."""
        helper, graph, meta = self.onnx.helper, self.network.graph, self.network.metadata

        def value(name: str, shape: tuple[int, ...]) -> Any:
            return helper.make_tensor_value_info(name, self.onnx.TensorProto.FLOAT, (BATCH, *shape))

        inputs = [value(graph.input, graph.input_shape)]
        outputs = [value(graph.output, self.network.shapes[graph.output])]
        body = helper.make_graph(self.nodes, "elq_ref", inputs, outputs, self.arrays)
        opset = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(body, opset_imports=opset, ir_version=IR, producer_name="elq_ref")
        mean, std = meta.normalization.mean, meta.normalization.std
        about = {"classes": meta.classes, "mean": mean, "std": std, "resize": meta.resize}
        helper.set_model_props(model, {"elq": json.dumps(about)})
        return model

    def add(self, op: str, node: Node, *arrays: str, source: str | None = None, **attributes: Any) -> None:
        """Append the ONNX node `op` that computes the value of `node` from what it reads and from `arrays`."""
        inputs = [*(node.inputs if source is None else [source]), *arrays]
        self.nodes.append(self.onnx.helper.make_node(op, inputs, [node.name], node.name, **attributes))

    def array(self, name: str, values: np.ndarray) -> str:
        """Append a constant; its name."""
        self.arrays.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def weighted(self, node: Node) -> tuple[str, str]:
        """The names of the weights scale_o W_hat and of the bias of a conv or linear node."""
        w_hat = required(node.weight).values().astype(np.float64)
        scaled = w_hat * required(node.scale).reshape(-1, *(1,) * (w_hat.ndim - 1))
        weight = self.array(f"{node.name}.weight", scaled.astype(np.float32))
        return weight, self.array(f"{node.name}.bias", required(node.bias))


def padded_maxima(graph: Graph) -> dict[str, str]:
    """{name of a max_pool: name of the pad that it reads} where the two are one padded MaxPool of ONNX.

    ONNX pads a maximum with minus infinity. That gives the same as zeros where every window holds a pixel (the padding
    is smaller than the window) and no pixel is negative (the pad reads a ReLU's result).
    """
    nodes = {node.name: node for node in graph.nodes}
    readers = [name for node in graph.nodes for name in node.inputs] + [graph.output]
    found = {}
    for pool in graph.nodes:
        pad = nodes.get(pool.inputs[0])
        if pool.op != "max_pool" or pad is None or pad.op != "pad" or readers.count(pad.name) > 1:
            continue
        (channels, *before), (more_channels, *after) = pad.attributes["before"], pad.attributes["after"]
        source = nodes.get(pad.inputs[0])
        within = all(max(b, a) < k for b, a, k in zip(before, after, pool.attributes["kernel"], strict=True))
        if source is not None and source.op == "relu" and within and not channels + more_channels:
            found[pool.name] = pad.name
    return found


def _conv(writer: _Writer, node: Node) -> None:
    a = node.attributes
    writer.add(
        "Conv",
        node,
        *writer.weighted(node),
        kernel_shape=required(node.weight).shape[2:],
        strides=a["stride"],
        pads=a["padding"] * 2,
        dilations=a["dilation"],
        group=a["groups"],
    )


def _linear(writer: _Writer, node: Node) -> None:
    writer.add("Gemm", node, *writer.weighted(node), transB=1)


def _scale_shift(writer: _Writer, node: Node) -> None:
    channels = (-1, *(1,) * (len(writer.network.shapes[node.name]) - 1))
    scaled = f"{node.name}.scaled"
    scale = writer.array(f"{node.name}.scale", required(node.scale).reshape(channels))
    bias = writer.array(f"{node.name}.bias", required(node.bias).reshape(channels))
    writer.nodes.append(writer.onnx.helper.make_node("Mul", [node.inputs[0], scale], [scaled], scaled))
    writer.add("Add", node, bias, source=scaled)


def _max_pool(writer: _Writer, node: Node) -> None:
    a, source, pads = node.attributes, None, (0, 0, 0, 0)
    if node.name in writer.padded:
        pad = next(n for n in writer.network.graph.nodes if n.name == writer.padded[node.name])
        source, pads = pad.inputs[0], pad.attributes["before"][1:] + pad.attributes["after"][1:]
    writer.add("MaxPool", node, source=source, kernel_shape=a["kernel"], strides=a["stride"], pads=pads)


def _avg_pool(writer: _Writer, node: Node) -> None:
    writer.add("AveragePool", node, kernel_shape=node.attributes["kernel"], strides=node.attributes["stride"])


def _global_avg_pool(writer: _Writer, node: Node) -> None:
    mean = f"{node.name}.mean"
    writer.nodes.append(writer.onnx.helper.make_node("GlobalAveragePool", list(node.inputs), [mean], mean))
    writer.add("Flatten", node, source=mean, axis=1)


def _subsample(writer: _Writer, node: Node) -> None:
    step = node.attributes["step"]
    writer.add("MaxPool", node, kernel_shape=(1, 1), strides=(step, step))  # the maximum of one pixel, exactly


def _pad(writer: _Writer, node: Node) -> None:
    pads = np.array([0, *node.attributes["before"], 0, *node.attributes["after"]], np.int64)
    writer.add("Pad", node, writer.array(f"{node.name}.pads", pads))


def _plain(op: str, **attributes: Any) -> Callable[[_Writer, Node], None]:
    return lambda writer, node: writer.add(op, node, **attributes)


_WRITE: dict[str, Callable[[_Writer, Node], None]] = {
    "conv": _conv,
    "linear": _linear,
    "scale_shift": _scale_shift,
    "relu": _plain("Relu"),
    "add": _plain("Add"),
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "global_avg_pool": _global_avg_pool,
    "subsample": _subsample,
    "pad": _pad,
    "flatten": _plain("Flatten", axis=1),
}
