"""PackedNetwork: the limits and the metadata that a network must fit, its numbers, arrays that nobody writes."""

import math
from dataclasses import replace

import numpy as np
import pytest
from runtime_nets import network, small, weighted, with_int8

from elq_ref.graph.shapes import MAX_VALUES
from elq_ref.preprocessing import Normalization
from elq_ref.runtime import Graph, Metadata, Node, PackedNetwork, Session

pytestmark = pytest.mark.kernels


def test_memory_is_bounded_before_it_is_taken():
    """A chain of paddings whose value would take 2^45 floats is refused by its shape."""
    nodes = [
        Node(
            "pad",
            f"p{k}",
            (f"p{k - 1}" if k else "input",),
            {"before": (0, 32768, 0), "after": (0, 0, 32768)},
        )
        for k in range(4)
    ]
    nodes.append(Node("global_avg_pool", "g", ("p3",)))
    with pytest.raises(ValueError, match=r"node 'p0': activations of more than"):
        network(nodes, (1, 1, 1), 1)
    assert math.prod((1, 32769, 32769)) > MAX_VALUES


def test_metadata_must_fit_the_graph():
    rng = np.random.default_rng(24)
    graph = Graph("input", (2, 4, 4), (Node("global_avg_pool", "g", ("input",)),), "g")
    meta = Metadata(("a", "b"), Normalization((0.0, 0.0), (1.0, 1.0)))
    assert PackedNetwork(graph, meta).shapes == {"input": (2, 4, 4), "g": (2,)}
    for wrong, message in (
        ({"classes": ()}, "0 class names"),
        ({"classes": ("a",)}, "1 class name"),
        ({"normalization": Normalization((0.0,), (1.0,))}, "1 mean"),
        ({"method": {"x": np.nan}}, "JSON"),
        ({"method": {"x": object()}}, "JSON"),
    ):
        with pytest.raises(ValueError, match=message):
            PackedNetwork(graph, replace(meta, **wrong))
    with pytest.raises(ValueError, match="0 nodes"):
        PackedNetwork(replace(graph, nodes=()), meta)
    with pytest.raises(ValueError, match="scale has shape"):
        weighted(rng, "conv", "c", "input", "ternary", (3, 2, 1, 1)).__class__(
            "linear",
            "c scale",
            ("input",),
            {},
            weighted(rng, "linear", "c", "input", "ternary", (3, 2)).weight,
            np.ones(4, np.float32),
            np.ones(3, np.float32),
        )


def test_the_numbers_of_a_network_and_its_table():
    rng = np.random.default_rng(25)
    net = network(
        [
            weighted(rng, "conv", "conv1", "input", "ternary", (8, 4, 3, 3)),
            Node("global_avg_pool", "g", ("conv1",)),
            weighted(rng, "linear", "fc", "g", "binary", (5, 8), True),
        ],
        (4, 6, 6),
        5,
    )
    assert net.weight_bytes == 8 * 9 + 4 + 5 + 20  # 36 codes of 2 bits a row, alpha; 8 codes of 1 bit a row, 5 alphas
    assert net.float_bytes == 4 * (8 * 36 + 40)
    zeros = f"{(net.codes('conv1') == 0).mean():.1%}"
    lines = net.summary().splitlines()
    kernel = Session(net).kernels["conv1"]
    assert lines[1].split() == ["conv1", "conv", "8x4x3x3", "ternary", "2.11", "76", zeros, *kernel.split()]
    assert lines[2].split()[:7] == ["fc", "linear", "5x8", "binary", "5.00", "25", "0.0%"]
    assert "13.0 times" in lines[-2]
    assert lines[-1] == "int8 activations: none, elq calibrate makes them"
    assert with_int8(net, rng).summary().splitlines()[-1] == "int8 activations: method test"
    with pytest.raises(KeyError, match="conv1, fc"):
        net.codes("conv2")


def test_arrays_of_a_network_are_read_only():
    net = small(np.random.default_rng(26))
    for array in (net.alpha("conv1"), net.layers["conv1"].data, net.graph.nodes[0].bias):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
