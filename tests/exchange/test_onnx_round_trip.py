"""What export_onnx writes comes back: random graphs over every operation, and the codes with their scales."""

import numpy as np
import pytest
from onnx_files import computed, onnx
from random_graphs import packed_graph
from runtime_nets import error_bounds, network

import elq_ref as elq
from elq_ref import checkpoint
from elq_ref.exchange import export_onnx
from elq_ref.graph.nodes import NO_BORDER
from elq_ref.runtime import interpret

SEEDS = range(120)
PARTS = 6


def of_onnx(node):
    """Whether ONNX has the node: what it has not is written as several that no other program writes."""
    if node.op == "avg_pool":
        return node.attributes["counted"] in (NO_BORDER, node.attributes["padding"])
    return node.op != "lrn" or node.attributes["size"] % 2 == 1


@pytest.mark.parametrize("part", range(PARTS))
def test_random_graphs_of_all_ops(part, tmp_path):
    for seed in SEEDS[part::PARTS]:
        graph = packed_graph(seed)
        if not all(map(of_onnx, graph.nodes)):
            continue
        packed = network(graph.nodes, graph.input_shape, 5)
        export_onnx(packed, tmp_path / "net.onnx", opset=(13, 17, 20, 21, 25)[seed % 5])
        net = elq.from_onnx(tmp_path / "net.onnx")
        x = np.random.default_rng(seed).standard_normal((2, *graph.input_shape)).astype(np.float32)
        exact = interpret(graph, x, np.float64)
        slack = error_bounds(graph, x)[graph.output] + 1e-6 * (1 + np.abs(exact))
        assert (np.abs(computed(net, x) - exact) <= slack).all(), seed


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


assert onnx
