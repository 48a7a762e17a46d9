"""ONNX files: onnxruntime computes what the float64 oracle computes, within the bound of float32 in any order."""

import json

import numpy as np
import pytest
from runtime_nets import error_bounds, network, random_codes, small, weighted

from elq_ref import Tensor, checkpoint, models, no_grad, pack
from elq_ref.cli import main
from elq_ref.exchange.onnx_export import export_onnx
from elq_ref.runtime import Node, interpret

onnx = pytest.importorskip("onnx", reason="the package onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

MODELS = {  # name: (picture, classes)
    "lenet5": ((1, 28, 28), 10),
    "digits_cnn": ((1, 8, 8), 10),
    "resnet20": ((3, 32, 32), 10),
    "resnet18": ((3, 40, 33), 12),
}


def answers(path, x):
    """What onnxruntime computes, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def check(packed, path, x):
    """The file computes the graph within the bound, and near enough to show that the bound is no accident."""
    export_onnx(packed, path)
    got, exact = answers(path, x), interpret(packed.graph, x, np.float64)
    assert got.dtype == np.float32
    assert got.shape == exact.shape
    assert (np.abs(got - exact) <= error_bounds(packed.graph, x)[packed.graph.output]).all()
    assert np.abs(got - exact).max() <= 1e-4 * np.abs(exact).max()


def quantized(net, levels):
    """Random codes of these levels for every weight, at a scale that keeps activations in range."""
    rng = np.random.default_rng(2)
    weights = {n: p.data for n, p in net.named_parameters() if p.data.ndim > 1}
    scale = {n: np.float32(np.sqrt(2 / np.prod(w.shape[1:]))) for n, w in weights.items()}
    return {n: (random_codes(rng, levels, w.shape), scale[n]) for n, w in weights.items()}


@pytest.mark.parametrize("levels", ["float", "ternary", "binary"])
@pytest.mark.parametrize("name", MODELS)
def test_models(name, levels, tmp_path):
    shape, classes = MODELS[name]
    net = models.build(name, shape, classes, seed=1)
    rng = np.random.default_rng(3)
    for key, buffer in net.named_buffers():
        buffer[...] = rng.uniform(0.5, 2, buffer.shape) if key.endswith("var") else rng.normal(0, 0.3, buffer.shape)
    codes = {} if levels == "float" else quantized(net, levels)
    normalization = ([0.5] * shape[0], [0.25] * shape[0])
    packed = pack(net, codes, input_shape=shape, normalization=normalization, classes=list("abcdefghijkl"[:classes]))
    x = rng.standard_normal((3, *shape)).astype(np.float32)
    check(packed, tmp_path / "net.onnx", x)
    if levels == "float":
        with no_grad():
            exact = net.astype(np.float64).eval()(Tensor(x.astype(np.float64))).data
        assert np.abs(answers(tmp_path / "net.onnx", x) - exact).max() <= 1e-4 * np.abs(exact).max()
    about = onnx.load(tmp_path / "net.onnx")
    assert [(o.domain, o.version) for o in about.opset_import] == [("", 17)]
    assert json.loads(about.metadata_props[0].value)["std"] == [0.25] * shape[0]


def test_every_op_and_any_number_of_pictures(tmp_path):
    rng = np.random.default_rng(4)
    packed = small(rng)
    for count in (1, 5):
        check(packed, tmp_path / "net.onnx", rng.standard_normal((count, 2, 7, 6)).astype(np.float32))


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize(
    "pads", [((0, 1, 1), (0, 1, 1)), ((0, 0, 1), (0, 2, 0)), ((0, 3, 0), (0, 0, 0)), ((1, 1, 1), (0, 1, 1))]
)
def test_padded_maximum(relu, pads, tmp_path):
    """Zeros before a maximum are ONNX's padding only after a ReLU and where they fill no window; always the same
    values."""
    rng = np.random.default_rng(5)
    before, after = pads
    channels = 4 + before[0] + after[0]
    first = weighted(rng, "conv", "conv", "input", "ternary", (4, 2, 1, 1))
    nodes = [
        first,
        Node("relu", "relu", ("conv",)),
        Node("pad", "pad", ("relu" if relu else "conv",), {"before": before, "after": after}),
        Node("max_pool", "pool", ("pad",), {"kernel": (3, 3), "stride": (2, 2)}),
        Node("global_avg_pool", "mean", ("pool",)),
        weighted(rng, "linear", "fc", "mean", "binary", (3, channels)),
    ]
    packed = network(nodes, (2, 7, 6), 3)
    check(packed, tmp_path / "net.onnx", -np.abs(rng.standard_normal((2, 2, 7, 6))).astype(np.float32))
    ops = [node.op_type for node in onnx.load(tmp_path / "net.onnx").graph.node]
    fused = relu and max(*before, *after) < 3 and channels == 4
    assert ("Pad" in ops) != fused



def test_a_padded_value_that_others_read_too_is_kept(tmp_path):
    rng = np.random.default_rng(6)
    nodes = [
        Node("relu", "relu", ("input",)),
        Node("pad", "pad", ("relu",), {"before": (0, 1, 1), "after": (0, 1, 1)}),
        Node("max_pool", "pool", ("pad",), {"kernel": (3, 3), "stride": (1, 1)}),
        weighted(rng, "conv", "conv", "pad", "ternary", (2, 2, 3, 3)),
        Node("add", "sum", ("pool", "conv")),
        Node("global_avg_pool", "mean", ("sum",)),
    ]
    check(network(nodes, (2, 5, 6), 2), tmp_path / "net.onnx", rng.standard_normal((2, 2, 5, 6)).astype(np.float32))

def test_command_on_a_checkpoint_and_on_a_packed_network(tmp_path, capsys):
    net = models.digits_cnn(seed=6)
    checkpoint.write(tmp_path / "bare.safetensors", net.state_dict(), {})
    file, out = str(tmp_path / "bare.safetensors"), str(tmp_path / "net.onnx")
    assert main(["export-onnx", file, "--model", "digits_cnn", "-o", out, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["input_shape"] == ["N", 1, 8, 8]
    x = np.random.default_rng(7).standard_normal((2, 1, 8, 8)).astype(np.float32)
    with no_grad():
        want = net.eval()(Tensor(x)).data
    np.testing.assert_allclose(answers(out, x), want, rtol=1e-4, atol=1e-4 * np.abs(want).max())
    pack(net, {}, input_shape=(1, 8, 8), normalization=([0.0], [1.0]), classes=list("0123456789")).save(
        tmp_path / "net.elq"
    )
    assert main(["export-onnx", str(tmp_path / "net.elq"), "-o", str(tmp_path / "again.onnx")]) == 0
    np.testing.assert_array_equal(answers(tmp_path / "again.onnx", x), answers(out, x))
    assert main(["export-onnx", file, "-o", out]) == 2
    assert "--model" in capsys.readouterr().err
