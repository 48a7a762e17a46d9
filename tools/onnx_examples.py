"""Makes the small ONNX files of tests/data/onnx, and what they are to compute. Needs torch, onnxscript, onnxruntime.

    python tools/onnx_examples.py

One network with the habits of many: by both exporters of PyTorch, in older and
newer opsets, with its weights in a file of their own, in float16; and one as tf2onnx writes them, channels last.
"""

import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import safetensors.numpy
import torch
from onnx import helper, numpy_helper
from torch import nn

FOLDER = Path(__file__).resolve().parents[1] / "tests" / "data" / "onnx"
SHAPE, CLASSES = (3, 22, 20), 5


class Gate(nn.Module):
    """Squeeze and excite."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc1, self.fc2 = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1)
        self.relu, self.gate = nn.ReLU(), nn.Hardsigmoid()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gate(self.fc2(self.relu(self.fc1(self.pool(x)))))


class Shuffled(nn.Module):
    """Half of the channels through a branch, then a shuffle of all."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.branch = nn.Sequential(nn.Conv2d(half, half, 1, bias=False), nn.BatchNorm2d(half), nn.SiLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b = x.chunk(2, 1)
        y = torch.cat([a, self.branch(b)], 1)
        n, c, h, w = y.shape
        return y.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class Example(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6())
        self.pool = nn.MaxPool2d(3, 2, 1, ceil_mode=True)
        self.layer1 = nn.Sequential(nn.Conv2d(8, 16, 3, 1, 2, 2, 8, bias=False), nn.BatchNorm2d(16), nn.Hardswish(),
                                    Gate(16), nn.Conv2d(16, 8, 1, bias=False), nn.BatchNorm2d(8))  # fmt: skip
        self.layer2 = Shuffled(8)
        self.norm = nn.BatchNorm2d(8)
        self.act = nn.PReLU(8)
        self.mean = nn.AvgPool2d(3, 2, 1, count_include_pad=False)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(8 * 3 * 3, 12), nn.GELU(), nn.Linear(12, CLASSES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.stem(x))
        x = self.layer2(x + self.layer1(x))
        return self.classifier(torch.flatten(self.mean(self.act(self.norm(x))), 1))


def example() -> Example:
    """The network, with statistics that are not those of a new one."""
    torch.manual_seed(1)
    net = Example()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 2)
            for values in (module.running_mean, module.weight, module.bias):
                nn.init.normal_(values, 0.5, 0.4)
    return net.eval()


def channels_last() -> onnx.ModelProto:
    """What tf2onnx makes of a small network of Keras."""
    rng = np.random.default_rng(2)
    shapes = {"conv1/Conv2D/ReadVariableOp:0": (8, 3, 3, 3), "conv1/BiasAdd/ReadVariableOp:0": (8,),
              "depthwise/depthwise_weights:0": (8, 1, 3, 3), "bn/scale": (8,), "bn/shift": (8,),
              "dense/MatMul/ReadVariableOp:0": (6 * 5 * 8, CLASSES),
              "dense/BiasAdd/ReadVariableOp:0": (CLASSES,)}  # fmt: skip
    arrays = {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
    w1, b1, w2, scale, shift, dense, bias = arrays
    arrays |= {
        "six": np.float32(6),
        "zero": np.float32(0),
        "flat": np.array([-1, 240]),
        "pads": np.array([0, 1, 1, 0, 0, 1, 1, 0]),
    }
    to, back = [0, 3, 1, 2], [0, 2, 3, 1]
    rows: list[tuple[str, str, list[str], dict[str, Any]]] = [
        ("Transpose", "t1", ["input"], {"perm": to}),
        ("Conv", "net/conv1/Conv2D", ["t1", w1], {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
        ("Transpose", "t2", ["net/conv1/Conv2D"], {"perm": back}),
        ("Add", "net/conv1/BiasAdd", ["t2", b1], {}),
        ("Clip", "net/relu6/Relu6", ["net/conv1/BiasAdd", "zero", "six"], {}),
        ("Pad", "net/pad/Pad", ["net/relu6/Relu6", "pads"], {}),
        ("Transpose", "t3", ["net/pad/Pad"], {"perm": to}),
        ("Conv", "net/depthwise/depthwise", ["t3", w2], {"group": 8, "strides": [2, 2]}),
        ("Transpose", "t4", ["net/depthwise/depthwise"], {"perm": back}),
        ("Mul", "net/bn/mul", ["t4", scale], {}),
        ("Add", "net/bn/add", ["net/bn/mul", shift], {}),
        ("LeakyRelu", "net/leaky", ["net/bn/add"], {"alpha": 0.1}),
        ("Reshape", "net/flatten/Reshape", ["net/leaky", "flat"], {}),
        ("MatMul", "net/dense/MatMul", ["net/flatten/Reshape", dense], {}),
        ("Add", "net/dense/BiasAdd", ["net/dense/MatMul", bias], {}),
        ("Softmax", "probabilities", ["net/dense/BiasAdd"], {"axis": 1}),
    ]  # fmt: skip
    nodes = [helper.make_node(op, inputs, [name], name, **more) for op, name, inputs, more in rows]
    _, height, width = SHAPE
    graph = helper.make_graph(
        nodes,
        "tf2onnx",
        [helper.make_tensor_value_info("input", 1, ("unk__1", height, width, 3))],
        [helper.make_tensor_value_info("probabilities", 1, ("unk__1", CLASSES))],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7, producer_name="tf2onnx")


def by_script(net: nn.Module, path: Path, opset: int, dtype: torch.dtype = torch.float32) -> None:
    x = torch.zeros(2, *SHAPE, dtype=dtype)
    axes = {"input": {0: "batch"}, "logits": {0: "batch"}}
    torch.onnx.export(net, (x,), path, dynamo=False, opset_version=opset, input_names=["input"],
                      output_names=["logits"], dynamic_axes=axes)  # fmt: skip


def by_dynamo(net: nn.Module, path: Path, opset: int, external: bool = False) -> None:
    batch = ({0: torch.export.Dim("batch")},)
    torch.onnx.export(net, (torch.zeros(2, *SHAPE),), path, dynamo=True, opset_version=opset, dynamic_shapes=batch,
                      external_data=external, verbose=False)  # fmt: skip
    model = onnx.load(path, load_external_data=False)
    for part in (
        model,
        model.graph,
        *model.graph.node,
        *model.graph.input,
        *model.graph.output,
        *model.graph.value_info,
    ):
        del part.metadata_props[:]  # where in whose folder the code lay that made it
    path.write_bytes(model.SerializeToString())


def main() -> None:
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    FOLDER.mkdir(parents=True, exist_ok=True)
    net = example()
    x = np.random.default_rng(3).standard_normal((4, *SHAPE)).astype(np.float32)
    with torch.no_grad():
        logits = net(torch.from_numpy(x)).numpy()
        for opset in (9, 13):
            by_script(net, FOLDER / f"script-{opset}.onnx", opset)
        for opset in (18, 21):
            by_dynamo(net, FOLDER / f"dynamo-{opset}.onnx", opset)
        by_dynamo(net, FOLDER / "external.onnx", 18, external=True)
        half = {name: value.half().float() for name, value in net.state_dict().items() if value.is_floating_point()}
        by_script(example().half(), FOLDER / "half-17.onnx", 17, torch.float16)
        rounded = example()
        rounded.load_state_dict(half, strict=False)
        halves = rounded(torch.from_numpy(x)).numpy()
    keras = channels_last()
    onnx.checker.check_model(keras, full_check=True)
    (FOLDER / "channels-last-13.onnx").write_bytes(keras.SerializeToString())
    import onnxruntime

    session = onnxruntime.InferenceSession(keras.SerializeToString(), providers=["CPUExecutionProvider"])
    (shares,) = session.run(None, {"input": x.transpose(0, 2, 3, 1).copy()})
    known = {"x": x, "logits": logits, "logits of halves": halves, "probabilities": shares}
    (FOLDER / "expected.safetensors").write_bytes(safetensors.numpy.save(known))
    for path in sorted(FOLDER.iterdir()):
        print(f"{path.stat().st_size:8,} {path.name}")


if __name__ == "__main__":
    sys.exit(main())
