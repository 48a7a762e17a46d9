"""Random graphs of every op on float activations: NumPy and ordered sums within the bounds of their roundings,
ordered sums with the same bits from C and NumPy; LRN against loops."""

import numpy as np
import pytest
from random_graphs import packed_graph
from runtime_nets import error_bounds, network, normalized, random_pictures

from elq_ref.graph.shapes import PACKED_OPS
from elq_ref.runtime import Node, interpret, ordered
from elq_ref.runtime.interpreter import values
from elq_ref.runtime.numpy_backend import NumpyBackend

pytestmark = pytest.mark.kernels
SEEDS = range(2 * len(PACKED_OPS))


def made(seed):
    graph, rng = packed_graph(seed), np.random.default_rng(seed)
    net = network(graph.nodes, graph.input_shape, 5)
    return net, normalized(net, random_pictures(rng, net, 2))


@pytest.mark.parametrize("seed", SEEDS)
def test_every_value_is_within_its_bound(seed, monkeypatch):
    net, x = made(seed)
    exact, bounds = values(net.graph, x, np.float64), error_bounds(net.graph, x)
    run = NumpyBackend(net, "float32", net.metadata.normalization.table()).run(x)
    assert np.all(np.abs(run - exact[net.graph.output]) <= bounds[net.graph.output] + 1e-30)
    found = ordered.OrderedNetwork(net.graph, net.shapes).values(x)
    for name, value in found.items():
        assert value.dtype == np.float32
        assert value.shape == exact[name].shape
        assert np.all(np.abs(value - exact[name]) <= bounds[name] + 1e-30), name
    monkeypatch.setattr(ordered, "_infer", None)
    for name, value in ordered.OrderedNetwork(net.graph, net.shapes).values(x[:1]).items():
        np.testing.assert_array_equal(value, found[name][:1], err_msg=name, strict=True)


@pytest.mark.parametrize(("channels", "size"), [(5, 3), (6, 4), (3, 9), (1, 5), (4, 1)])
def test_lrn_against_loops(channels, size):
    """x / (k + alpha / n * sum of the squares of n channels around it) ^ beta, whatever of these there is."""
    rng = np.random.default_rng(size)
    x = rng.standard_normal((2, channels, 2, 3))
    node = Node("lrn", "y", ("input",), {"size": size, "alpha": 0.7, "beta": 0.75, "bias": 1.5})
    net = network([node, Node("flatten", "out", ("y",))], (channels, 2, 3), channels * 6)
    wanted = np.empty_like(x)
    for n, c, i, j in np.ndindex(*x.shape):
        around = [x[n, k, i, j] ** 2 for k in range(c - size // 2, c + (size - 1) // 2 + 1) if 0 <= k < channels]
        wanted[n, c, i, j] = x[n, c, i, j] / (1.5 + 0.7 / size * sum(around)) ** 0.75
    np.testing.assert_allclose(interpret(net.graph, x, np.float64), wanted.reshape(2, -1), rtol=1e-12)
    run = NumpyBackend(net, "float32", net.metadata.normalization.table()).run(x.astype(np.float32))
    np.testing.assert_allclose(run, wanted.reshape(2, -1), rtol=1e-5)
