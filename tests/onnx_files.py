"""ONNX files made by hand, and what onnxruntime computes of them beside what is imported of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import elq_ref as elq
from elq_ref import Tensor, no_grad

onnx = pytest.importorskip("onnx", reason="the package onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
NEWEST_IR = 10  # that onnxruntime of some age still reads


def node(op: str, inputs: str, outputs: str, name: str = "", **attributes: Any) -> Any:
    """A node; `inputs` and `outputs` are names with spaces between, "_" for one that is left out."""
    names = [["" if word == "_" else word for word in words.split()] for words in (inputs, outputs)]
    return onnx.helper.make_node(op, *names, name or "", **attributes)


def model(nodes: list[Any], arrays: dict[str, np.ndarray], shape: tuple[Any, ...] = ("N", 3, 9, 8), *, opset: int = 17,
          output: tuple[Any, ...] = ("N", "classes"), dtype: Any = None) -> Any:  # fmt: skip
    """A ModelProto that reads "x" of `shape` and gives "y"."""
    kind = dtype or onnx.TensorProto.FLOAT
    make = onnx.helper.make_tensor_value_info
    initializers = [a if isinstance(a, onnx.TensorProto) else onnx.numpy_helper.from_array(np.asarray(a), name)
                    for name, a in arrays.items()]  # fmt: skip
    graph = onnx.helper.make_graph(nodes, "g", [make("x", kind, shape)], [make("y", kind, output)], initializers)
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    made.ir_version = min(made.ir_version, NEWEST_IR)
    return made


def saved(path: Path, made: Any) -> Path:
    path.write_bytes(made.SerializeToString())
    return path


def answers(path: Path, x: np.ndarray) -> np.ndarray:
    """What onnxruntime computes, on one thread, nothing rewritten."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {session.get_inputs()[0].name: x})
    return result


def computed(net: Any, x: np.ndarray) -> np.ndarray:
    """The logits of a Module in evaluation mode."""
    net.eval()
    with no_grad():
        return net(Tensor(x)).data


def check(path: Path, *, input: tuple[int, int, int] | None = None, nhwc: bool = False, count: int = 3,
          tolerance: float = 2e-6, wanted: Any = None) -> Any:  # fmt: skip
    """The imported network, which computes what onnxruntime does (or `wanted`, of x) but for roundings."""
    net = elq.from_onnx(path, input)
    x = np.random.default_rng(7).standard_normal((count, *net.graph.input_shape)).astype(np.float32) * 2
    given = x.transpose(0, 2, 3, 1) if nhwc else x
    exact = answers(path, np.ascontiguousarray(given)) if wanted is None else wanted(given)
    got = computed(net, x)
    assert got.shape == exact.shape
    assert got.dtype == np.float32
    assert np.abs(exact).max() > 1e-3  # something was computed
    assert np.abs(got - exact).max() <= tolerance * max(1, np.abs(exact).max())
    return net


def ops(net: Any) -> list[str]:
    """The ops of an imported network's graph, in order."""
    return [n.op for n in net.graph.nodes]
