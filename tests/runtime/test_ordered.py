"""Sums in one order: every kernel of C and NumPy against a loop of float32 scalars, to the bit; whole networks in C and
in NumPy."""

import numpy as np
import pytest
from runtime_kernels import KERNELS, infer, needs_infer, random_shape
from runtime_nets import block, error_bounds, network, normalized, pooled, random_pictures, small

from elq_ref.graph.codes import from_rows
from elq_ref.runtime import Node, Weight, ordered
from elq_ref.runtime.interpreter import values as interpreted

pytestmark = pytest.mark.kernels
ORDERED = [name for name in KERNELS if "_ordered_" in name]
SHAPES = [  # size (H, W, C), outputs, kernel, stride, padding, dilation, groups
    ((1, 1, 129), 37, (1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((4, 3, 5), 21, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((7, 6, 3), 18, (3, 2), (2, 3), (2, 0), (1, 1), 1),
    ((5, 8, 6), 4, (2, 3), (1, 2), (1, 3), (2, 2), 2),
    ((6, 5, 7), 7, (3, 3), (1, 1), (1, 1), (1, 1), 7),
    ((3, 3, 12), 34, (1, 1), (2, 2), (0, 0), (1, 1), 2),
    ((9, 1, 2), 17, (5, 1), (1, 1), (4, 0), (1, 1), 1),
]


def numbers(rng, shape):
    """Floats of all sizes, so that no sum is exact, with zeros of both signs among them."""
    x = (rng.standard_normal(shape) * np.exp2(rng.integers(-12, 13, shape))).astype(np.float32)
    return np.where(rng.random(shape) < 0.2, np.float32(-0.0) * np.sign(x), x)


def by_scalars(x, w, scale, bias, stride, padding, dilation, groups):
    """y (N, P, Q, O) of x (N, H, W, C) and w (O, KH, KW, I): np.float32 scalars, one operation after the other."""
    outputs, kh, kw, inputs = w.shape
    count, height, width, _ = x.shape
    rows, columns = (
        (size + 2 * p - d * (k - 1) - 1) // s + 1
        for size, k, s, p, d in zip((height, width), (kh, kw), stride, padding, dilation, strict=True)
    )
    y = np.empty((count, rows, columns, outputs), np.float32)
    for n, p, q, o in np.ndindex(*y.shape):
        total = np.float32(0)
        for i, j, c in np.ndindex(kh, kw, inputs):
            row, column = p * stride[0] + i * dilation[0] - padding[0], q * stride[1] + j * dilation[1] - padding[1]
            inside = 0 <= row < height and 0 <= column < width
            seen = x[n, row, column, o // (outputs // groups) * inputs + c] if inside else np.float32(0)
            product = w[o, i, j, c] * seen
            total = total + product
        scaled = total * scale[o]
        y[n, p, q, o] = scaled + bias[o]
    return y


def same_bits(a, b):
    """Equal, the signs of zeros too; a NaN has no more to it than that it is one."""
    np.testing.assert_array_equal(a, b)
    number = ~np.isnan(a)
    np.testing.assert_array_equal(a.view(np.uint32)[number], b.view(np.uint32)[number])


def by_numpy(rows, size, kernel, stride, padding, dilation, groups, tail):
    """The same arguments as a PackedLayer's, run as where the extension is missing."""
    outputs, channels = len(rows), size[2] // groups
    shape = (outputs, channels, *kernel)
    a = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    weight = Weight("float", shape, from_rows(rows, shape).copy())
    node = Node("conv", "c", ("input",), a, weight, *tail)
    net = network([node, Node("global_avg_pool", "g", ("c",))], (size[2], *size[:2]), outputs)
    return ordered.function(node, net.shapes["c"], ordered.in_order)


def layer(name, rows, geometry, tail):
    """A function of x (N, H, W, C)."""
    size, _, *others = geometry
    if name == "numpy":
        return by_numpy(rows, size, *others, tail)
    return infer.PackedLayer("float32 ordered", "full", rows, size, *others, (*tail, -np.inf), name)


@pytest.mark.parametrize("case", range(len(SHAPES)))
def test_the_order_is_that_of_scalars_one_by_one(case):
    geometry = size, outputs, kernel, *others = SHAPES[case]
    rng = np.random.default_rng(case)
    w = numbers(rng, (outputs, *kernel, size[2] // others[3]))
    scale, bias = numbers(rng, (2, outputs))
    x = numbers(rng, (2, *size))
    ill = x.copy()
    ill[rng.random(x.shape) < 0.02] = np.nan
    ill[rng.random(x.shape) < 0.02] = np.inf
    with np.errstate(invalid="ignore"):
        wanted, wanted_ill = (by_scalars(v, w, scale, bias, *others) for v in (x, ill))
        if others[3] == 1:  # or another order would not be seen
            assert not np.array_equal(wanted, by_scalars(x[..., ::-1], w[..., ::-1], scale, bias, *others))
        for name in ["numpy", *ORDERED]:
            run = layer(name, w.reshape(outputs, -1), geometry, (scale, bias))
            same_bits(run(x), wanted)
            same_bits(run(ill), wanted_ill)


@needs_infer
def test_every_kernel_gives_the_bits_of_numpy():
    rng = np.random.default_rng(80)
    for _ in range(40):
        geometry = size, outputs, kernel, *_, groups = random_shape(rng)
        rows = numbers(rng, (outputs, kernel[0] * kernel[1] * (size[2] // groups)))
        tail = numbers(rng, (2, outputs))
        x = numbers(rng, (int(rng.integers(1, 4)), *size))
        wanted = layer("numpy", rows, geometry, tail)(x)
        for name in ORDERED:
            same_bits(layer(name, rows, geometry, tail)(x), wanted)


@needs_infer
def test_a_layer_runs_by_the_widest_kernel_that_fills_its_vectors():
    assert ORDERED[-1] == "elq_conv_ordered_f32__generic"
    for outputs in (1, 4, 5, 8, 9, 64):
        tail = np.zeros((2, outputs), np.float32)
        arguments = (np.zeros((outputs, 3), np.float32), (4, 4, 3), (1, 1), (1, 1), (0, 0), (1, 1), 1, (*tail, 0.0))
        found = infer.PackedLayer("float32 ordered", "full", *arguments).name
        least = {"avx512": 8, "avx2": 4, "generic": 0}
        assert found == next(name for name in ORDERED if outputs > least[name.split("__")[1]])
    with pytest.raises(ValueError, match="does not run this layer"):
        infer.PackedLayer("float32 ordered", "binary", np.zeros((4, 1), np.uint8), *arguments[1:-1], tail)


@needs_infer
@pytest.mark.parametrize("made", [small, block])
def test_a_network_has_the_same_values_in_c_and_in_numpy(made, monkeypatch):
    rng = np.random.default_rng(81)
    net = made(rng)
    x = normalized(net, random_pictures(rng, net, 5))
    in_c = ordered.OrderedNetwork(net.graph, net.shapes).values(x)
    monkeypatch.setattr(ordered, "_infer", None)
    plain = ordered.OrderedNetwork(net.graph, net.shapes)
    in_numpy, last = plain.values(x), plain.values(x[-1:])
    assert list(in_c) == ["input", *(node.name for node in net.graph.nodes)]
    for name, value in in_c.items():
        assert value.shape == (5, *net.shapes.get(name, net.graph.input_shape))
        same_bits(value, in_numpy[name])
        same_bits(value[-1:], last[name])


@pytest.mark.parametrize("made", [small, block])
def test_a_network_has_the_values_of_the_interpreter(made):
    rng = np.random.default_rng(82)
    net = made(rng)
    x = normalized(net, random_pictures(rng, net, 3))
    got, exact, bound = (
        ordered.OrderedNetwork(net.graph, net.shapes).values(x),
        interpreted(net.graph, x, np.float64),
        error_bounds(net.graph, x),
    )
    for name, value in got.items():
        assert np.all(np.abs(value - exact[name]) <= bound[name] * 1.01), name


def test_a_mean_adds_row_by_row_and_multiplies():
    rng = np.random.default_rng(83)
    x = numbers(rng, (2, 1, 6, 6))
    net = pooled(6, 3, "avg_pool")
    got = ordered.OrderedNetwork(net.graph, net.shapes).values(x)
    for n, p, q in np.ndindex(2, 4, 4):
        total = x[n, 0, p, q]
        for i, j in [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)]:
            total = total + x[n, 0, p + i, q + j]
        assert got["pool"][n, 0, p, q] == total * np.float32(1 / 9)
    for n in range(2):
        total = np.float32(0)
        for element in got["pool"][n, 0].ravel():
            total = total + element
        assert got["out"][n, 0] == total * np.float32(1 / 16)


@pytest.mark.parametrize("op", ["relu", "max_pool"])
def test_of_two_zeros_a_maximum_is_the_positive_one(op):
    pool = {"kernel": (2, 2), "stride": (1, 1)} if op == "max_pool" else {}
    net = network([Node(op, "m", ("input",), pool), Node("global_avg_pool", "g", ("m",))], (1, 9, 9), 1)
    for zeros in ("--+--", "-----", "+++++"):
        x = np.resize([-0.0 if sign == "-" else 0.0 for sign in zeros], (3, 1, 9, 9)).astype(np.float32)
        assert not np.signbit(ordered.OrderedNetwork(net.graph, net.shapes).values(x)["m"]).any()
