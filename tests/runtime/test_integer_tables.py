"""What version 2 of docs/arithmetic.md adds: the page's examples, and constants and results in exact fractions."""

import math
import re
import tracemalloc
from dataclasses import replace
from decimal import Decimal, getcontext
from fractions import Fraction
from math import floor
from pathlib import Path

import numpy as np
import pytest
from runtime_nets import content_of, network, weighted
from runtime_nets import packed as read_packed

from elq_ref.deploy import derive
from elq_ref.deploy.derive import scaled_values
from elq_ref.graph.functions import FUNCTIONS
from elq_ref.graph.shapes import infer_shapes
from elq_ref.graph.windows import counts, different_counts
from elq_ref.runtime import Graph, Node, interpret_int8
from elq_ref.runtime.integer import IntegerNode
from elq_ref.runtime.integer_constants import Requantize, Tables
from elq_ref.runtime.integer_interpreter import accumulate, requantize

pytestmark = pytest.mark.kernels

HALF = Fraction(1, 2)
EVERY = np.arange(-128, 128, dtype=np.int8)


def example(word):
    """The rows of the page's block that begins with `word`: lists of what stands in each, by name."""
    page = (Path(__file__).parents[2] / "docs" / "arithmetic.md").read_text()
    block = re.search(rf"^```\n({word} .*?)```", page, re.M | re.S).group(1)
    return {line.split()[0]: line.split()[1:] for line in block.splitlines()}


def integers(words):
    return [int(word) for word in words]


def nearest(x):
    """clamp(floor(x + 1/2), -128, 127)"""
    return min(max(floor(x + HALF), -128), 127)


def packed(nodes, shape, scales):
    """The IntegerNetwork of nodes that end in a flatten of a value of this many elements."""
    end = Node("flatten", "out", (nodes[-1].name,))
    graph = Graph("input", shape, (*nodes, end), "out")
    net = network([*nodes, end], shape, infer_shapes(graph)["out"][0])
    return derive(net, scales)


def two_values():
    """Nodes up to a and b: channel 0 and channel 1 of the input, each with a scale of its own by an average of 1."""
    return [
        Node("slice", "channel 0", ("input",), {"first": 0, "last": 1}),
        Node("slice", "channel 1", ("input",), {"first": 1, "last": 2}),
        Node("avg_pool", "a", ("channel 0",), {"kernel": (1, 1), "stride": (1, 1)}),
        Node("avg_pool", "b", ("channel 1",), {"kernel": (1, 1), "stride": (1, 1)}),
    ]


def test_the_average_that_the_page_computes_by_hand():
    rows = example("average")
    x = np.array(integers(rows["average"]), np.int8).reshape(1, 1, 4, 4)
    border = {"padding": (1, 1, 0, 0), "counted": (0, 0, 0, 0)}
    pool = Node("avg_pool", "mean", ("input",), {"kernel": (3, 3), "stride": (2, 2)} | border)
    int8 = packed([pool], (1, 4, 4), {"input": 1 / 16, "mean": 1 / 16})
    node, r = int8.nodes[0], int8.nodes[0].requantize
    assert (r.q.tolist(), r.s.tolist()) == (integers(rows["q"]), integers(rows["s"]))
    assert ([r.l], r.b.tolist()) == (integers(rows["l"]), [0, 0, 0])
    assert np.array(integers(rows["N"]))[node.which].ravel().tolist() == integers(rows["counts"])
    assert accumulate(node, x).ravel().tolist() == integers(rows["sums"])
    assert interpret_int8(int8, x).values["mean"].ravel().tolist() == integers(rows["y"])


def test_the_products_that_the_page_computes_by_hand():
    rows = example("mul")
    s1, s2, s_out = (float(Fraction(word)) for word in rows["mul"][1::2])
    x = np.array([integers(rows["x1"]), integers(rows["x2"])], np.int8).reshape(1, 2, 1, 4)
    nodes = [*two_values(), Node("mul", "product", ("a", "b"))]
    int8 = packed(nodes, (2, 1, 4), {"input": s1, "a": s1, "b": s2, "product": s_out})
    r = int8.nodes[-2].requantize
    assert [int(r.q[0]), r.l, int(r.s[0])] == integers(rows["q"][2:])
    assert r.b.tolist() == [0]
    a, b = x[:, :1], x[:, 1:]
    assert accumulate(int8.nodes[-2], a, b).ravel().tolist() == integers(rows["acc"])
    assert requantize(int8.nodes[-2], accumulate(int8.nodes[-2], a, b)).ravel().tolist() == integers(rows["y"])
    assert (-3465 * 2**30 + 2**35) == -3686155681792


def test_the_tables_that_the_page_computes_by_hand():
    rows = example("table")
    s_in, s_out = (float(Fraction(word)) for word in rows["table"][1:])
    node = Node(rows["table"][0], "f", ("input",))
    table = packed([node], (1, 1, 1), {"input": s_in, "f": s_out}).nodes[0].tables
    assert table[0, np.array(integers(rows["x"])) + 128].tolist() == integers(rows["t"])
    rows = example("concat")
    s1, s2, s_out = (float(Fraction(word)) for word in rows["concat"])
    nodes = [*two_values(), Node("concat", "both", ("a", "b"))]
    tables = packed(nodes, (2, 1, 1), {"input": s1, "a": s1, "b": s2, "both": s_out}).nodes[-2].tables
    for table, name in zip(tables, ("t_1", "t_2"), strict=True):
        assert table[np.array(integers(rows["x"])) + 128].tolist() == integers(rows[name])
    assert tables[0].tolist() == EVERY.tolist()


@pytest.mark.parametrize(("scale", "hi"), [(1 / 16, 96), (1 / 32, 127)])
def test_the_clamp_that_the_page_computes_by_hand(scale, hi):
    rng = np.random.default_rng(0)
    conv = weighted(rng, "conv", "a", "input", "ternary", (2, 1, 1, 1))
    nodes = [conv, Node("clip", "relu6", ("a",), {"low": 0.0, "high": 6.0})]
    int8 = packed(nodes, (1, 2, 2), {"input": 1 / 16, "relu6": scale})
    assert (int8.nodes[0].name, int8.nodes[0].lo, int8.nodes[0].hi) == ("relu6", 0, hi)


CHAINS = {
    "read twice": ([("conv", "a"), ("clip", "a"), ("add", "a", "clip")], False),
    "behind a maximum": ([("max_pool", "input"), ("clip", "max_pool")], False),
    "behind an addition": ([("add", "input", "input"), ("clip", "add")], True),
    "behind a relu": ([("add", "input", "input"), ("relu", "add"), ("clip", "relu")], False),
}


@pytest.mark.parametrize("chain", CHAINS)
def test_a_clip_is_a_clamp_or_a_table(chain):
    rng = np.random.default_rng(1)
    made, fused = CHAINS[chain]
    nodes = []
    for op, *inputs in made:
        if op == "conv":
            nodes.append(weighted(rng, "conv", "a", "input", "ternary", (1, 1, 1, 1)))
            continue
        window = {"kernel": (1, 1), "stride": (1, 1)}
        attributes = {"clip": {"low": -0.5, "high": 0.25}, "max_pool": window}.get(op, {})
        nodes.append(Node(op, op, tuple(inputs), attributes))
    names = ["input", "a", "add", "clip", "relu"]
    scales = dict.fromkeys(names, 1 / 64)
    net = network([*nodes, Node("flatten", "out", (nodes[-1].name,))], (1, 1, 1), 1)
    int8 = derive(net, {name: scales[name] for name in scaled_values(net)})
    ops = [node.op for node in int8.nodes]
    assert ("clip" in ops) == (not fused)
    (end,) = [node for node in int8.nodes if node.name == "clip"]
    if fused:
        assert (end.op, end.lo, end.hi, dict(int8.clamps)) == ("add", -32, 16, {"clip": (-32, 16)})
    else:
        assert (end.lo, end.hi, dict(int8.clamps)) == (-128, 127, {})
        assert end.tables[0].tolist() == [min(max(int(x), -32), 16) for x in EVERY]


def test_a_table_of_another_kind_or_count_is_refused():
    nodes = [Node("sigmoid", "s", ("input",)), Node("global_avg_pool", "out", ("s",))]
    int8 = derive(network(nodes, (2, 1, 1), 2), {"input": 1 / 16, "s": 1 / 128, "out": 1 / 128})
    twice = Tables(np.concatenate([int8.constants["s"].data] * 2))
    for wrong in (twice, int8.constants["out"]):
        with pytest.raises(ValueError, match=r"node 's' in int8: wants 1 table\(s\)"):
            replace(int8, constants=dict(int8.constants, s=wrong))


def test_a_clip_that_is_the_output_is_a_table():
    """So that raw is its int8, whatever its ends are."""
    nodes = [Node("global_avg_pool", "mean", ("input",)), Node("clip", "out", ("mean",), {"low": 0.0, "high": 0.5})]
    net = network(nodes, (2, 1, 1), 2)
    int8 = derive(net, {"input": 1 / 16, "mean": 1 / 16, "out": 1 / 32})
    outputs = interpret_int8(int8, np.array([-5, 7], np.int8).reshape(1, 2, 1, 1))
    assert outputs.raw.tolist() == [[0, 14]]
    assert outputs.logits.tolist() == [[0, 14 / 32]]


def exactly(op, x, node):
    """The function at the Fraction x, as a Fraction that is right to 40 digits."""
    getcontext().prec = 60
    a = {name: Fraction(value) for name, value in node.attributes.items()}
    if op == "clip":
        return min(max(x, a["low"]), a["high"])
    if op == "leaky_relu":
        return x if x >= 0 else a["slope"] * x
    if op == "hard_sigmoid":
        return min(max(a["alpha"] * x + a["beta"], Fraction(0)), Fraction(1))
    if op == "hard_swish":
        return x * min(max(x + 3, Fraction(0)), Fraction(6)) / 6
    e = lambda v: Fraction((Decimal(v.numerator) / Decimal(v.denominator)).exp())  # noqa: E731
    if op == "sigmoid":
        return 1 / (1 + e(-x))
    if op == "silu":
        return x / (1 + e(-x))
    if op == "tanh":
        return 1 - 2 / (e(2 * x) + 1)
    if op == "elu":
        return x if x > 0 else a["alpha"] * (e(x) - 1)
    root_pi = Fraction(Decimal("3.14159265358979323846264338327950288419716939937510582").sqrt())
    if op == "gelu_tanh":
        inner = Fraction(Decimal(2).sqrt()) / root_pi * (x + Fraction(0.044715) * x**3)
        return x * (2 - 2 / (e(2 * inner) + 1)) / 2
    assert op == "gelu"
    z = x / Fraction(Decimal(2).sqrt())  # erf by the series with signs that alternate: not the one in the code
    if abs(z) > 8:
        return max(x, Fraction(0))
    total, term = Fraction(0), z
    for n in range(400):
        total += term / (2 * n + 1)
        term = -term * z * z / (n + 1)
        term = Fraction(round(term * 10**60), 10**60)
    return x * (1 + 2 / root_pi * total) / 2


ATTRIBUTES = {
    "clip": {"low": -1.3, "high": 2.6},
    "leaky_relu": {"slope": 0.1},
    "hard_sigmoid": {"alpha": 1 / 6, "beta": 0.5},
    "elu": {"alpha": 0.8},
}


@pytest.mark.parametrize("op", [op for op in FUNCTIONS if op not in ("relu", "prelu")])
def test_a_table_is_the_function_in_exact_arithmetic(op):
    """Every entry: the nearest integer of the real number, half up. No entry lies as near a tie as float64 errs."""
    node = Node(op, "f", ("input",), ATTRIBUTES.get(op, {}))
    for s_in, s_out in ((0.0371, 0.0123), (0.11, 0.0079), (0.4, 0.5)):
        table = packed([node], (1, 1, 1), {"input": s_in, "f": s_out}).nodes[0].tables[0]
        for x, got in zip(EVERY.tolist(), table.tolist(), strict=True):
            real = exactly(op, Fraction(s_in) * x, node) / Fraction(s_out)
            assert got == nearest(real), (x, float(real))
            assert abs(real - floor(real) - HALF) > Fraction(1, 10**9) or abs(real) > 200


def test_the_tables_of_a_prelu_are_one_a_channel():
    slope = np.array([0.25, -0.5, 0.0, 3.0], np.float32)
    node = Node("prelu", "f", ("input",), slope=slope)
    int8 = packed([node], (4, 2, 1), {"input": 0.5, "f": 0.75})
    tables = int8.nodes[0].tables
    for c, a in enumerate(slope.tolist()):
        wanted = [nearest(Fraction(x, 2) * (1 if x >= 0 else Fraction(a)) / Fraction(3, 4)) for x in EVERY.tolist()]
        assert tables[c].tolist() == wanted
    x = np.array([-100, 100] * 4, np.int8).reshape(1, 4, 2, 1)
    y = interpret_int8(int8, x).values["f"]
    assert y[0, :, 0, 0].tolist() == [tables[c, 28] for c in range(4)]
    assert y[0, :, 1, 0].tolist() == [tables[c, 228] for c in range(4)]


@pytest.mark.parametrize("seed", range(6))
def test_the_constants_of_a_product_are_those_of_exact_fractions(seed):
    rng = np.random.default_rng(seed)
    s1, s2 = (float(v) for v in rng.integers(1, 2**20, 2) / 2.0 ** rng.integers(16, 24, 2))
    s_out = 2.0 ** float(rng.integers(-3, 3))
    r = packed(
        [*two_values(), Node("mul", "y", ("a", "b"))], (2, 1, 1), {"input": 1.0, "a": s1, "b": s2, "y": s_out}
    ).nodes[-2].requantize  # fmt: skip
    m = Fraction(s1) * Fraction(s2) / Fraction(s_out)
    e = 0
    while m >= 1:
        m, e = m / 2, e + 1
    while m < HALF:
        m, e = m * 2, e - 1
    q = floor(m * 2**31 + HALF)
    q, e = (q // 2, e + 1) if q == 2**31 else (q, e)
    l = max(0, 2 + e)
    assert (int(r.q[0]), r.l, int(r.s[0]), int(r.b[0])) == (q, l, 31 + l - e, 0)


@pytest.mark.parametrize(("scale", "fits"), [(2.0**7 - 1e-6, True), (2.0**7, False)])
def test_the_headroom_of_a_product(scale, fits):
    """m < 2^14: 2^14 2^16 < 2^31."""
    nodes = [*two_values(), Node("mul", "y", ("a", "b"))]
    scales = {"input": 1.0, "a": scale, "b": scale, "y": 1.0}
    if not fits:
        with pytest.raises(ValueError, match=r"node 'y' in int8: sums of up to 16384, shifted by l = 17, do not fit"):
            packed(nodes, (2, 1, 1), scales)
        return
    int8 = packed(nodes, (2, 1, 1), scales)
    assert int8.nodes[-2].requantize.l == 16
    ends = np.array([-128, 127, -1, 0, 1], np.int8)
    a, b = (v.reshape(1, 1, 5, 5) for v in np.meshgrid(ends, ends))
    y = requantize(int8.nodes[-2], accumulate(int8.nodes[-2], a, b))
    wanted = [
        nearest(Fraction(scale) ** 2 * u * v) for u, v in zip(a.ravel().tolist(), b.ravel().tolist(), strict=True)
    ]
    assert y.ravel().tolist() == wanted


def test_a_product_too_small_to_see_is_0():
    """Where s would be above 62: |x1 x2| m < 2^14 2^-31."""
    nodes = [*two_values(), Node("mul", "y", ("a", "b"))]
    int8 = packed(nodes, (2, 1, 1), {"input": 1.0, "a": 2.0**-20, "b": 2.0**-20, "y": 1.0})
    r = int8.nodes[-2].requantize
    assert (r.q.tolist(), r.s.tolist(), r.b.tolist()) == ([0], [33], [0])
    assert interpret_int8(int8, np.full((1, 2, 1, 1), -128, np.int8)).values["y"].tolist() == [[[[0]]]]


@pytest.mark.parametrize("seed", range(3))
def test_all_products_are_as_near_as_the_page_says(seed):
    rng = np.random.default_rng(seed)
    s1, s2, s_out = (float(v) for v in rng.uniform(0.01, 0.2, 3))
    int8 = packed(
        [*two_values(), Node("mul", "y", ("a", "b"))], (2, 1, 1), {"input": 1.0, "a": s1, "b": s2, "y": s_out}
    )
    a, b = (v.reshape(1, 1, 256, 256) for v in np.meshgrid(EVERY, EVERY))
    y = requantize(int8.nodes[-2], accumulate(int8.nodes[-2], a, b)).ravel().tolist()
    m = Fraction(s1) * Fraction(s2) / Fraction(s_out)
    for got, u, v in zip(y[::7], a.ravel().tolist()[::7], b.ravel().tolist()[::7], strict=True):
        real = m * u * v
        if -128 <= real <= 127:
            assert abs(got - real) <= HALF + Fraction(1, 2**23)
        else:
            assert got == (127 if real > 0 else -128)


def test_one_number_a_channel_is_added_and_multiplied_everywhere():
    """(C, 1, 1) against (C, H, W) on either side, element by element."""
    rng = np.random.default_rng(3)
    x = rng.integers(-128, 128, (2, 3, 4, 5)).astype(np.int8)
    mean = Node("avg_pool", "mean", ("input",), {"kernel": (4, 5), "stride": (1, 1)})
    for inputs in (("input", "mean"), ("mean", "input")):
        for op in ("add", "mul"):
            int8 = packed([mean, Node(op, "y", inputs)], (3, 4, 5), {"input": 0.25, "mean": 0.0625, "y": 0.5})
            values = interpret_int8(int8, x).values
            full = np.broadcast_to(values["mean"], x.shape)
            assert values["mean"].shape == (2, 3, 1, 1)
            for n, c, i, j in np.ndindex(*x.shape):
                u, v = Fraction(int(x[n, c, i, j]), 4), Fraction(int(full[n, c, i, j]), 16)
                wanted = nearest(2 * (u + v if op == "add" else u * v))
                assert values["y"][n, c, i, j] == wanted


POOLS = {
    "avg_pool": [
        {"kernel": (3, 2), "stride": (2, 1), "padding": (2, 1, 1, 0), "counted": (1, 0, 1, 0)},
        {"kernel": (2, 3), "stride": (1, 3), "padding": (1, 2, 1, 2), "counted": (1, 2, 1, 2)},
        {"kernel": (7, 6), "stride": (2, 2), "padding": (3, 3, 3, 3), "counted": (0, 0, 0, 0)},
        {"kernel": (1, 1), "stride": (3, 2), "padding": (0, 0, 0, 0), "counted": (0, 0, 0, 0)},
    ],
    "adaptive_avg_pool": [{"output": (3, 4)}, {"output": (1, 1)}, {"output": (9, 5)}, {"output": (7, 6)}],
}


@pytest.mark.parametrize(("op", "attributes"), [(op, a) for op, every in POOLS.items() for a in every])
def test_averages_of_varying_counts_against_loops(op, attributes):
    """Sums, counts, constants and results of every pixel, window by window over single pixels."""
    height, width = 7, 6
    rng = np.random.default_rng(4)
    node = Node(op, "mean", ("input",), attributes)
    int8 = packed([node], (2, height, width), {"input": 0.37, "mean": 0.3})
    made, r = int8.nodes[0], int8.nodes[0].requantize
    channels, rows, columns = made.shape
    x = rng.integers(-128, 128, (1, 2, height, width)).astype(np.int8)
    y = interpret_int8(int8, x).values["mean"]
    sums, seen = accumulate(made, x), set()
    for p, q in np.ndindex(rows, columns):
        if op == "adaptive_avg_pool":
            inside = [
                (i, j)
                for i in range(p * height // rows, math.ceil((p + 1) * height / rows))
                for j in range(q * width // columns, math.ceil((q + 1) * width / columns))
            ]
            count = len(inside)
        else:
            a = attributes
            at = [
                (p * a["stride"][0] - a["padding"][0] + i, q * a["stride"][1] - a["padding"][1] + j)
                for i in range(a["kernel"][0])
                for j in range(a["kernel"][1])
            ]
            top, left, bottom, right = a["counted"]
            inside = [(i, j) for i, j in at if 0 <= i < height and 0 <= j < width]
            count = sum(-top <= i < height + bottom and -left <= j < width + right for i, j in at)
        seen.add(count)
        k = 0 if made.which is None else made.which[p, q]
        m = Fraction(0.37) / count / Fraction(0.3)
        assert abs(int(r.q[k]) * Fraction(2) ** (r.l - int(r.s[k])) / m - 1) < Fraction(1, 2**30)
        for c in range(channels):
            total = sum(int(x[0, c, i, j]) for i, j in inside)
            assert sums[0, c, p, q] == total
            assert abs(int(y[0, c, p, q]) - min(max(m * total, -128), 127)) <= HALF + Fraction(1, 2**22)
    assert len(r.q) == len(seen)
    assert (made.which is None) == (len(seen) == 1)
    assert r.s.tolist() == sorted(r.s.tolist(), reverse=True)


def test_the_headroom_of_an_average_is_that_of_every_count():
    r = Requantize(1, np.zeros(2, np.int32), np.full(2, 1 << 30, np.int32), np.array([34, 33], np.uint8))
    r.prove(np.array([(1 << 23) - 1, 4]))
    with pytest.raises(ValueError, match="do not fit 32 bits"):
        r.prove(np.array([1 << 23, 4]))


def test_a_maximum_with_a_border_is_of_what_lies_inside():
    pool = {"kernel": (3, 3), "stride": (2, 2), "padding": (1, 1, 1, 1)}
    int8 = packed([Node("max_pool", "y", ("input",), pool)], (1, 3, 3), {"input": 1.0})
    x = np.arange(-128, -119, dtype=np.int8).reshape(1, 1, 3, 3)
    assert interpret_int8(int8, x).values["y"][0, 0].tolist() == [[-124, -123], [-121, -120]]


def test_channels_are_moved():
    nodes = [
        Node("shuffle", "shuffled", ("input",), {"groups": 3}),
        Node("slice", "some", ("shuffled",), {"first": 1, "last": 5}),
    ]
    int8 = packed(nodes, (6, 1, 1), {"input": 1.0})
    x = np.arange(6, dtype=np.int8).reshape(1, 6, 1, 1)
    values = interpret_int8(int8, x).values
    assert values["shuffled"].ravel().tolist() == [0, 2, 4, 1, 3, 5]
    assert values["some"].ravel().tolist() == [2, 4, 1, 3]


def test_lrn_is_refused_by_name():
    lrn = Node("lrn", "norm1", ("input",), {"size": 5, "alpha": 1e-4, "beta": 0.75, "bias": 1.0})
    net = network([lrn, Node("global_avg_pool", "g", ("norm1",))], (2, 3, 3), 2)
    with pytest.raises(ValueError, match="node 'norm1': lrn runs on float activations only"):
        derive(net, {"input": 1.0, "g": 1.0})


def test_what_constants_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"tables has shape \(2, 255\)"):
        Tables(np.zeros((2, 255), np.int8))
    with pytest.raises(TypeError, match="tables is uint8"):
        Tables(np.zeros((2, 256), np.uint8))


@pytest.mark.parametrize("lo", [-128, 0, -20])
def test_the_upper_end_of_the_clamp(lo):
    r = Requantize(0, np.zeros(1, np.int32), np.array([1 << 30], np.int32), np.array([33], np.uint8))  # m = 1/8
    node = IntegerNode("linear", "y", "y", ("x",), {}, (1,), requantize=r, lo=lo, hi=41)
    sums = np.arange(-2000, 2000)[:, None]
    assert requantize(node, sums).ravel().tolist() == [
        min(max(floor(Fraction(v, 8) + HALF), lo), 41) for v in sums[:, 0]
    ]


def test_the_different_counts_are_found_where_windows_meet_a_border():
    rng = np.random.default_rng(9)
    for _ in range(300):
        kernel, stride = (int(v) for v in rng.integers(1, 9, 2))
        length = int(rng.integers(max(1, kernel - 3), 40))
        above, below = (int(v) for v in rng.integers(0, kernel, 2))
        if length + above + below < kernel:
            continue
        counted = (int(rng.integers(0, above + 1)), 0, int(rng.integers(0, below + 1)), 0)
        a = {"kernel": (kernel, 1), "stride": (stride, 1), "padding": (above, 0, below, 0), "counted": counted}
        node = Node("avg_pool", "mean", ("input",), a)
        wanted = sorted(set(counts(node, (1, length, 2)).ravel().tolist()), reverse=True)
        assert different_counts(node, (1, length, 2)).tolist() == wanted


def test_an_average_over_a_large_picture_is_read_in_little_memory():
    """A file of some hundred bytes; where there would be too many kinds of windows, it is refused."""
    border = {"kernel": (3, 3), "stride": (1, 1), "padding": (1, 1, 1, 1), "counted": (0, 0, 0, 0)}
    nodes = [Node("avg_pool", "mean", ("input",), border), Node("global_avg_pool", "out", ("mean",))]
    net = network(nodes, (1, 3000, 3000), 1)
    int8 = derive(net, {"input": 1.0, "mean": 1.0, "out": 1.0})
    content = content_of(replace(net, int8=int8))
    tracemalloc.start()
    back = read_packed(content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20
    assert len(back.int8.nodes[0].requantize.q) == 3
    wide = {"kernel": (600, 600), "stride": (1, 1), "padding": (599,) * 4, "counted": (0,) * 4}
    net = network([replace(nodes[0], attributes=wide), nodes[1]], (1, 300, 300), 1)
    with pytest.raises(ValueError, match=r"node 'mean' in int8: counts 300 times 300 kinds of windows, at most 65536"):
        derive(net, {"input": 1.0, "mean": 1.0, "out": 1.0})
