"""ONNX in: layers, pools, names. Expected values are onnxruntime's."""

import numpy as np
import pytest
from onnx_files import check, model, node, onnx, ops, saved

import elq_ref as elq

RNG = np.random.default_rng(5)


def floats(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def tail(value="h", classes=4, channels=5):
    """A mean over the picture and a linear layer behind `value` of some channels: nodes and arrays."""
    nodes = [
        node("GlobalAveragePool", value, "p"),
        node("Flatten", "p", "f"),
        node("Gemm", "f fc.weight fc.bias", "y", transB=1),
    ]
    return nodes, {"fc.weight": floats(classes, channels), "fc.bias": floats(classes)}


def network(nodes, arrays, *, channels=5, **options):
    """A model of `nodes`, which make "h" of "x", with the tail behind it."""
    more, others = tail(channels=channels)
    return model([*nodes, *more], arrays | others, **options)


CONVOLUTIONS = {
    "plain": ({}, (5, 3, 3, 3), True),
    "no bias": ({"pads": [1, 1, 1, 1]}, (5, 3, 3, 3), False),
    "stride by axis": ({"strides": [2, 1], "pads": [0, 2, 0, 2]}, (5, 3, 2, 3), True),
    "asymmetric": ({"pads": [0, 1, 1, 2], "strides": [2, 2]}, (5, 3, 3, 3), True),
    "dilated": ({"dilations": [2, 1], "pads": [2, 0, 2, 0]}, (5, 3, 3, 2), True),
    "groups": ({"group": 3}, (6, 1, 2, 2), True),
    "same upper": ({"auto_pad": "SAME_UPPER", "strides": [2, 2]}, (5, 3, 4, 3), True),
    "same lower": ({"auto_pad": "SAME_LOWER", "strides": [2, 3]}, (5, 3, 4, 2), True),
    "valid": ({"auto_pad": "VALID"}, (5, 3, 2, 2), True),
}


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolutions(case, tmp_path):
    attributes, shape, bias = CONVOLUTIONS[case]
    arrays = {"a.weight": floats(*shape)} | ({"a.bias": floats(shape[0])} if bias else {})
    made = network([node("Conv", " ".join(["x", *arrays]), "h", "c", **attributes)], arrays, channels=shape[0])
    net = check(saved(tmp_path / "net.onnx", made))
    assert list(net.state_dict()) == [*arrays, "fc.weight", "fc.bias"]
    assert ops(net)[-3:] == ["conv", "global_avg_pool", "linear"]
    assert net.graph.nodes[-3].name == "a"


POOLS = {
    "plain": {"kernel_shape": [2, 3], "strides": [1, 2]},
    "padded": {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
    "asymmetric": {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [0, 1, 2, 0]},
    "ceil": {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
    "ceil and padded": {"kernel_shape": [2, 3], "strides": [3, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1},
    "a window behind the input": {"kernel_shape": [2, 2], "strides": [4, 4], "pads": [1, 1, 1, 1], "ceil_mode": 1},
    "same": {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    "same lower": {"kernel_shape": [2, 2], "strides": [2, 1], "auto_pad": "SAME_LOWER"},
    "whole": {"kernel_shape": [9, 8]},
}


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool", "counting"])
@pytest.mark.parametrize("case", POOLS)
def test_pools(case, op, tmp_path):
    attributes = POOLS[case] | ({"count_include_pad": 1} if op == "counting" else {})
    made = network([node("AveragePool" if op == "counting" else op, "x", "h", **attributes)], {}, channels=3, opset=22)
    net = check(saved(tmp_path / "net.onnx", made))
    averaged = "global_avg_pool" if case == "whole" else "avg_pool"
    assert ops(net)[0] == ("max_pool" if op == "MaxPool" else averaged)


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize(
    ("op", "opset"), [("ReduceMean", 13), ("ReduceMean", 18), ("ReduceMax", 12), ("ReduceMax", 20)]
)
def test_reductions_over_the_picture(op, opset, keep, tmp_path):
    inside = {"axes": [2, -1]} if opset < 18 else {}
    nodes = [node(op, "x" if opset < 18 else "x axes", "p", keepdims=keep, **inside)]
    arrays = {"axes": np.array([-1, 2])} if opset >= 18 else {}
    nodes += [node("Flatten", "p", "f"), node("Gemm", "f fc.weight", "y")]
    net = check(saved(tmp_path / "net.onnx", model(nodes, arrays | {"fc.weight": floats(3, 4)}, opset=opset)))
    assert ops(net) == (["global_avg_pool", "linear"] if op == "ReduceMean" else ["max_pool", "flatten", "linear"])


def test_means_of_one_axis_after_the_other(tmp_path):
    nodes = [node("ReduceMean", "x", "a", axes=[3], keepdims=0), node("ReduceMean", "a", "b", axes=[2], keepdims=0)]
    net = check(saved(tmp_path / "net.onnx", model([*nodes, node("Gemm", "b w", "y")], {"w": floats(3, 4)}, opset=13)))
    assert ops(net) == ["avg_pool", "global_avg_pool", "linear"]


@pytest.mark.parametrize("ndim", [2, 4])
def test_batch_norm(ndim, tmp_path):
    arrays = {"bn.weight": floats(3), "bn.bias": floats(3), "bn.running_mean": floats(3)}
    arrays["bn.running_var"] = RNG.uniform(0.5, 2, 3).astype(np.float32)
    inputs = " ".join(arrays)
    if ndim == 4:
        made = network([node("BatchNormalization", f"x {inputs}", "h", epsilon=0.01)], arrays, channels=3)
    else:
        nodes = [node("GlobalAveragePool", "x", "p"), node("Flatten", "p", "f")]
        made = model([*nodes, node("BatchNormalization", f"f {inputs}", "y", epsilon=0.01)], arrays)
    net = check(saved(tmp_path / "net.onnx", made))
    assert {name: net.state_dict()[name].tolist() for name in arrays} == {n: a.tolist() for n, a in arrays.items()}
    (norm,) = (n for n in net.graph.nodes if n.op == "batch_norm")
    assert norm.name == "bn"
    assert norm.attributes["eps"] == pytest.approx(0.01)


LINEAR = {
    "gemm": [node("Gemm", "f w b", "y", alpha=0.5, beta=2.0)],
    "transposed": [node("Transpose", "w", "t"), node("Gemm", "f t b", "y", transB=1)],
    "matmul": [node("MatMul", "f w", "m"), node("Add", "m b", "y")],
    "matmul, sum in the other order": [node("MatMul", "f w", "m"), node("Add", "b m", "y")],
    "one bias for all": [node("Gemm", "f w s", "y")],
}


@pytest.mark.parametrize("case", LINEAR)
def test_linear_layers(case, tmp_path):
    arrays = {"w": floats(216, 4), "b": floats(4), "s": floats(1)}
    used = {name for n in LINEAR[case] for name in n.input}
    made = model([node("Flatten", "x", "f"), *LINEAR[case]], {k: v for k, v in arrays.items() if k in used})
    net = check(saved(tmp_path / "net.onnx", made), tolerance=1e-5)
    assert ops(net) == ["flatten", "linear"]
    assert set(net.quantizable()) == {next(iter(net.state_dict()))}
    assert len(net.state_dict()) == 2


@pytest.mark.parametrize("shape", [(3, 1, 1), (1,)])
def test_prelu(shape, tmp_path):
    made = network([node("PRelu", "x act.weight", "h")], {"act.weight": floats(*shape)}, channels=3)
    net = check(saved(tmp_path / "net.onnx", made))
    assert net.state_dict()["act.weight"].shape == (3,)


@pytest.mark.parametrize("convolved", [True, False])
def test_squeeze_and_excite(convolved, tmp_path):
    """With convolutions of 1x1, or with linear layers and reshapes."""
    arrays = {
        "down.weight": floats(2, 3, 1, 1),
        "down.bias": floats(2),
        "up.weight": floats(3, 2, 1, 1),
        "up.bias": floats(3),
    }
    if convolved:
        nodes = [node("GlobalAveragePool", "x", "s"), node("Conv", "s down.weight down.bias", "d")]
        nodes += [node("Relu", "d", "r"), node("Conv", "r up.weight up.bias", "u")]
        nodes += [node("HardSigmoid", "u", "g", alpha=0.2), node("Mul", "g x", "h")]
    else:
        arrays = {name: a.reshape(a.shape[:2]) if a.ndim == 4 else a for name, a in arrays.items()}
        arrays["shape"] = np.array([0, 3, 1, 1])
        nodes = [node("GlobalAveragePool", "x", "s"), node("Flatten", "s", "v")]
        nodes += [node("Gemm", "v down.weight down.bias", "d", transB=1), node("Relu", "d", "r")]
        nodes += [node("Gemm", "r up.weight up.bias", "u", transB=1), node("Sigmoid", "u", "g")]
        nodes += [node("Reshape", "g shape", "e"), node("Mul", "x e", "h")]
    net = check(saved(tmp_path / "net.onnx", network(nodes, arrays, channels=3)))
    assert ops(net)[:4] == ["avg_pool", "conv", "relu", "conv"]
    assert [n for n in net.state_dict() if "fc" not in n] == list(arrays)[:4]


def test_a_residual_and_a_weight_that_is_used_twice(tmp_path):
    arrays = {"w": floats(3, 3, 3, 3), "b": floats(3)}
    nodes = [node("Conv", "x w b", "a", pads=[1] * 4), node("Relu", "a", "r")]
    nodes += [node("Conv", "r w b", "c", pads=[1] * 4), node("Add", "c x", "h")]
    net = check(saved(tmp_path / "net.onnx", network(nodes, arrays, channels=3)), tolerance=1e-5)
    assert len(net.quantizable()) == 2
    assert {n.weight.name for n in net.graph.nodes if n.op == "conv"} == {"conv.weight"}


def test_a_sum_with_a_constant_a_channel_is_the_bias_before_it(tmp_path):
    arrays = {"c.weight": floats(5, 3, 3, 3), "shift": floats(5, 1, 1)}
    net = check(
        saved(tmp_path / "net.onnx", network([node("Conv", "x c.weight", "a"), node("Add", "shift a", "h")], arrays))
    )
    assert list(net.state_dict())[:2] == ["c.weight", "c.bias"] or "c.bias" in net.state_dict()
    assert "scale_shift" not in ops(net)


def test_preprocessing_in_the_file(tmp_path):
    arrays = {"byte": np.float32(255), "mean": floats(3, 1, 1), "std": np.abs(floats(1, 3, 1, 1)) + 1}
    nodes = [node("Div", "x byte", "a"), node("Sub", "a mean", "b"), node("Div", "b std", "h")]
    net = check(saved(tmp_path / "net.onnx", network(nodes, arrays, channels=3)))
    assert ops(net)[:-2] == ["scale_shift"]


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
def test_a_softmax_at_the_end_is_left_out(op, tmp_path):
    nodes, arrays = tail(value="x", channels=3)
    nodes[-1].output[0] = "logits"
    path = saved(tmp_path / "net.onnx", model([*nodes, node(op, "logits", "y", axis=1)], arrays))
    plain = saved(tmp_path / "plain.onnx", model([*nodes, node("Identity", "logits", "y")], arrays))
    net = elq.from_onnx(path)
    assert ops(net) == ops(check(plain))
    nodes.append(node(op, "logits", "shares", axis=1))
    with pytest.raises(elq.FormatError, match=r"\(Relu\) follows a Softmax"):
        elq.from_onnx(saved(path, model([*nodes, node("Relu", "shares", "y")], arrays)))


NAMES = {  # (name of the weight, name of the node): the layer
    ("layer1.0.conv1.weight", "/any/Conv"): "layer1.0.conv1",
    ("block1-0.f.se.weight", ""): "block1-0.f.se",
    ("onnx::Conv_193", "/layer1/layer1.0/conv1/Conv"): "layer1.0.conv1",
    ("onnx::Conv_1", "/features/features.2/conv/conv.0/conv.0.0/Conv"): "features.2.conv.0.0",
    ("onnx::Conv_2", "/conv1/Conv_1"): "conv1",
    ("const_fold_opt__12", "StatefulPartitionedCall/net/stem/Conv2D"): "StatefulPartitionedCall.net.stem",
    ("17", ""): "conv",
    ("w" * 1000 + ".weight", ""): "conv",
    ("w", "a b/c\u202e/Conv"): "a_b.c_",
}


@pytest.mark.parametrize(("weight", "name"), NAMES)
def test_names(weight, name, tmp_path):
    layer = NAMES[weight, name]
    made = network([node("Conv", f"x {weight}", "h", name)], {weight: floats(5, 3, 3, 3)})
    net = elq.from_onnx(saved(tmp_path / "net.onnx", made))
    assert next(iter(net.state_dict())) == f"{layer}.weight"
    assert net.graph.nodes[0].name == layer
    assert list(elq.from_onnx(tmp_path / "net.onnx").state_dict()) == list(net.state_dict())


def test_names_that_meet(tmp_path):
    """Two layers that would have one name, and a layer that would lie inside of a tensor's name."""
    arrays = {
        "a": floats(3, 3, 1, 1),
        "b": floats(3, 3, 1, 1),
        "c.weight": floats(3, 3, 1, 1),
        "c.weight.x.weight": floats(3, 3, 1, 1),
    }
    nodes = [node("Conv", "x a", "h1", "/s/l/Conv"), node("Conv", "h1 b", "h2", "/s/l/Conv_1")]
    nodes += [node("Conv", "h2 c.weight", "h3"), node("Conv", "h3 c.weight.x.weight", "h")]
    net = check(saved(tmp_path / "net.onnx", network(nodes, arrays, channels=3)))
    assert list(net.quantizable())[:4] == ["s.l.weight", "s.l_2.weight", "c.weight", "c.weight.x_2.weight"] or len(
        net.quantizable()) == 5  # fmt: skip


def test_the_names_reach_the_packed_file(tmp_path):
    arrays = {"onnx::1": floats(5, 3, 3, 3)}
    path = saved(tmp_path / "net.onnx", network([node("Conv", "x onnx::1", "h", "/stem/conv/Conv")], arrays))
    packed = elq.pack(elq.from_onnx(path), {}, input_shape=(3, 9, 8), normalization=([0] * 3, [1] * 3), classes="abcd")
    assert list(packed.layers) == ["stem.conv", "fc"]


assert onnx
