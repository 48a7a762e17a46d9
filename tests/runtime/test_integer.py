"""The integers of docs/arithmetic.md, against the page's example and against exact fractions."""

import re
from fractions import Fraction
from math import floor
from pathlib import Path

import numpy as np
import pytest
from runtime_nets import network, random_pictures, small, weighted, with_int8

from elq_ref.deploy import derive
from elq_ref.deploy.derive import scaled_values
from elq_ref.graph.codes import pack_codes
from elq_ref.preprocessing import Normalization
from elq_ref.runtime import Graph, Metadata, Node, PackedNetwork, Weight, interpret_int8
from elq_ref.runtime.integer import IntegerNode
from elq_ref.runtime.integer_constants import AddScales, Requantize, to_int8
from elq_ref.runtime.integer_interpreter import requantize

pytestmark = pytest.mark.kernels

HALF = Fraction(1, 2)


def linear(codes, alpha, scale, bias, **more):
    """A network input (C, 1, 1) -> flatten -> linear "fc" of ternary codes (O, C), alpha, A and B."""
    codes = np.array(codes, np.int8)
    weight = Weight("ternary", codes.shape, pack_codes(codes, "ternary"), np.array(alpha, np.float32))
    arrays = {"scale": np.array(scale, np.float32), "bias": np.array(bias, np.float32)}
    nodes = [Node("flatten", "flat", ("input",)), Node("linear", "fc", ("flat",), {}, weight, **arrays)]
    return network(nodes, (codes.shape[1], 1, 1), len(codes))


def example():
    """The rows of the page's worked example by name."""
    page = (Path(__file__).parents[2] / "docs" / "arithmetic.md").read_text()
    block = re.search(r"^```\n(x .*?)```", page, re.M | re.S).group(1)
    return {line.split()[0]: [Fraction(v) for v in line.split()[1:]] for line in block.splitlines()}


def test_the_layer_that_the_page_computes_by_hand():
    rows = example()
    codes = np.array(rows["codes"], int).reshape(3, 4)
    net = linear(codes, [3 / 8], [float(a) for a in rows["A"]], [float(b) for b in rows["B"]])
    int8 = derive(net, {"input": 1 / 16, "fc": 1 / 8})
    node = int8.nodes[-1]
    for key in "qsb":
        assert getattr(node.requantize, key).tolist() == rows[key]
    assert {node.requantize.l} == set(rows["l"])
    x = np.array(rows["x"], np.int8).reshape(1, 4, 1, 1)
    outputs = interpret_int8(int8, x)
    assert outputs.raw[0].tolist() == rows["acc"]
    assert outputs.values["fc"][0].tolist() == rows["y"]
    assert rows["m"][:2] == [Fraction(1, 16) * Fraction(3, 8) * abs(a) * 8 for a in rows["A"][:2]]
    factor = [1 / 16 * 3 / 8 * 2, 1 / 16 * 3 / 8 / 2, 1 / 8]
    assert outputs.logits[0].tolist() == [25 * factor[0], -134 * factor[1], 3 * factor[2]]


def test_the_addition_that_the_page_computes_by_hand():
    rng = np.random.default_rng(0)
    nodes = [
        weighted(rng, "conv", "a", "input", "ternary", (2, 1, 1, 1)),
        weighted(rng, "conv", "b", "input", "ternary", (2, 1, 1, 1)),
        Node("add", "sum", ("a", "b")),
        Node("global_avg_pool", "g", ("sum",)),
    ]
    net = network(nodes, (1, 1, 1), 2)
    scales = {"input": 1.0, "a": 1 / 16, "b": 3 / 64, "sum": 1 / 8, "g": 1 / 8}
    assert derive(net, scales).nodes[2].add == AddScales(2097152, 1572864, 22)
    assert (9 * 2097152 - 13 * 1572864 + (1 << 21)) >> 22 == 0


def split(m):
    """(f, e) with m = f 2^e, 1/2 <= f < 1, by halving and doubling."""
    e = 0
    while m >= 1:
        m, e = m / 2, e + 1
    while m < HALF:
        m, e = m * 2, e - 1
    return m, e


def rounded(x):
    return floor(x + HALF)


@pytest.mark.parametrize("seed", range(8))
def test_the_constants_of_a_layer_are_those_of_exact_fractions(seed):
    """With few bits in every factor, and a power of two for s_out, float64 computes the same without rounding."""
    rng = np.random.default_rng(seed)
    outputs, inputs = 12, int(rng.integers(1, 40))
    codes = rng.integers(-1, 2, (outputs, inputs))
    alpha = rng.integers(1, 256, outputs) / 512
    a = rng.integers(-255, 256, outputs) * 2.0 ** rng.integers(-12, 2, outputs)
    b = rng.integers(-4096, 4097, outputs) / 512
    s_in, s_out = rng.integers(1, 256) / 4096, 2.0 ** rng.integers(-6, 0)
    a[0], a[1], alpha[2] = 0, a.max() * 2.0**-40, 0
    requantized = derive(linear(codes, alpha, a, b), {"input": s_in, "fc": s_out}).nodes[-1].requantize

    m = [Fraction(s_in) * Fraction(alpha[o]) * abs(Fraction(a[o])) / Fraction(s_out) for o in range(outputs)]
    parts = {o: split(m[o]) for o in range(outputs) if m[o] > 0}
    whole = {o: (rounded(f * 2**31), e) for o, (f, e) in parts.items()}
    assert all(2**30 <= q < 2**31 for q, _ in whole.values())
    l = max(0, 2 + max(e for _, e in whole.values()))
    assert requantized.l == l
    for o in range(outputs):
        bias = Fraction(b[o]) / Fraction(s_out)
        constant = o not in whole or 31 + l - whole[o][1] > 62
        if not constant:
            steps = rounded(bias / m[o])
            constant = (128 * int(np.abs(codes[o]).sum()) + abs(steps)) * 2**l >= 2**31
        found = tuple(int(v[o]) for v in (requantized.b, requantized.q, requantized.s))
        if constant:
            assert found == (min(max(rounded(bias), -128), 127), 0, 33)
        else:
            assert found == (steps, whole[o][0], 31 + l - whole[o][1])
    assert {0, 1, 2} <= set(np.flatnonzero(requantized.constant))
    assert not requantized.constant.all()


def test_a_mantissa_that_rounds_up_to_one_is_carried():
    m = 1 - 2.0**-40
    requantized = derive(linear([[1]], [1.0], [1.0], [0.0]), {"input": m, "fc": 1.0}).nodes[-1].requantize
    assert (requantized.q[0], requantized.l, requantized.s[0]) == (1 << 30, 3, 33)


def test_the_constants_of_means_and_of_a_scale_shift():
    """q 2^(l - s) is m, relatively to 2^-31 and the roundings of float64; b and the logits follow."""
    scale, bias = np.float32([0.3, -1.7, 2.0]), np.float32([0.9, -0.9, 1e-3])
    nodes = [
        Node("avg_pool", "mean", ("input",), {"kernel": (2, 3), "stride": (1, 1)}),
        Node("scale_shift", "norm", ("mean",), {}, None, scale, bias),
        Node("global_avg_pool", "g", ("norm",)),
    ]
    scales = {"input": 0.02, "mean": 0.013, "norm": 0.041, "g": 0.037}
    int8 = derive(network(nodes, (3, 5, 7), 3), scales)
    exact = {name: Fraction(s) for name, s in scales.items()}
    m = {
        "mean": [exact["input"] / 6 / exact["mean"]],
        "norm": [exact["mean"] * abs(Fraction(float(a))) / 64 / exact["norm"] for a in scale],
        "g": [exact["norm"] / (4 * 5) / exact["g"]],
    }
    for node in int8.nodes:
        r = node.requantize
        for o, wanted in enumerate(m[node.name]):
            assert abs(int(r.q[o]) * Fraction(2) ** (r.l - int(r.s[o])) / wanted - 1) < Fraction(1, 2**30)
            steps = Fraction(float(bias[o])) / exact["norm"] / wanted if node.name == "norm" else 0
            assert abs(int(r.b[o]) - steps) <= HALF
    assert int8.nodes[1].weight.data.tolist() == [64, -64, 64]
    np.testing.assert_allclose(int8.factor, [0.041 / 20] * 3, rtol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_every_result_is_as_near_as_the_page_says(seed):
    """|y - (m sum + B / s_out)| <= 1/2 + m/2 + 1/4, in exact fractions, for results inside the clamp."""
    rng = np.random.default_rng(seed)
    outputs, inputs = 16, 27
    codes = rng.integers(-1, 2, (outputs, inputs))
    a, b = rng.standard_normal((2, outputs)) * np.exp(rng.uniform(-4, 3, (2, outputs)))
    net = linear(codes, [0.0371], a, b)
    s_in, s_out = 0.0217, 0.0713
    int8 = derive(net, {"input": s_in, "fc": s_out})
    x = rng.integers(-128, 128, (64, inputs, 1, 1)).astype(np.int8)
    y = interpret_int8(int8, x).values["fc"]
    sums = x[:, :, 0, 0].astype(int) @ codes.T
    alpha, (node,) = float(net.alpha("fc")[0]), net.graph.nodes[1:]
    inside = 0
    for n, o in np.ndindex(y.shape):
        m = Fraction(s_in) * Fraction(alpha) * Fraction(float(node.scale[o])) / Fraction(s_out)
        real = m * int(sums[n, o]) + Fraction(float(node.bias[o])) / Fraction(s_out)
        slack = HALF + abs(m) / 2 + Fraction(1, 4)
        if -128 <= real <= 127:
            assert abs(int(y[n, o]) - real) <= slack
            inside += 1
        else:
            assert int(y[n, o]) >= 127 - slack if real > 127 else int(y[n, o]) <= -128 + slack
    assert inside > 100


@pytest.mark.parametrize("l", [0, 1, 5, 13, 29])
def test_extreme_sums_through_both_forms_of_the_requantization(l):
    """Python's integers give what int64 and the form with the high word give, to the ends of the headroom."""
    rng = np.random.default_rng(l)
    count = 400
    most = (2**31 - 1) >> l
    q = np.concatenate([[1 << 30, (1 << 31) - 1], rng.integers(1 << 30, 1 << 31, count - 2)])
    s = rng.integers(33, 63, count)
    q[2:12], s[2:12] = 0, 33
    b = np.where(q == 0, rng.integers(-128, 128, count), rng.integers(-most, most + 1, count))
    r = Requantize(l, b.astype(np.int32), q.astype(np.int32), s.astype(np.uint8))
    node = IntegerNode("linear", "y", "y", ("x",), {}, (count,), requantize=r)
    ends = [-most, most, 0, 1, -1]
    sums = np.stack([np.full(count, v) for v in ends] + [rng.integers(-most, most + 1, count) for _ in range(20)])
    sums[:, q == 0] = b[q == 0]
    got = requantize(node, sums)
    rounding = [2 * int(b[o]) if q[o] == 0 else 1 << int(s[o]) - 33 for o in range(count)]
    for n, o in np.ndindex(*sums.shape):
        acc, qo, so = int(sums[n, o]), int(q[o]), int(s[o])
        exact = min(max(((acc << l) * qo + (1 << so - 1)) >> so, -128), 127) if qo else int(b[o])
        high = ((acc << l) * qo) >> 32
        assert -(2**31) <= high + rounding[o] < 2**31
        assert int(got[n, o]) == exact == min(max((high + rounding[o]) >> (so - 32), -128), 127)


def test_quantize_rounds_half_up_saturates_and_knows_nan():
    x = np.array([0.5, -0.5, 0.49, 1.5, -1.5, 126.5, 127.4, 1e30, -128.5, -129, -1e30, np.inf, -np.inf, np.nan])
    wanted = [1, 0, 0, 2, -1, 127, 127, 127, -128, -128, -128, 127, -128, 0]
    assert to_int8(x, 1.0).tolist() == wanted
    assert to_int8((x * 0.25).astype(np.float32), 0.25).tolist() == wanted


def test_the_table_of_the_input():
    metadata = Metadata(("a", "b"), Normalization((0.25, 0.5), (0.5, 0.25)))
    net = PackedNetwork(Graph("input", (2, 1, 1), (Node("global_avg_pool", "g", ("input",)),), "g"), metadata)
    table = derive(net, {"input": 1 / 64, "g": 1.0}).table
    for c, (mean, std) in enumerate([(Fraction(1, 4), HALF), (HALF, Fraction(1, 4))]):
        wanted = [rounded((Fraction(v, 255) - mean) / std * 64) for v in range(256)]
        assert table[c].tolist() == [min(max(w, -128), 127) for w in wanted]
    assert len(set(table[1].tolist())) == 255  # -128 .. 126 and the saturated rest: 255 and the largest are one step


def test_a_layer_without_headroom_is_named():
    net = linear(np.ones((2, 20), int), [1.0], [1.0, 2.0**20], [0.0, 0.0])
    with pytest.raises(ValueError, match=r"node 'fc' in int8: sums of up to 2560, shifted by l = 2\d"):
        derive(net, {"input": 1.0, "fc": 1.0})
    assert derive(net, {"input": 1.0, "fc": 16.0}).nodes[-1].requantize.l == 19


def test_the_last_step_of_the_headroom():
    """(128 sum|w| + |b|) 2^l = 2^31 - 1 is right, one more is constant (derive) or refused (a file)."""
    most = 2**31 - 1 - 128
    for bias, constant in ((most, False), (most + 1, True), (-most, False), (-most - 1, True)):
        b = np.array([bias], np.int32)
        r = Requantize(0, b, np.array([1 << 30], np.int32), np.array([40], np.uint8))
        if constant:
            with pytest.raises(ValueError, match="do not fit 32 bits"):
                r.prove(np.array([1]))
        else:
            r.prove(np.array([1]))


@pytest.mark.parametrize(("s1", "s2"), [(2.0**-11, 2.0**-12), (2.0**21, 2.0**21), (1.0, 2.0**22)])
def test_an_addition_of_scales_too_far_apart_is_named(s1, s2):
    nodes = [
        Node("avg_pool", "a", ("input",), {"kernel": (1, 1), "stride": (1, 1)}),
        Node("add", "sum", ("a", "input")),
        Node("global_avg_pool", "g", ("sum",)),
    ]
    net = network(nodes, (2, 1, 1), 2)
    with pytest.raises(ValueError, match=r"node 'sum' in int8: its operands' scales"):
        derive(net, {"input": s1, "a": s2, "sum": 1.0, "g": 1.0})


@pytest.mark.parametrize("seed", range(5))
def test_the_constants_of_an_addition_are_those_of_exact_fractions(seed):
    rng = np.random.default_rng(seed)
    nodes = [
        Node("avg_pool", "a", ("input",), {"kernel": (1, 1), "stride": (1, 1)}),
        Node("add", "sum", ("a", "input")),
        Node("global_avg_pool", "g", ("sum",)),
    ]
    net = network(nodes, (2, 1, 1), 2)
    s1, s2 = rng.integers(1, 2**20, 2) / 2.0 ** rng.integers(10, 24, 2)
    s1 = 1 - 2.0**-30 if seed == 0 else s1
    s2 = 2.0**-7 if seed == 0 else s2
    add = derive(net, {"input": s2, "a": s1, "sum": 1.0, "g": 1.0}).nodes[1].add
    m = [Fraction(s1), Fraction(s2)]
    s = 22 - split(max(m))[1]
    s -= max(rounded(v * 2**s) for v in m) >= 2**22
    assert add == AddScales(*(rounded(v * 2**s) for v in m), s)
    assert seed or s == 21  # the one whose q reached 2^22


def test_float_weights_become_127_steps_of_their_channel():
    rng = np.random.default_rng(5)
    nodes = [Node("flatten", "f", ("input",)), weighted(rng, "linear", "fc", "f", "float", (6, 9))]
    net = with_int8(network(nodes, (9, 1, 1), 6), rng)
    node, int8 = net.graph.nodes[-1], net.int8.weights["fc"]
    for o in range(6):
        step = np.abs(node.weight.data[o]).max() / np.float64(127)
        sign = -1 if node.scale[o] < 0 else 1
        assert np.abs(int8[o]).max() == 127
        assert np.all(np.abs(sign * node.weight.data[o] / step - int8[o]) <= 0.5 + 1e-9)


def test_a_float_channel_of_zeros_is_constant():
    weight = Weight("float", (2, 3), np.array([[0, 0, 0], [1, -1, 0.5]], np.float32))
    node = Node("linear", "fc", ("f",), {}, weight, np.float32([1, 1]), np.float32([0.5, 0]))
    net = network([Node("flatten", "f", ("input",)), node], (3, 1, 1), 2)
    outputs = interpret_int8(derive(net, {"input": 0.1, "fc": 0.1}), np.full((1, 3, 1, 1), 100, np.int8))
    assert outputs.raw[0, 0] == 5
    assert outputs.logits[0, 0] == np.float32(0.1) * 5


def test_a_constant_behind_a_relu_is_at_least_0():
    net = linear([[1]] * 5, [0.0], [1.0] * 5, [-3.0, -0.4, 0.4, 3.0, 1e6])
    nodes = (*net.graph.nodes, Node("relu", "r", ("fc",)))
    cut = PackedNetwork(Graph("input", (1, 1, 1), nodes, "r"), net.metadata)
    assert derive(net, {"input": 1.0, "fc": 1.0}).nodes[-1].requantize.b.tolist() == [-3, 0, 0, 3, 127]
    assert derive(cut, {"input": 1.0, "r": 1.0}).nodes[-1].requantize.b.tolist() == [0, 0, 0, 3, 127]


def test_the_values_that_have_a_scale():
    net = small(np.random.default_rng(7))
    assert scaled_values(net) == ["input", "conv1", "conv2", "sum", "norm", "mean", "fc1", "fc2"]
    with pytest.raises(ValueError, match=r"scales are missing for \['sum'\]"):
        derive(net, {name: 1.0 for name in scaled_values(net) if name != "sum"})
    for wrong in (0.0, -1.0, 1, float("inf"), np.float32(1)):
        with pytest.raises(ValueError, match=rf"the scale of 'sum' is {wrong}, wanted 1e-28 to 1e\+28"):
            derive(net, {name: wrong if name == "sum" else 1.0 for name in scaled_values(net)})


def test_which_relu_goes_into_a_clamp():
    rng = np.random.default_rng(8)
    nodes = [
        weighted(rng, "conv", "c", "input", "ternary", (2, 2, 1, 1)),
        Node("relu", "into", ("c",)),
        Node("relu", "again", ("into",)),  # reads what a clamp already cut: stays
        weighted(rng, "conv", "d", "again", "ternary", (2, 2, 1, 1)),
        Node("relu", "beside", ("d",)),  # not the only reader of d: stays
        Node("add", "sum", ("d", "beside")),
        Node("relu", "after", ("sum",)),
        Node("max_pool", "m", ("after",), {"kernel": (1, 1), "stride": (1, 1)}),
        Node("relu", "of", ("m",)),  # a max_pool has no clamp: stays
        Node("global_avg_pool", "g", ("of",)),
        Node("relu", "end", ("g",)),
    ]
    net = with_int8(network(nodes, (2, 2, 2), 2), rng)
    int8 = net.int8
    assert [(n.name, n.source, n.lo) for n in int8.nodes] == [
        ("into", "c", 0),
        ("again", "again", -128),
        ("d", "d", -128),
        ("beside", "beside", -128),
        ("after", "sum", 0),
        ("m", "m", -128),
        ("of", "of", -128),
        ("end", "g", 0),
    ]
    outputs = interpret_int8(int8, random_pictures(rng, net))
    assert min(outputs.values[name].min() for name in ("into", "beside", "after", "end")) >= 0
    assert outputs.raw.min() >= 0


def test_an_output_that_a_relu_reads_too_is_not_cut():
    rng = np.random.default_rng(9)
    fc = weighted(rng, "linear", "fc", "f", "ternary", (3, 4))
    nodes = [Node("flatten", "f", ("input",)), fc, Node("relu", "r", ("fc",))]
    meta = network(nodes, (4, 1, 1), 3).metadata
    net = with_int8(PackedNetwork(Graph("input", (4, 1, 1), tuple(nodes), "fc"), meta), rng)
    assert [n.name for n in net.int8.nodes] == ["f", "fc", "r"]


def test_raw_sums_are_finer_than_int8_logits():
    """Two classes that one int8 step joins are told apart by their sums; of equal ones the first is meant."""
    net = linear([[1, 1, 0], [1, 1, 1], [1, 1, 1]], [0.01], [1.0] * 3, [0.0] * 3)
    int8 = derive(net, {"input": 1.0, "fc": 1.0})
    outputs = interpret_int8(int8, np.array([60, 60, 1], np.int8).reshape(1, 3, 1, 1))
    assert outputs.values["fc"].tolist() == [[1, 1, 1]]
    assert outputs.raw.tolist() == [[120, 121, 121]]
    assert outputs.raw[0].argmax() == outputs.logits[0].argmax() == 1


def test_an_integer_network_is_checked_when_it_is_made():
    rng = np.random.default_rng(10)
    net = with_int8(small(rng), rng)
    p = net.int8
    parts = {key: getattr(p, key) for key in ("graph", "scales", "table", "constants", "weights", "factor")}
    for change, message in (
        ({"scales": {"input": 1.0}}, "scales are missing for .*conv1"),
        ({"scales": dict(p.scales, x=1.0)}, "given for .*x"),
        ({"scales": dict(p.scales, sum=float("nan"))}, "scale of 'sum' is nan"),
        ({"constants": dict(p.constants, sum=p.constants["conv1"])}, "'sum' in int8: wants the constants of an add"),
        ({"constants": dict(p.constants, conv1=p.constants["sum"])}, r"'conv1' in int8: wants b, q and s of \(4,\)"),
        ({"constants": dict(p.constants, conv1=p.constants["fc1"])}, r"'conv1' in int8: wants b, q and s of \(4,\)"),
        ({"weights": {}}, "int8 weights are missing for .*fc2"),
        ({"calibration": {"x": float("inf")}}, "does not fit JSON"),
    ):
        with pytest.raises(ValueError, match=message):
            type(p)(**(parts | change))
    with pytest.raises(TypeError, match="table is uint8"):
        type(p)(**(parts | {"table": p.table.view(np.uint8)}))
    with pytest.raises(ValueError, match="another graph"):
        PackedNetwork(small(rng).graph, net.metadata, p)
