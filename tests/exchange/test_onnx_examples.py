"""ONNX files of PyTorch's two exporters and in the way of tf2onnx, as tools/onnx_examples.py made them.

Expected values are PyTorch's, written when the files were made: these tests need no package but onnx.
"""

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

import elq_ref as elq
from elq_ref import SGD, Batches, Tensor, checkpoint, no_grad
from elq_ref.datasets import Dataset, Normalization

pytest.importorskip("onnx", reason="the package onnx is not installed")

FOLDER = Path(__file__).parents[1] / "data" / "onnx"
FILES = ("script-9", "script-13", "dynamo-18", "dynamo-21", "external", "half-17")
KNOWN = safetensors.numpy.load_file(FOLDER / "expected.safetensors")
LAYERS = [
    "stem.0",
    "layer1.0",
    "layer1.3.fc1",
    "layer1.3.fc2",
    "layer1.4",
    "layer2.branch.0",
    "classifier.1",
    "classifier.3",
]


def computed(net):
    net.eval()
    with no_grad():
        return net(Tensor(KNOWN["x"])).data


@pytest.mark.parametrize("name", FILES)
def test_what_pytorch_computes(name):
    net = elq.from_onnx(FOLDER / f"{name}.onnx")
    wanted = KNOWN["logits of halves" if name == "half-17" else "logits"]
    assert np.abs(computed(net) - wanted).max() <= (1e-3 if name == "half-17" else 3e-6) * np.abs(wanted).max()
    assert [layer.removesuffix(".weight") for layer in net.quantizable()] == LAYERS
    assert "norm.running_mean" in net.state_dict()  # the BatchNorm that stands before no convolution
    assert len(net.state_dict()["prelu.weight" if "prelu.weight" in net.state_dict() else "act.weight"]) == 8


def test_the_files_have_one_graph():
    """Whoever exported it, in whichever opset: the same operations on the same layers."""
    graphs = [elq.from_onnx(FOLDER / f"{name}.onnx").graph for name in FILES]
    seen = [
        [(node.op, dict(node.attributes), node.parameters.get("weight")) for node in graph.nodes] for graph in graphs
    ]
    for other in seen[1:]:
        assert [op for op, _, _ in other] == [op for op, _, _ in seen[0]]
        assert [weight for _, _, weight in other] == [weight for _, _, weight in seen[0]]
    assert {"clip", "hard_swish", "hard_sigmoid", "mul", "silu", "shuffle", "prelu", "gelu", "max_pool"} <= {
        op for op, _, _ in seen[0]
    }


def test_channels_last():
    net = elq.from_onnx(FOLDER / "channels-last-13.onnx")
    logits = computed(net).astype(np.float64)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(shares, KNOWN["probabilities"], atol=2e-6)
    assert list(net.quantizable()) == ["net.conv1.weight", "net.depthwise.weight", "net.dense.weight"]


def test_from_a_file_to_a_packed_network(tmp_path):
    """Ten lines: import, a little training, codes, a packed network that answers as the trained one."""
    net = elq.from_onnx(FOLDER / "script-13.onnx")
    rng = np.random.default_rng(9)
    images, labels = rng.integers(0, 256, (20, 3, 22, 20), np.uint8), rng.integers(0, 5, 20)
    data = Dataset(images, labels, tuple("abcde"), Normalization((0.5,) * 3, (0.25,) * 3), "noise")
    assert len(list(elq.fit(net, Batches(data, 10, seed=1), 1, SGD(0.01)))) == 2
    codes = {name: elq.ternarize(weight.data) for name, weight in net.quantizable().items()}
    net.load_state_dict(net.state_dict() | {name: alpha * code for name, (code, alpha) in codes.items()})
    packed = elq.pack(net, data, quantized={name: (code, alpha.reshape(-1)) for name, (code, alpha) in codes.items()})
    packed.save(tmp_path / "net.elq")
    with no_grad():
        wanted = net.eval()(Tensor(data.normalization.apply(images))).data
    got = elq.Session(tmp_path / "net.elq")(images)
    assert list(packed.layers) == LAYERS
    assert np.abs(got - wanted).max() <= 1e-4 * np.abs(wanted).max()


def test_checkpoint_read():
    file = checkpoint.read(FOLDER / "external.onnx")
    assert file.graph.input_shape == file.stated["input_shape"] == (3, 22, 20)
    assert file.info is None  # it states no classes
    assert set(file.tensors) == set(file.graph.parameters)
