"""The layers of exported C beside the integer network that they come from."""

import numpy as np
import pytest
from random_nets import random_network
from runtime_nets import network, small, weighted, with_int8

from elq_ref.export_c.layers import LARGEST, layers_of
from elq_ref.runtime import Node


def layers(nodes, shape, classes, seed=0):
    rng = np.random.default_rng(seed)
    return layers_of(with_int8(network(nodes(rng), shape, classes), rng).int8)


def test_every_op_has_its_sizes():
    rng = np.random.default_rng(0)
    found = {one.name: one for one in layers_of(with_int8(small(rng), rng).int8)}
    assert [one.kind for one in found.values()] == [
        *("input", "conv", "relu", "conv", "add", "subsample", "pad", "max_pool", "scale_shift", "avg_pool"),
        *("linear", "linear"),
    ]
    conv = found["conv2"]
    assert (conv.h, conv.w, conv.c, conv.p, conv.q, conv.o) == (7, 6, 4, 7, 6, 4)
    assert (conv.kh, conv.kw, conv.top, conv.left, conv.groups, conv.k) == (3, 1, 1, 0, 2, 6)
    assert conv.macs == 7 * 6 * 4 * 6
    pad = found["padded"]
    assert (pad.front, pad.top, pad.left, pad.p, pad.q, pad.o) == (1, 1, 0, 5, 4, 7)
    assert (found["largest"].kh, found["largest"].sy, found["largest"].sx) == (2, 2, 1)
    assert found["mean"].k == 2
    assert found["fc2"].raw
    assert found["fc2"].bytes == 0


def test_columns_behind_a_flatten_go_with_the_order_of_memory():
    found = layers(
        lambda rng: [Node("flatten", "flat", ("input",)), weighted(rng, "linear", "fc", "flat", "ternary", (3, 24))],
        (2, 3, 4),
        3,
    )
    assert [one.op for one in found] == ["input", "conv"]
    rng = np.random.default_rng(0)
    nodes = [Node("flatten", "flat", ("input",)), weighted(rng, "linear", "fc", "flat", "ternary", (3, 24))]
    rows = with_int8(network(nodes, (2, 3, 4), 3), rng).int8.nodes[-1].weight.rows()
    x = np.random.default_rng(1).integers(-128, 128, (2, 3, 4))
    np.testing.assert_array_equal(found[1].rows @ x.transpose(1, 2, 0).ravel(), rows @ x.ravel())


def test_a_flatten_that_others_read_is_a_layer():
    found = layers(
        lambda rng: [Node("flatten", "flat", ("input",)), Node("relu", "out", ("flat",))],
        (2, 3, 4),
        24,
    )
    assert [one.op for one in found] == ["input", "flatten", "relu", "raw"]


def test_what_the_output_does_not_need_is_left_out():
    def nodes(rng):
        return [
            Node("global_avg_pool", "mean", ("input",)),
            weighted(rng, "conv", "aside", "input", "ternary", (4, 2, 3, 3)),
            Node("global_avg_pool", "aside mean", ("aside",)),
            weighted(rng, "linear", "fc", "mean", "ternary", (3, 2)),
        ]

    assert [one.name for one in layers(nodes, (2, 5, 5), 3)] == ["input", "mean", "fc"]


def test_a_layer_beyond_16_bits_is_named():
    def nodes(rng):
        return [
            Node("flatten", "flat", ("input",)),
            weighted(rng, "linear", "wide one", "flat", "ternary", (2, 256 * 257)),
        ]

    with pytest.raises(ValueError, match=rf"^layer 'wide one' has a size of 65,792, .* at most {LARGEST:,}$"):
        layers(nodes, (1, 256, 257), 2)


def test_layers_read_what_is_computed_before():
    for seed in range(40):
        for one in layers_of(random_network(seed).int8):
            assert all(i < one.index for i in one.operands)
