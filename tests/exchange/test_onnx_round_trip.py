"""What export_onnx writes comes back: random graphs over every operation, and the codes with their scales."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from onnx_files import check, computed, model, node, onnx, ops, saved
from random_graphs import packed_graph
from runtime_nets import error_bounds, network

import elq_ref as elq
from elq_ref import checkpoint
from elq_ref.exchange import export_onnx
from elq_ref.graph.nodes import Graph, Node, Parameter
from elq_ref.graph.shapes import PACKED_OPS
from elq_ref.graph.windows import counts
from elq_ref.runtime import interpret

# As integers of 8, 4 and 2 bits, as floats.
WAYS = [
    {"opset": 13},
    {"opset": 21},
    {"opset": 25},
    {"floats": True},
    {"floats": True, "opset": 13},
]  # INT8, INT4, INT2
EACH = 6  # graphs of every operation


def trainable(graph):
    """The GraphNet of a packed graph: scale_o W_hat rounded once as weights, numbers as ONNX's attributes hold them."""
    tensors, nodes = {}, []

    def parameter(name, values):
        tensors[name] = values
        return Parameter(name, values.shape)

    for n in graph.nodes:
        arrays = {}
        if n.weight is not None:
            w_hat = n.weight.values().astype(np.float64)
            weight = (n.scale.reshape(-1, *(1,) * (w_hat.ndim - 1)) * w_hat).astype(np.float32)
            arrays = {"weight": parameter(f"{n.name}.weight", weight), "scale": None}
        elif n.scale is not None:
            arrays = {"scale": parameter(f"{n.name}.weight", n.scale)}
        if n.bias is not None:
            arrays["bias"] = parameter(f"{n.name}.bias", n.bias)
        if n.slope is not None:
            arrays["slope"] = parameter(f"{n.name}.slope", n.slope)
        numbers = {key: float(np.float32(v)) if isinstance(v, float) else v for key, v in n.attributes.items()}
        nodes.append(replace(n, attributes=numbers, **arrays))
    return elq.GraphNet(Graph(graph.input, graph.input_shape, tuple(nodes), graph.output, tuple(tensors)), tensors)


def test_random_graphs_of_all_ops(tmp_path):
    """To the bit where the same operations come back in the same order: in most graphs, and for every operation.

    The others differ by roundings alone: a graph may have x + x where 2 x comes back, or two scales where one does.
    """
    same, alike = Counter(), 0
    for seed in range(EACH * len(PACKED_OPS)):
        graph = packed_graph(seed)
        way = WAYS[seed // len(PACKED_OPS) % len(WAYS)]
        export_onnx(network(graph.nodes, graph.input_shape, 5), tmp_path / "net.onnx", **way)
        net = elq.from_onnx(tmp_path / "net.onnx")
        x = np.random.default_rng(seed).standard_normal((2, *graph.input_shape)).astype(np.float32)
        exact, got = interpret(graph, x, np.float64), computed(net, x)
        slack = error_bounds(graph, x)[graph.output] + 1e-6 * (1 + np.abs(exact))
        assert (np.abs(got - exact) <= slack).all(), (seed, way)
        if [n.op for n in net.graph.nodes] == [n.op for n in graph.nodes]:
            np.testing.assert_array_equal(got, computed(trainable(graph), x), str((seed, way)))
            same.update({n.op for n in graph.nodes})
            alike += 1
    assert set(same) == set(PACKED_OPS)
    assert alike > 0.6 * EACH * len(PACKED_OPS)


def test_averages_that_count_a_part_of_their_border(tmp_path):
    """Every window divides by the same number again, whatever part of a border of any width counts."""
    rng, written = np.random.default_rng(1), 0
    for case in range(60):
        kernel, stride = rng.integers(2, 5, 2), rng.integers(1, 4, 2)
        padding = rng.integers(0, [*kernel, *kernel])
        size = (2, *(rng.integers(0, 6, 2) + kernel).tolist())
        counted = rng.integers(0, padding + 1)
        window = zip(("kernel", "stride", "padding", "counted"), (kernel, stride, padding, counted), strict=True)
        pool = Node("avg_pool", "mean", ("input",), {key: tuple(value.tolist()) for key, value in window})
        given = counts(pool, size)
        nodes = [pool, Node("flatten", "flat", ("mean",))]
        export_onnx(network(nodes, size, 2 * given.size), tmp_path / "net.onnx")
        found = elq.from_onnx(tmp_path / "net.onnx").graph.nodes
        assert [n.op for n in found] == ["avg_pool", "flatten"]
        np.testing.assert_array_equal(counts(found[0], size), given, f"{case}: {pool.attributes}")
        written += any(n.op_type == "Mul" for n in onnx.load(tmp_path / "net.onnx").graph.node)
    assert written > 30


def averaged(shares, kernel=(3, 3), pad=1):
    """A model of an average over a picture (3, 9, 8) that is multiplied by `shares`."""
    nodes = [node("AveragePool", "x", "m", kernel_shape=kernel, pads=[pad] * 4, count_include_pad=1),
             node("Mul", "shares m", "h"), node("Flatten", "h", "f"), node("MatMul", "f w", "y")]  # fmt: skip
    size = 3 * (10 + 2 * pad - kernel[0]) * (9 + 2 * pad - kernel[1])
    return model(nodes, {"shares": shares, "w": np.ones((size, 2), np.float32)})


def test_other_products_of_averages_are_refused(tmp_path):
    edge = np.ones((9, 8), np.float32)
    edge[0] = edge[-1] = 9 / 6
    net = elq.from_onnx(saved(tmp_path / "net.onnx", averaged(edge)))
    assert net.graph.nodes[0].attributes["counted"] == (0, 1, 0, 1)
    corner, inner, row = edge.copy(), edge.copy(), edge.copy()
    corner[0, 0], inner[4, 4], row[4] = 9 / 5, 9 / 6, 9 / 6
    wide = np.ones((508 - 245, 508 - 246), np.float32)
    wide[0] = 255 / 254
    others = [averaged(s) for s in (corner, inner, row, edge * np.nan, edge / 2, edge * 1e9)]
    for made in (*others, averaged(wide, (255, 255), 254)):  # too many borders to be tried
        with pytest.raises(elq.FormatError, match=r"\(Mul\) reads a constant of shape .*, wanted one number"):
            elq.from_onnx(saved(tmp_path / "net.onnx", made))
    one = np.full((1, 1), 110 / 85, np.float32)  # of a window that counts 9 to 11 rows and 8 to 10 columns
    assert ops(check(saved(tmp_path / "net.onnx", averaged(one, (11, 10)))))[:2] == ["avg_pool", "scale_shift"]


@pytest.mark.parametrize("opset", [13, 21, 25])
def test_codes_come_back(opset, tmp_path):
    """W_hat to the bit where no BatchNorm is folded beside it, and what the file says of classes and normalization."""
    net = elq.models.lenet5(seed=3)
    codes = {name: elq.ternarize(p.data, per_channel=True) for name, p in net.quantizable().items()}
    net.load_state_dict(net.state_dict() | {name: alpha * code for name, (code, alpha) in codes.items()})
    info = elq.NetworkInfo((1, 28, 28), tuple("0123456789"), elq.datasets.Normalization((0.13,), (0.31,)))
    packed = elq.pack(net, info, quantized={name: (code, alpha.reshape(-1)) for name, (code, alpha) in codes.items()})
    assert export_onnx(packed, tmp_path / "net.onnx", opset=opset) == opset
    file = checkpoint.read(tmp_path / "net.onnx")
    assert file.info == info
    for name, (code, alpha) in codes.items():
        np.testing.assert_array_equal(file.tensors[name], (alpha * code).astype(np.float32), strict=True)
    again = elq.pack(elq.from_onnx(tmp_path / "net.onnx"), info)  # finds the codes in the weights
    for name, weight in packed.layers.items():
        np.testing.assert_array_equal(again.layers[name].data, weight.data)
