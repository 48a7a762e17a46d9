"""ONNX in: local response norms, as a node and as PyTorch and export_onnx write them. Expected values are
onnxruntime's."""

import numpy as np
import pytest
from onnx_files import check, model, node, onnxruntime, ops, saved

import elq_ref as elq

ALPHA, BETA, BIAS = 0.4, 0.6, 1.5
SHAPE = (5, 4, 3)
NUMBERS = {"alpha": ALPHA, "beta": BETA, "minus": -BETA, "bias": BIAS, "one": 1.0}


def classifier(nodes, arrays, shape=SHAPE, **options):
    """A model whose `nodes` make "h" of "x" and of the NUMBERS, with a linear layer behind them."""
    used = {name for n in nodes for name in n.input}
    arrays = {name: np.float32(value) for name, value in NUMBERS.items() if name in used} | arrays
    weight = np.random.default_rng(3).standard_normal((int(np.prod(shape)), 4)).astype(np.float32)
    nodes = [*nodes, node("Flatten", "h", "f"), node("MatMul", "f fc.weight", "y")]
    return model(nodes, arrays | {"fc.weight": weight}, ("N", *shape), **options)


def as_pytorch(size, shape, before, after, kernel=None):
    """What torch.onnx.export(dynamo=True) writes of LocalResponseNorm, padded by zeros."""
    nodes = [node("Mul", "x x", "s"), node("Reshape", "s five", "v"), node("Pad", "v zeros", "p"),
             node("AveragePool", "p", "m", kernel_shape=kernel or [size, 1, 1], count_include_pad=1),
             node("Squeeze", "m first", "q"), node("Mul", "q alpha", "a"), node("Add", "a bias", "b"),
             node("Pow", "b beta", "c"), node("Div", "x c", "h")]  # fmt: skip
    zeros = np.array([0, 0, before, 0, 0, 0, 0, after, 0, 0])
    return nodes, {"five": np.array([-1, 1, *shape]), "zeros": zeros, "first": np.array([1])}


def as_exported(size, shape, before, after):
    """As export_onnx writes it: rows and columns as one axis, the border in the pool, a product."""
    nodes = [node("Mul", "x x", "s"), node("Reshape", "s plane", "v"),
             node("AveragePool", "v", "m", kernel_shape=[size, 1], pads=[before, 0, after, 0], count_include_pad=1),
             node("Reshape", "m shape", "q"), node("Mul", "alpha q", "a"), node("Add", "bias a", "b"),
             node("Pow", "b minus", "c"), node("Mul", "c x", "h")]  # fmt: skip
    return nodes, {"plane": np.array([0, 1, shape[0], -1]), "shape": np.array([0, *shape])}


@pytest.mark.parametrize("shape", [SHAPE, (1, 4, 3), (5, 1, 1), (1, 1, 1)])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("written", [as_pytorch, as_exported])
def test_written_out(written, size, shape, tmp_path):
    nodes, arrays = written(size, shape, size // 2, (size - 1) // 2)
    net = check(saved(tmp_path / "net.onnx", classifier(nodes, arrays, shape, opset=20)))
    assert ops(net)[:-2] == ["lrn"]
    numbers = {"size": size} | {k: float(np.float32(NUMBERS[k])) for k in ("alpha", "beta", "bias")}
    assert net.graph.nodes[0].attributes == numbers


def test_a_small_alpha_is_that_of_the_file(tmp_path):
    nodes, arrays = as_pytorch(5, SHAPE, 2, 2)
    numbers = {"alpha": np.float32(1e-4), "bias": np.float32(1)}
    net = check(saved(tmp_path / "net.onnx", classifier(nodes, arrays | numbers, opset=20)))
    assert net.graph.nodes[0].attributes["alpha"] == float(np.float32(1e-4))


@pytest.mark.parametrize("size", [3, 5])
def test_one_node(size, tmp_path):
    nodes = [node("LRN", "x", "h", size=size, alpha=ALPHA, beta=BETA, bias=BIAS)]
    assert ops(check(saved(tmp_path / "net.onnx", classifier(nodes, {}))))[:-2] == ["lrn"]


def test_one_node_of_even_size(tmp_path):
    """Refused, as by onnxruntime: ONNX's window lies the other way round than the graph's."""
    path = saved(tmp_path / "net.onnx", classifier([node("LRN", "x", "h", size=4)], {}))
    with pytest.raises(elq.FormatError, match=r"\(LRN\) has size 4, wanted an odd number of channels"):
        elq.from_onnx(path)
    with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.Fail, match="size"):
        onnxruntime.InferenceSession(str(path))


OTHERS = {  # what is no local response norm: what is said
    "of the other side": (as_pytorch(4, SHAPE, 1, 2), "a value of 5 axes"),
    "of rows too": (as_pytorch(3, SHAPE, 1, 1, [3, 2, 1]), "a value of 5 axes"),
    "not of the square": (as_exported(3, SHAPE, 1, 1), "axes are not"),
    "of another value": (as_exported(3, SHAPE, 1, 1), "no function that a graph has"),
    "means alone": (as_exported(3, SHAPE, 1, 1), "averages over channels, which only a local response norm may do"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_other_means_over_channels_are_refused(case, tmp_path):
    (nodes, arrays), said = OTHERS[case]
    nodes = list(nodes)
    if case == "not of the square":
        nodes[0] = node("Mul", "x r", "s")
        nodes.insert(0, node("Relu", "x", "r"))
    elif case == "of another value":
        nodes[-1:] = [node("Relu", "x", "r"), node("Mul", "c r", "h")]
    elif case == "means alone":
        nodes[-3:] = [node("Mul", "a x", "h")]
    with pytest.raises(elq.FormatError, match=said):
        elq.from_onnx(saved(tmp_path / "net.onnx", classifier(nodes, arrays, opset=20)))
