"""ONNX in: transposes, reshapes, splits, shape arithmetic. Expected values are onnxruntime's."""

import numpy as np
import pytest
from onnx_files import check, model, node, ops, saved

import elq_ref as elq

RNG = np.random.default_rng(6)


def floats(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def ints(*values):
    return np.array(values, np.int64)


def nhwc_network(opset=13):
    """As tf2onnx writes a network of Keras: every convolution between two transposes, all else channels last."""
    arrays = {
        "k1": floats(6, 3, 3, 3), "b1": floats(6), "k2": floats(6, 1, 3, 3), "scale": floats(1, 1, 1, 6) + 2,
        "shift": floats(6), "k3": floats(4, 6, 1, 1), "dense": floats(160, 7), "db": floats(7), "flat": ints(-1, 160),
        "axes": ints(1, 2), "pads": ints(0, 1, 1, 0, 0, 0, 1, 0), "six": np.float32(6), "zero": np.float32(0),
    }  # fmt: skip
    to, back = {"perm": [0, 3, 1, 2]}, {"perm": [0, 2, 3, 1]}
    nodes = [
        node("Transpose", "x", "t1", **to), node("Conv", "t1 k1", "c1", auto_pad="SAME_UPPER", strides=[2, 2]),
        node("Transpose", "c1", "u1", **back), node("Add", "u1 b1", "a1"), node("Clip", "a1 zero six", "r1"),
        node("Pad", "r1 pads", "p1"), node("Transpose", "p1", "t2", **to),
        node("Conv", "t2 k2", "c2", group=6, auto_pad="VALID"), node("Transpose", "c2", "u2", **back),
        node("Mul", "u2 scale", "m2"), node("Add", "m2 shift", "a2"), node("Relu", "a2", "r2"),
        node("Transpose", "r2", "t3", **to), node("Conv", "t3 k3", "c3"), node("Transpose", "c3", "u3", **back),
        node("Concat", "u3 r2", "j", axis=3), node("ReduceMean", "j", "g", axes=[1, 2], keepdims=1),
        node("Sigmoid", "g", "s"), node("Mul", "j s", "se"), node("Reshape", "se flat", "f"),
        node("MatMul", "f dense", "d"), node("Add", "d db", "y"),
    ]  # fmt: skip
    used = {name for n in nodes for name in n.input}
    return model(nodes, {k: v for k, v in arrays.items() if k in used}, ("N", 9, 8, 3), opset=opset)


@pytest.mark.parametrize("opset", [11, 13])
def test_channels_last(opset, tmp_path):
    net = check(saved(tmp_path / "net.onnx", nhwc_network(opset)), nhwc=True, tolerance=2e-5)
    assert net.graph.input_shape == (3, 9, 8)
    found = ops(net)
    assert found.count("conv") == 3
    assert "flatten" in found
    assert net.graph.nodes[1].op == "conv"  # behind a pad, which is asymmetric
    assert net.graph.nodes[1].bias is not None  # of its Add, behind the transpose


def shuffled(batch):
    """A channel shuffle as PyTorch writes it; batch: how the shape names the pictures."""
    arrays = {
        "w": floats(6, 3, 1, 1),
        "v": floats(4, 6, 1, 1),
        "first": ints(batch, 2, 3, 9, 8),
        "second": ints(batch, 6, 9, 8),
    }
    nodes = [
        node("Conv", "x w", "a"),
        node("Reshape", "a first", "b"),
        node("Transpose", "b", "c", perm=[0, 2, 1, 3, 4]),
    ]
    nodes += [node("Reshape", "c second", "d"), node("Conv", "d v", "e"), node("GlobalAveragePool", "e", "f")]
    return [*nodes, node("Flatten", "f", "y")], arrays


@pytest.mark.parametrize(("batch", "size"), [(-1, "N"), (3, 3), (0, "N")])
def test_a_channel_shuffle(batch, size, tmp_path):
    nodes, arrays = shuffled(batch)
    net = check(saved(tmp_path / "net.onnx", model(nodes, arrays, (size, 3, 9, 8), output=(size, 4))))
    assert ops(net) == ["conv", "shuffle", "conv", "global_avg_pool"]
    assert net.graph.nodes[1].attributes["groups"] == 2


def test_a_batch_of_one(tmp_path):
    nodes, arrays = shuffled(1)
    path = saved(tmp_path / "net.onnx", model(nodes, arrays, (1, 3, 9, 8), output=(1, 4)))
    net = check(path, count=1)
    assert "shuffle" in ops(net)


def test_a_split_of_the_shuffled_channels_over_the_batch(tmp_path):
    """ShuffleNetV2 as its authors wrote it: (N C / 2, 2, H W), transposed, taken apart by the first axis."""
    arrays = {"w": floats(6, 3, 1, 1), "first": ints(-1, 2, 72), "second": ints(2, -1, 3, 9, 8), "zero": ints(0)}
    nodes = [node("Conv", "x w", "a"), node("Reshape", "a first", "b"), node("Transpose", "b", "c", perm=[1, 0, 2])]
    nodes += [node("Reshape", "c second", "d"), node("Gather", "d zero", "e", axis=0)]
    nodes += [node("Squeeze", "e zero", "f"), node("GlobalAveragePool", "f", "g"), node("Flatten", "g", "y")]
    path = saved(tmp_path / "net.onnx", model(nodes, arrays))
    net = check(path)
    assert "slice" in ops(net)


def test_arithmetic_of_shapes(tmp_path):
    """view(x.size(0), 2, x.size(1) // 2, ...) with every size taken out of a Shape, cast, divided and put together."""
    arrays = {"w": floats(6, 3, 1, 1), "fc": floats(6, 4), "0": ints(0), "1": ints(1), "2": ints(2), "3": ints(3),
              "half": np.float32(0.5), "end": ints(9)}  # fmt: skip
    nodes = [node("Conv", "x w", "a"), node("Shape", "a", "s")]
    for k in range(4):
        nodes.append(node("Gather", f"s {k}", f"n{k}", axis=0))
    nodes += [
        node("Cast", "n1", "f1", to=1),
        node("Mul", "f1 half", "f2"),
        node("Floor", "f2", "f3"),
        node("Cast", "f3", "h", to=7),
    ]
    nodes += [node("Concat", "n0 2 h n2 n3", "to", axis=0), node("Reshape", "a to", "b")]
    nodes += [node("Transpose", "b", "c", perm=[0, 2, 1, 3, 4]), node("Slice", "s 2 end 0", "rest")]
    nodes += [
        node("Mul", "h 2", "whole"),
        node("Concat", "n0 whole rest", "back", axis=0),
        node("Reshape", "c back", "d"),
    ]
    nodes += [node("GlobalAveragePool", "d", "p"), node("Shape", "p", "t"), node("Gather", "t 0", "q")]
    nodes += [
        node("Constant", "", "m", value_ints=[-1]),
        node("Concat", "q m", "flat", axis=0),
        node("Reshape", "p flat", "f"),
    ]
    nodes += [node("Gemm", "f fc", "y")]
    del arrays["3"]
    arrays["3"] = ints(3)
    net = check(saved(tmp_path / "net.onnx", model(nodes, arrays)))
    assert ops(net) == ["conv", "shuffle", "global_avg_pool", "linear"]


PARTS = {
    "split": [node("Split", "a", "l r", axis=1)],
    "split by sizes": [node("Split", "a sizes", "l r", axis=1)],
    "split, one not used": [node("Split", "a sizes", "unused r", axis=1), node("Relu", "a", "l")],
    "slices": [node("Slice", "a 0 2 1", "l"), node("Slice", "a 2 large 1", "r")],
    "from behind": [node("Slice", "a -2 large 1", "l"), node("Slice", "a 0 -2 1", "r")],
    "gather": [node("Gather", "a pair", "l", axis=1), node("Gather", "a others", "r", axis=1)],
}


@pytest.mark.parametrize("case", PARTS)
def test_parts_of_channels(case, tmp_path):
    arrays = {"w": floats(6, 3, 1, 1), "sizes": ints(2, 4), "0": ints(0), "1": ints(1), "2": ints(2), "-2": ints(-2),
              "large": ints(2**62), "pair": ints(4, 5), "others": ints(0, 1, 2)}  # fmt: skip
    nodes = [node("Conv", "x w", "a"), *PARTS[case], node("Concat", "r l", "j", axis=-3)]
    nodes += [node("GlobalAveragePool", "j", "f"), node("Flatten", "f", "y")]
    used = {name for n in nodes for name in n.input}
    net = check(saved(tmp_path / "net.onnx", model(nodes, {k: v for k, v in arrays.items() if k in used})))
    assert "slice" in ops(net)
    assert "concat" in ops(net)


def test_every_second_pixel_and_channels_of_zeros(tmp_path):
    """The shortcut of a CIFAR ResNet: x[:, :, ::2, ::2], padded by channels."""
    arrays = {
        "starts": ints(0, 0),
        "ends": ints(2**62, 2**62),
        "axes": ints(2, 3),
        "steps": ints(2, 2),
        "pads": ints(0, 1, 0, 0, 0, 2, 0, 0),
    }
    nodes = [node("Slice", "x starts ends axes steps", "a"), node("Pad", "a pads", "b")]
    nodes += [node("Flatten", "b", "f"), node("Gemm", "f w", "y")]
    net = check(saved(tmp_path / "net.onnx", model(nodes, arrays | {"w": floats(6 * 5 * 4, 3)})), tolerance=1e-5)
    assert ops(net) == ["subsample", "pad", "flatten", "linear"]


def test_zeros_around_a_convolution_are_its_padding(tmp_path):
    arrays = {"pads": ints(0, 0, 1, 2, 0, 0, 1, 2), "w": floats(4, 3, 3, 3)}
    nodes = [
        node("Pad", "x pads", "a"),
        node("Conv", "a w", "b", pads=[1, 0, 1, 0]),
        node("GlobalAveragePool", "b", "c"),
    ]
    net = check(saved(tmp_path / "net.onnx", model([*nodes, node("Flatten", "c", "y")], arrays)))
    assert ops(net) == ["conv", "global_avg_pool"]
    assert net.graph.nodes[0].attributes["padding"] == (2, 2)


def test_a_linear_layer_over_the_channels_of_every_pixel(tmp_path):
    arrays = {"w": floats(3, 5), "b": floats(5)}
    nodes = [node("MatMul", "x w", "a"), node("Add", "a b", "c"), node("ReduceMean", "c", "y", axes=[1, 2], keepdims=0)]
    made = model(
        [node("Transpose", "x", "t", perm=[0, 2, 3, 1]), node("MatMul", "t w", "a"), *nodes[1:]], arrays, opset=13
    )
    net = check(saved(tmp_path / "net.onnx", made))
    assert ops(net) == ["conv", "global_avg_pool"]


def test_squeezes_and_unsqueezes(tmp_path):
    arrays = {"axes": ints(2, 3), "last": ints(-1), "w": floats(3, 4)}
    nodes = [node("GlobalAveragePool", "x", "a"), node("Squeeze", "a axes", "b"), node("Unsqueeze", "b last", "c")]
    nodes += [node("Squeeze", "c last", "d"), node("Gemm", "d w", "e"), node("Unsqueeze", "e axes", "f")]
    net = check(saved(tmp_path / "net.onnx", model([*nodes, node("Squeeze", "f axes", "y")], arrays)))
    assert ops(net) == ["global_avg_pool", "linear"]


def test_pictures_of_a_size_that_is_said(tmp_path):
    arrays = {"c.weight": floats(4, 3, 3, 3)}
    nodes = [node("Conv", "x c.weight", "a"), node("GlobalAveragePool", "a", "b"), node("Flatten", "b", "y")]
    path = saved(tmp_path / "net.onnx", model(nodes, arrays, ("N", 3, "H", "W")))
    with pytest.raises(elq.FormatError, match=r"leaves rows and columns open: say them, e\.g\. --input 3,224,224"):
        elq.from_onnx(path)
    assert check(path, input=(3, 7, 6)).graph.input_shape == (3, 7, 6)
    with pytest.raises(elq.FormatError, match=r"has 3 channel\(s\), wanted pictures have 1"):
        elq.from_onnx(path, (1, 7, 6))
    fixed = saved(tmp_path / "fixed.onnx", model(nodes, arrays))
    assert elq.from_onnx(fixed, (3, 12, 12)).graph.input_shape == (3, 12, 12)


REFUSED = {
    "channels as columns": ([node("Transpose", "x", "t", perm=[0, 2, 3, 1]), node("Conv", "t w9", "y")], "axes are"),
    "a constant for every pixel": ([node("Add", "x pixels", "a"), node("Flatten", "a", "y")], "or one a channel"),
    "half of a picture": ([node("Slice", "x 0 2 2", "a"), node("Flatten", "a", "y")], "another axis than channels"),
    "mixed axes": ([node("Reshape", "x mixed", "a"), node("Flatten", "a", "y")], "mixes channels, rows, columns"),
    "too few elements": ([node("Reshape", "x few", "y")], "reshapes"),
    "pictures joined": ([node("Concat", "x x", "a", axis=0), node("Flatten", "a", "y")], "along another axis"),
    "a mean over channels": ([node("ReduceMean", "x", "a", axes=[1]), node("Flatten", "a", "y")], "other axes"),
    "reflected borders": ([node("Pad", "x pads", "a", mode="reflect"), node("Flatten", "a", "y")], "mode 'reflect'"),
    "an output of four axes": ([node("Relu", "x", "y")], r"is \(N, 3, 9, 8\), wanted \(N, classes\)"),
    "a scalar": ([node("ReduceMean", "x", "y", axes=[1, 2, 3], keepdims=0)], "other axes than rows"),
    "two values that no op joins": ([node("Conv", "x w", "a"), node("Sub", "x a", "b"), node("Flatten", "b", "y")],
                                    "a value and a constant"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_graph_cannot_hold(case, tmp_path):
    nodes, said = REFUSED[case]
    arrays = {"w9": floats(4, 9, 1, 1), "w": floats(3, 3, 1, 1), "pixels": floats(1, 3, 9, 8), "0": ints(0),
              "2": ints(2), "mixed": ints(0, 8, 27, 1), "few": ints(2, 3),
              "pads": ints(0, 0, 1, 1, 0, 0, 1, 1)}  # fmt: skip
    used = {name for n in nodes for name in n.input}
    path = saved(tmp_path / "net.onnx", model(nodes, {k: v for k, v in arrays.items() if k in used}, opset=13))
    with pytest.raises(elq.FormatError, match=said) as error:
        elq.from_onnx(path)
    assert "\n" not in str(error.value)
