"""The interpreter, which is the oracle of the kernels, against loops over single elements."""

import numpy as np
import pytest
from runtime_nets import network, small, weighted

from elq_ref.runtime import Node, interpret
from elq_ref.runtime.interpreter import values

pytestmark = pytest.mark.kernels


def conv_by_loops(node, x):
    """The sum of docs/format.md, one product at a time, in exact integers times the factors."""
    w = node.weight.values().astype(np.float64)
    (sh, sw), (ph, pw), (dh, dw) = (node.attributes[k] for k in ("stride", "padding", "dilation"))
    outputs, inputs, kh, kw = w.shape
    group = outputs // node.attributes["groups"]
    height, width = x.shape[2:]
    rows, columns = (
        (height + 2 * ph - dh * (kh - 1) - 1) // sh + 1,
        (width + 2 * pw - dw * (kw - 1) - 1) // sw + 1,
    )
    y = np.zeros((len(x), outputs, rows, columns))
    for n, o, p, q in np.ndindex(*y.shape):
        for c, i, j in np.ndindex(inputs, kh, kw):
            row, column = p * sh + i * dh - ph, q * sw + j * dw - pw
            if 0 <= row < height and 0 <= column < width:
                y[n, o, p, q] += w[o, c, i, j] * x[n, o // group * inputs + c, row, column]
        y[n, o, p, q] = y[n, o, p, q] * float(node.scale[o]) + float(node.bias[o])
    return y


@pytest.mark.parametrize("levels", ["ternary", "binary", "float"])
@pytest.mark.parametrize(
    ("shape", "size", "geometry"),
    [
        ((3, 2, 3, 3), (4, 5), {"padding": (1, 1)}),
        ((4, 1, 3, 2), (6, 5), {"groups": 2, "stride": (2, 3), "padding": (0, 2)}),
        ((2, 3, 2, 3), (7, 8), {"dilation": (3, 2), "padding": (2, 1)}),
        ((3, 1, 1, 1), (3, 3), {"groups": 3, "stride": (4, 4)}),
    ],
)
def test_conv_is_the_sum_of_its_definition(levels, shape, size, geometry):
    rng = np.random.default_rng(3)
    node = weighted(rng, "conv", "c", "input", levels, shape, levels == "binary", **geometry)
    channels = shape[1] * node.attributes["groups"]
    x = rng.integers(-8, 9, (2, channels, *size)) / 4
    tail = Node("global_avg_pool", "g", ("c",))
    net = network([node, tail], (channels, *size), shape[0])
    got = values(net.graph, x, np.float64)["c"]
    np.testing.assert_allclose(got, conv_by_loops(node, x), rtol=1e-12, atol=1e-12)


def test_the_other_ops_are_what_the_format_page_says():
    rng = np.random.default_rng(4)
    net = small(rng)
    x = rng.standard_normal((3, 2, 7, 6))
    v = values(net.graph, x, np.float64)
    nodes = {node.name: node for node in net.graph.nodes}
    np.testing.assert_array_equal(v["relu1"], np.where(v["conv1"] > 0, v["conv1"], 0))
    np.testing.assert_array_equal(v["sum"], v["conv2"] + v["conv1"])
    np.testing.assert_array_equal(v["half"], v["sum"][:, :, [0, 2, 4, 6]][:, :, :, [0, 2, 4]])
    padded = np.zeros((3, 7, 5, 4))
    padded[:, 1:5, 1:, :3] = v["half"]
    np.testing.assert_array_equal(v["padded"], padded)
    for n, c, p, q in np.ndindex(3, 7, 2, 3):
        assert v["largest"][n, c, p, q] == max(padded[n, c, 2 * p + i, q + j] for i in (0, 1) for j in (0, 1))
        assert v["norm"][n, c, p, q] == float(nodes["norm"].scale[c]) * v["largest"][n, c, p, q] + float(
            nodes["norm"].bias[c]
        )
    for n, c, p, q in np.ndindex(3, 7, 2, 2):
        assert v["mean"][n, c, p, q] == (v["norm"][n, c, p, q] + v["norm"][n, c, p, q + 1]) / 2
        assert v["flat"][n, c * 4 + p * 2 + q] == v["mean"][n, c, p, q]
    for name, before in (("fc1", "flat"), ("fc2", "fc1")):
        node = nodes[name]
        for n, o in np.ndindex(*v[name].shape):
            total = sum(float(w) * z for w, z in zip(node.weight.values()[o], v[before][n], strict=True))
            assert v[name][n, o] == pytest.approx(
                total * float(node.scale[o]) + float(node.bias[o]), rel=1e-12
            )
    for name, shape in net.shapes.items():
        assert v[name].shape == (3, *shape)


def test_global_average():
    rng = np.random.default_rng(5)
    net = network([Node("global_avg_pool", "g", ("input",))], (3, 4, 5), 3)
    x = rng.integers(-50, 50, (2, 3, 4, 5)).astype(np.float64)
    np.testing.assert_allclose(interpret(net.graph, x, np.float64), x.sum((2, 3)) / 20, rtol=1e-15)


def test_a_wrong_input_shape_is_named():
    net = small(np.random.default_rng(6))
    with pytest.raises(ValueError, match=r"\(1, 2, 6, 7\), wanted \(N, 2, 7, 6\)"):
        interpret(net.graph, np.zeros((1, 2, 6, 7)))
