"""ONNX files: onnxruntime computes what the float64 oracle computes, within the bound of float32 in any order.

With codes of 2, 4 and 8 bits it computes the same bits, and the weights are to the bit those of the float file.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
from random_graphs import packed_graph
from runtime_nets import error_bounds, modern, network, random_codes, small, weighted

from elq_ref import Tensor, checkpoint, models, no_grad, pack
from elq_ref.cli import main
from elq_ref.exchange.onnx_export import export_onnx
from elq_ref.graph.shapes import PACKED_OPS
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


OPSETS = {25: "INT2", 24: "INT4", 21: "INT4", 20: "INT8", 13: "INT8"}


def check(packed, path, x, opsets=(13, 20, 21, 25)):
    """Every form of the file computes the graph within the bound, near enough to show that the bound is no accident,
    and the three integers alike. (onnxruntime's AveragePool of before opset 19 adds in another order.)"""
    exact, bound = interpret(packed.graph, x, np.float64), error_bounds(packed.graph, x)[packed.graph.output]
    export_onnx(packed, path, floats=True)
    found = [answers(path, x)]
    for opset in opsets:
        assert export_onnx(packed, path, opset=opset) == opset
        found.append(answers(path, x))
    for other in found[3:]:
        np.testing.assert_array_equal(found[2], other)
    for got in found[:3]:
        assert got.dtype == np.float32
        assert got.shape == exact.shape
        assert (np.abs(got - exact) <= bound).all()
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
    check(packed, tmp_path / "net.onnx", x, (25,) if name == "resnet18" else (13, 20, 25))
    if levels == "float":
        with no_grad():
            exact = net.astype(np.float64).eval()(Tensor(x.astype(np.float64))).data
        assert np.abs(answers(tmp_path / "net.onnx", x) - exact).max() <= 1e-4 * np.abs(exact).max()
    assert export_onnx(packed, tmp_path / "net.onnx", floats=True) == 17
    about = onnx.load(tmp_path / "net.onnx")
    assert [(o.domain, o.version) for o in about.opset_import] == [("", 17)]
    assert json.loads(about.metadata_props[0].value)["std"] == [0.25] * shape[0]


def test_every_op_and_any_number_of_pictures(tmp_path):
    rng = np.random.default_rng(4)
    for packed in (small(rng), modern(rng)):
        for count in (1, 5):
            x = rng.standard_normal((count, *packed.graph.input_shape)).astype(np.float32)
            check(packed, tmp_path / "net.onnx", x)


@pytest.mark.parametrize("op", [op for op in PACKED_OPS if op not in ("conv", "linear")])
def test_each_op_among_convolutions(op, tmp_path):
    """Random graphs of this op, of functions and of layers."""
    for seed in range(2):
        graph = packed_graph(seed, ("conv", "linear", "flatten", "global_avg_pool", "relu", op))
        packed = network(graph.nodes, graph.input_shape, 5)
        x = np.random.default_rng(seed).standard_normal((2, *graph.input_shape)).astype(np.float32)
        check(packed, tmp_path / "net.onnx", x)


@pytest.mark.parametrize("part", range(4))
def test_random_graphs_of_all_ops(part, tmp_path):
    for seed in range(part, 32, 4):
        graph = packed_graph(seed, PACKED_OPS)
        packed = network(graph.nodes, graph.input_shape, 5)
        x = np.random.default_rng(seed).standard_normal((2, *graph.input_shape)).astype(np.float32)
        check(packed, tmp_path / "net.onnx", x)


@pytest.mark.parametrize(("size", "channels"), [(1, 3), (2, 3), (2, 1), (4, 6), (5, 2), (6, 4), (9, 3)])
def test_lrn_of_even_and_odd_sizes(size, channels, tmp_path):
    rng = np.random.default_rng(size)
    numbers = {"size": size, "alpha": 0.7, "beta": 0.75, "bias": 1.5}
    nodes = [Node("lrn", "lrn", ("input",), numbers), Node("flatten", "flat", ("lrn",))]
    packed = network(nodes, (channels, 3, 2), 6 * channels)
    check(packed, tmp_path / "net.onnx", rng.standard_normal((2, channels, 3, 2)).astype(np.float32))


def codes_of(path):
    """{name of a layer: (type, codes as integers, alpha, scale, axis)} of a file, unpacked by the package onnx."""
    model = onnx.load(path)
    arrays = {t.name: t for t in model.graph.initializer}
    values = {name: onnx.numpy_helper.to_array(t) for name, t in arrays.items()}
    scales = {n.input[0]: values[n.input[1]] for n in model.graph.node if n.op_type == "Mul" and len(n.input) == 2}
    found = {}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear":
            kind = onnx.TensorProto.DataType.Name(arrays[node.input[0]].data_type)
            axis = [a.i for a in node.attribute if a.name == "axis"]
            codes = values[node.input[0]].astype(np.int8)
            name = node.input[0].removesuffix(".codes")
            found[name] = (kind, codes, values[node.input[1]], scales.get(node.output[0]), axis)
    return found


@pytest.mark.parametrize("opset", OPSETS)
def test_codes_alpha_and_scale_are_in_the_file(opset, tmp_path):
    """And their product, rounded once, is the weight of the float file to the bit."""
    packed = small(np.random.default_rng(8))
    assert export_onnx(packed, tmp_path / "codes.onnx", opset=opset) == opset
    export_onnx(packed, tmp_path / "float.onnx", floats=True)
    floats = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(tmp_path / "float.onnx").graph.initializer}
    found = codes_of(tmp_path / "codes.onnx")
    assert set(found) == {"conv1", "conv2", "fc1"}  # fc2 is float
    for node in packed.graph.nodes:
        if node.name not in found:
            continue
        kind, codes, alpha, scale, axis = found[node.name]
        assert kind == OPSETS[opset]
        np.testing.assert_array_equal(codes, node.weight.codes())
        np.testing.assert_array_equal(alpha.ravel(), node.weight.alpha)
        assert (alpha.ndim, axis) == ((1, [0]) if len(node.weight.alpha) > 1 else (0, []))
        np.testing.assert_array_equal(scale.ravel(), node.scale)
        column = (-1, *(1,) * (codes.ndim - 1))
        made = np.float32(codes * alpha.reshape(column)) * scale
        np.testing.assert_array_equal(made, floats[f"{node.name}.weight"])


def test_a_scale_of_ones_is_left_out(tmp_path):
    packed = small(np.random.default_rng(9))
    nodes = [replace(n, scale=np.ones(4, np.float32)) if n.name == "conv2" else n for n in packed.graph.nodes]
    packed = network(nodes, (2, 7, 6), 3)
    check(packed, tmp_path / "net.onnx", np.random.default_rng(1).standard_normal((2, 2, 7, 6)).astype(np.float32))
    found = codes_of(tmp_path / "net.onnx")
    assert found["conv2"][3] is None
    assert found["conv1"][3] is not None


@pytest.mark.parametrize("levels", ["ternary", "binary"])
def test_sizes(levels, tmp_path):
    """Of ResNet-20, 268,336 weights with codes: 2, 4, 8 and 32 bits each, and less than 40 kB beside them."""
    net = models.resnet20()
    codes = quantized(net, levels)
    packed = pack(
        net, codes, input_shape=(3, 32, 32), normalization=([0.5] * 3, [0.25] * 3), classes=list("abcdefghij")
    )
    weights = 268_336
    for opset, bits in ((25, 2), (21, 4), (13, 8)):
        export_onnx(packed, tmp_path / "net.onnx", opset=opset)
        size = (tmp_path / "net.onnx").stat().st_size
        assert weights * bits / 8 < size < weights * bits / 8 + 40_000
    export_onnx(packed, tmp_path / "net.onnx", floats=True)
    assert (tmp_path / "net.onnx").stat().st_size > 4 * weights


@pytest.mark.parametrize("opset", [12, 26, -1])
def test_other_opsets_are_refused(opset, tmp_path):
    with pytest.raises(ValueError, match=f"opset is {opset}, wanted 13 to 25"):
        export_onnx(small(np.random.default_rng(0)), tmp_path / "net.onnx", opset=opset)
    assert not (tmp_path / "net.onnx").exists()


def test_commands_say_which_opset(tmp_path, capsys):
    packed, out = small(np.random.default_rng(10)), str(tmp_path / "net.onnx")
    packed.save(tmp_path / "net.elq")
    for options, opset in (([], 25), (["--opset", "21"], 21), (["--float"], 17), (["--float", "--opset", "13"], 13)):
        assert main(["export-onnx", str(tmp_path / "net.elq"), "-o", out, "--json", *options]) == 0
        assert json.loads(capsys.readouterr().out)["opset"] == opset
        assert onnx.load(out).opset_import[0].version == opset
        assert bool(codes_of(out)) == ("--float" not in options)
    assert main(["export-onnx", str(tmp_path / "net.elq"), "-o", out, "--opset", "9"]) == 2
    assert "opset is 9, wanted 13 to 25" in capsys.readouterr().err


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
