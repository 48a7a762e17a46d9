"""Networks on int8 activations against loops over Python's integers, which know only docs/arithmetic.md, not NumPy."""

import re
from math import prod

import numpy as np
import pytest
from runtime_nets import network, random_pictures, random_weight, small, weighted, with_int8

from elq_ref.deploy import derive
from elq_ref.graph.codes import pack_codes
from elq_ref.runtime import Node, Weight, interpret_int8

pytestmark = pytest.mark.kernels


def integers(node, int8):
    """The integers that a graph node multiplies by: codes times the sign of its scale, from the graph alone."""
    sign = [-1 if s < 0 else 1 for s in node.scale.tolist()]
    if node.op == "scale_shift":
        return [64 * s for s in sign]
    if node.weight.levels == "float":
        return int8.weights[node.name].tolist()  # checked in test_integer.py
    return [(s * w.astype(int)).tolist() for s, w in zip(sign, node.weight.codes(), strict=True)]


def requantized(total, r, o, lo):
    """One sum, without b, to its int8 and its raw output."""
    o = 0 if len(r.q) == 1 else o
    b, q, s = (int(v[o]) for v in (r.b, r.q, r.s))
    if q == 0:
        return b, b
    acc = total + b
    assert abs(acc) * 2**r.l < 2**31
    return min(max((acc * 2**r.l * q + 2 ** (s - 1)) // 2**s, lo), 127), acc


class Brute:
    """One picture's values, each a dict from (c, h, w) or (c,) to an int."""

    def __init__(self, net, x):
        self.net, self.raw = net, None
        self.nodes = {node.name: node for node in net.graph.nodes}
        self.values = {net.graph.input: {place: int(x[place]) for place in np.ndindex(x.shape)}}
        for node in net.int8.nodes:
            source = self.nodes[node.source]
            shape = net.shapes[node.source]
            assert node.shape == shape
            compute = getattr(self, source.op)
            lo = 0 if node.name != source.name else -128
            read = [self.values[name] for name in source.inputs]
            value, raw = {}, {}
            for place in np.ndindex(*shape):
                result = compute(node, source, place, *read)
                if node.requantize is not None:
                    value[place], raw[place] = requantized(result, node.requantize, place[0], lo)
                elif source.op == "add":
                    value[place] = min(max(result, lo), 127)
                else:
                    value[place] = result
            self.values[node.name] = value
            if node.name == net.graph.output:
                clamped = {place: max(v, 0) if lo == 0 else v for place, v in raw.items()}
                self.raw = clamped or value

    def conv(self, node, source, place, x):
        o, p, q = place
        w = integers(source, self.net.int8)[o]
        (sh, sw), (ph, pw), (dh, dw) = (source.attributes[k] for k in ("stride", "padding", "dilation"))
        outputs, inputs, kh, kw = source.weight.shape
        first = o // (outputs // source.attributes["groups"]) * inputs
        return sum(
            w[c][i][j] * x.get((first + c, p * sh + i * dh - ph, q * sw + j * dw - pw), 0)
            for c, i, j in np.ndindex(inputs, kh, kw)
        )

    def linear(self, node, source, place, x):
        return sum(w * x[c,] for c, w in enumerate(integers(source, self.net.int8)[place[0]]))

    def scale_shift(self, node, source, place, x):
        return integers(source, self.net.int8)[place[0]] * x[place]

    def avg_pool(self, node, source, place, x):
        return sum(self.window(source, place, x))

    def max_pool(self, node, source, place, x):
        return max(self.window(source, place, x))

    def window(self, source, place, x):
        (kh, kw), (sh, sw) = source.attributes["kernel"], source.attributes["stride"]
        c, p, q = place
        return [x[c, p * sh + i, q * sw + j] for i in range(kh) for j in range(kw)]

    def global_avg_pool(self, node, source, place, x):
        return sum(v for (c, _, _), v in x.items() if c == place[0])

    def add(self, node, source, place, a, b):
        k = node.add
        return (a[place] * k.q1 + b[place] * k.q2 + 2 ** (k.s - 1)) // 2**k.s

    def relu(self, node, source, place, x):
        return max(x[place], 0)

    def subsample(self, node, source, place, x):
        c, p, q = place
        return x[c, p * source.attributes["step"], q * source.attributes["step"]]

    def pad(self, node, source, place, x):
        return x.get(tuple(p - b for p, b in zip(place, source.attributes["before"], strict=True)), 0)

    def flatten(self, node, source, place, x):
        shape = self.net.shapes[source.inputs[0]]
        return x[tuple(int(i) for i in np.unravel_index(place[0], shape))]


def check(net, rng, count=3):
    """The interpreter computes what the loops compute, for pictures and for int8 from end to end of its range."""
    int8 = net.int8
    pictures = random_pictures(rng, net, count)
    pictures[0] = rng.choice([0, 255], pictures[0].shape)
    table = int8.table
    as_int8 = np.stack([np.stack([table[c][image[c]] for c in range(len(table))]) for image in pictures])
    extreme = rng.choice([-128, 127], pictures.shape).astype(np.int8)
    for x, seen in ((pictures, as_int8), (extreme, extreme)):
        outputs = interpret_int8(int8, x)
        for n in range(count):
            brute = Brute(net, seen[n])
            assert set(outputs.values) == set(brute.values)
            for name, value in brute.values.items():
                got = outputs.values[name]
                assert got.dtype == np.int8
                assert {place: int(got[n][place]) for place in np.ndindex(got[n].shape)} == value, name
            assert outputs.raw.dtype == np.int32
            assert outputs.raw[n].tolist() == [brute.raw[k,] for k in range(len(int8.factor))]
            assert outputs.logits.dtype == np.float32
            wanted = [np.float32(float(f) * brute.raw[k,]) for k, f in enumerate(int8.factor)]
            assert outputs.logits[n].tolist() == wanted


@pytest.mark.parametrize("levels", ["ternary", "binary", "float"])
def test_every_op(levels):
    rng = np.random.default_rng(40)
    check(with_int8(small(rng, levels), rng), rng)


GEOMETRIES = [
    ((3, 2, 3, 3), (4, 5), {"padding": (1, 1)}),
    ((4, 1, 3, 2), (6, 5), {"groups": 2, "stride": (2, 3), "padding": (0, 2)}),
    ((2, 3, 2, 3), (7, 8), {"dilation": (3, 2), "padding": (2, 1)}),
    ((6, 1, 3, 3), (5, 4), {"groups": 6, "padding": (1, 1)}),  # depthwise
    ((5, 7, 1, 1), (3, 3), {"stride": (2, 2)}),
    ((2, 13, 5, 1), (5, 2), {"padding": (2, 0)}),
]


@pytest.mark.parametrize("levels", ["ternary", "binary", "float"])
@pytest.mark.parametrize(("shape", "size", "geometry"), GEOMETRIES)
def test_convolutions(levels, shape, size, geometry):
    rng = np.random.default_rng(prod(shape))
    nodes = [
        weighted(rng, "conv", "c", "input", levels, shape, True, **geometry),
        Node("relu", "r", ("c",)),
        Node("global_avg_pool", "g", ("r",)),
    ]
    channels = shape[1] * geometry.get("groups", 1)
    check(with_int8(network(nodes, (channels, *size), shape[0]), rng), rng, 2)


@pytest.mark.parametrize("seed", range(6))
def test_random_densities_sizes_and_constant_channels(seed):
    """Rows from all zero to all set, some alphas and scales 0, lengths that are no multiple of anything."""
    rng = np.random.default_rng(50 + seed)
    inputs, outputs = int(rng.integers(1, 70)), int(rng.integers(2, 12))
    node = weighted(rng, "linear", "fc", "f", "ternary", (outputs, inputs))
    codes = (rng.random((outputs, inputs)) < rng.random((outputs, 1))) * rng.choice([-1, 1], (outputs, inputs))
    codes[0] = 0
    weight = random_weight(rng, "ternary", (outputs, inputs), True)
    weight = Weight("ternary", weight.shape, packed(codes), weight.alpha * (rng.random(outputs) < 0.8))
    scale = node.scale * (rng.random(outputs) < 0.8) * 10.0 ** rng.integers(-12, 2, outputs)
    node = Node("linear", "fc", ("f",), {}, weight, scale.astype(np.float32), node.bias)
    nodes = [Node("flatten", "f", ("input",)), node]
    if seed % 2:
        nodes.append(Node("relu", "r", ("fc",)))
    net = with_int8(network(nodes, (inputs, 1, 1), outputs), rng)
    check(net, rng)


@pytest.mark.parametrize("end", ["scale_shift", "flatten", "relu of a mean", "add", "max_pool"])
def test_every_kind_of_output(end):
    """With and without a sum of its own."""
    rng = np.random.default_rng(65)
    scale, bias = rng.standard_normal((2, 3)).astype(np.float32)
    nodes = {
        "scale_shift": [Node("global_avg_pool", "g", ("c",)), Node("scale_shift", "n", ("g",), {}, None, scale, bias)],
        "flatten": [Node("avg_pool", "m", ("c",), {"kernel": (3, 2), "stride": (1, 1)}), Node("flatten", "f", ("m",))],
        "relu of a mean": [Node("global_avg_pool", "g", ("c",)), Node("relu", "r", ("g",))],
        "add": [Node("global_avg_pool", "g", ("c",)), Node("add", "a", ("g", "g"))],
        "max_pool": [Node("max_pool", "m", ("c",), {"kernel": (3, 2), "stride": (1, 1)}), Node("flatten", "f", ("m",))],
    }[end]
    nodes = [weighted(rng, "conv", "c", "input", "ternary", (3, 2, 2, 2)), *nodes]
    check(with_int8(network(nodes, (2, 4, 3), 3), rng), rng)


def packed(codes):
    return pack_codes(codes.astype(np.int8), "ternary")


@pytest.mark.parametrize(("levels", "inputs"), [("ternary", 131_101), ("float", 1_101)])
def test_sums_beyond_the_integers_of_float32_are_exact(levels, inputs):
    """A row of ones (127 in int8) sums -128 to beyond 2^24, where float32 holds no odd numbers."""
    each, ones = (127, np.ones((2, inputs), np.float32)) if levels == "float" else (1, packed(np.ones((2, inputs))))
    weight = Weight(levels, (2, inputs), ones, None if levels == "float" else np.float32([1e-3]))
    node = Node("linear", "fc", ("f",), {}, weight, np.float32([1, -1]), np.zeros(2, np.float32))
    net = network([Node("flatten", "f", ("input",)), node], (1, inputs, 1), 2)
    int8 = derive(net, {"input": 1.0, "fc": 1e3})
    x = np.full((1, 1, inputs, 1), -128, np.int8)
    x[0, 0, 0] = -127
    wanted = (-128 * inputs + 1) * each
    assert abs(wanted) > 1 << 24
    assert interpret_int8(int8, x).raw.tolist() == [[wanted, -wanted]]


def test_the_order_of_pictures_and_the_size_of_a_batch_do_not_matter():
    rng = np.random.default_rng(61)
    net = with_int8(small(rng), rng)
    pictures = random_pictures(rng, net, 5)
    whole = interpret_int8(net.int8, pictures).raw
    for n in range(5):
        np.testing.assert_array_equal(interpret_int8(net.int8, pictures[n : n + 1]).raw[0], whole[n])


@pytest.mark.parametrize(
    ("dtype", "shape"), [(np.float32, (1, 2, 7, 6)), (np.uint8, (1, 2, 6, 7)), (np.uint8, (2, 7, 6))]
)
def test_another_input_is_named(dtype, shape):
    rng = np.random.default_rng(62)
    net = with_int8(small(rng), rng)
    given = f"{np.dtype(dtype)} {shape}"
    with pytest.raises(ValueError, match=re.escape(f"{given}, wanted uint8 or int8 (N, 2, 7, 6)")):
        interpret_int8(net.int8, np.zeros(shape, dtype))
