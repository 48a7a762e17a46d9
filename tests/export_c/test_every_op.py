"""Exported C of every operation of the graph that int8 activations have: the bits of the definition."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from exported import SANITIZED, Program, compiler
from random_graphs import packed_graph
from runtime_nets import modern, network, weighted, with_int8

import elq_ref
from elq_ref.export_c import export_c
from elq_ref.export_c.contents import high_ends
from elq_ref.export_c.geometry import GEOMETRY
from elq_ref.export_c.layers import layers_of
from elq_ref.export_c.planner import plan
from elq_ref.export_c.text import HIGH_ENDS
from elq_ref.graph.shapes import PACKED_OPS
from elq_ref.graph.windows import windows
from elq_ref.runtime import Node
from elq_ref.runtime.steps import FLOAT_ONLY

C = Path(elq_ref.__file__).parent / "export_c" / "c"
INT8_OPS = tuple(op for op in PACKED_OPS if op not in FLOAT_ONLY)
SEEDS = range(2 * len(INT8_OPS))


def every_op(seed):
    """The network on int8 of a seed; INT8_OPS[seed % len(INT8_OPS)] is among its operations. Scales that some values
    exceed, or that leave room above the ends of a clip.
    """
    graph, rng = packed_graph(seed, INT8_OPS), np.random.default_rng(seed)
    return with_int8(network(graph.nodes, graph.input_shape, 5), rng, (0.8, 1.7)[seed // 2 % 2])


def broadcast(seed):
    """Sums and products of (C, H, W) and (C, 1, 1) in either order, the larger needed again or not."""
    rng = np.random.default_rng(seed)
    whole = {"kernel": (4, 5), "stride": (1, 1), "padding": (0, 0, 0, 0), "counted": (0, 0, 0, 0)}
    nodes = [
        weighted(rng, "conv", "conv", "input", "ternary", (6, 2, 3, 3), padding=(1, 1)),
        Node("avg_pool", "few", ("conv",), whole),
        Node("add", "sum", ("few", "conv")),
        Node("relu", "sum.relu", ("sum",)),
        Node("mul", "product", ("sum.relu", "few")),
        Node("clip", "product.clip", ("product",), {"low": -0.5, "high": 0.6}),
        Node("mul", "other", ("few", "conv")),
        Node("add", "last", ("product.clip", "few")),
        Node("clip", "last.clip", ("last",), {"low": -0.4, "high": 0.6}),
        Node("add", "both", ("last.clip", "other")),
        Node("clip", "both.clip", ("both",), {"low": -0.1, "high": 0.3}),
        Node("avg_pool", "late", ("both.clip",), whole),
        Node("mul", "gated", ("late", "both.clip")),
        Node("add", "again", ("both.clip", "gated")),
        Node("global_avg_pool", "mean", ("again",)),
        weighted(rng, "linear", "fc", "mean", "binary", (5, 6)),
    ]
    return with_int8(network(nodes, (2, 4, 5), 5), rng, (0.5, 1.7)[seed % 2])


def averages(seed):
    """Windows of six different counts, one into a border that counts in part; parts that overlap, more than pixels."""
    rng = np.random.default_rng(seed)
    border = {"kernel": (3, 3), "stride": (1, 1), "padding": (2, 2, 2, 2)}
    nodes = [
        weighted(rng, "conv", "conv", "input", "ternary", (3, 2, 3, 3), padding=(1, 1)),
        Node("avg_pool", "six", ("conv",), border | {"counted": (0, 0, 0, 0)}),
        Node("avg_pool", "part", ("six",), border | {"counted": (1, 0, 2, 1)}),
        Node("adaptive_avg_pool", "more", ("part",), {"output": (7, 12)}),
        Node("relu", "more.relu", ("more",)),
        Node("adaptive_avg_pool", "fewer", ("more.relu",), {"output": (3, 5)}),
        Node("clip", "fewer.clip", ("fewer",), {"low": -0.3, "high": 0.2}),
        Node("flatten", "flat", ("fewer.clip",)),
        weighted(rng, "linear", "fc", "flat", "binary", (5, 45)),
    ]
    return with_int8(network(nodes, (2, 4, 5), 5), rng, (0.5, 1.7)[seed % 2])


def networks(half):
    """One half of all: prefix -> network."""
    rng = np.random.default_rng(half)
    found = {f"g{seed}": every_op(seed) for seed in SEEDS[half::2]}
    return found | {
        "modern": with_int8(modern(rng), rng, (0.6, 1.5)[half]),
        "broadcast": broadcast(half),
        "averages": averages(half),
    }


def test_every_op_is_known():
    assert set(GEOMETRY) == set(INT8_OPS)


def test_the_networks_have_what_is_wanted():
    nets = [*networks(0).values(), *networks(1).values()]
    found = [layer for net in nets for layer in plan_of(net).layers]
    ops = {layer.op for layer in found}
    assert ops >= {"through_table", "mul", "add_channels", "concat", "slice", "shuffle"}
    assert ops >= {"max_pool_border", "avg_pool_border", "adaptive_avg_pool"}
    assert {layer.op for layer in found if layer.hi < 127} >= {"conv", "add", "mul"}
    assert {layer.apart for layer in found if layer.op == "avg_pool_border"} == {True, False}
    assert max(len(layer.counts) for layer in found if layer.counts is not None) >= 6
    assert any(len(layer.table) > 1 for layer in found if layer.op == "through_table")


def plan_of(net):
    layers = layers_of(net.int8)
    return plan(layers, [0] * len(layers))


@pytest.mark.parametrize("half", range(2))
@pytest.mark.parametrize("flags", [("-O2",), SANITIZED], ids=("O2", "sanitized"))
def test_random_graphs(flags, half, tmp_path):
    options = {"split_weights": half == 1, "prefer": ("size", "speed")[half]}
    Program(tmp_path, networks(half), **options).check(compiler(), *flags)


def test_no_two_files_of_c_have_a_function_of_one_name():
    """Any of them may stand in one text, what is for other processors too."""
    found = [
        (name, path.name)
        for path in C.iterdir()
        for name in set(re.findall(r"^(?:static|INLINE|APART)\b[^\n;={(]*?(\w+)\(", path.read_text(), re.M))
        if path.name != "fields_neon.c"  # stands in the place of a part of fields.c
    ]
    assert len(found) > 30
    assert [one for one in found if [name for name, _ in found].count(one[0]) > 1] == []


def test_ends_of_clamps_stand_where_one_is_below_127():
    """Only then; each text that HIGH_ENDS exchanges is in one of the C files, and no 127 is left to clamp to."""
    files = [path.read_text() for path in C.iterdir()]
    for plain in HIGH_ENDS:
        assert sum(plain in text for text in files), plain
    rng = np.random.default_rng(0)
    for kept, ends in ((0.5, False), (1.5, True)):
        export = export_c(with_int8(modern(rng), rng, kept), "net")
        assert high_ends(export.contents.plan.layers) is ends
        code = re.sub(r"/\*.*?\*/", "", export.files["net.c"], flags=re.DOTALL)
        assert ("lo, hi;" in code) is ends
        assert bool(re.search(r"[>?(] ?127\b", code)) is not ends


def test_the_version_of_the_integers_is_in_the_header():
    rng = np.random.default_rng(0)
    assert "#define NET_ARITHMETIC_VERSION 2 " in export_c(with_int8(modern(rng), rng), "net").files["net.h"]


def test_what_is_not_known_is_refused_by_name(monkeypatch):
    rng = np.random.default_rng(0)
    monkeypatch.delitem(GEOMETRY, "shuffle")
    with pytest.raises(ValueError, match=r"^layer 'shuffled': exported C has no shuffle$"):
        export_c(with_int8(modern(rng), rng), "net")


def test_a_product_that_is_the_output_gives_its_sums(tmp_path):
    """Up to 16,384, of which the first of equal logits is the class; a constant one beside it in the self-test."""
    rng = np.random.default_rng(1)
    nodes = [
        Node("global_avg_pool", "mean", ("input",)),
        weighted(rng, "linear", "a", "mean", "ternary", (5, 3)),
        weighted(rng, "linear", "b", "mean", "binary", (5, 3)),
        Node("mul", "out", ("a", "b")),
    ]
    net = with_int8(network(nodes, (3, 4, 4), 5), rng, 0.3)
    program = Program(tmp_path, {"net": net}, count=5)
    assert program.exports["net"].contents.plan.layers[-1].raw
    program.check(compiler(), "-O1")


@pytest.mark.parametrize("op", ["max_pool", "avg_pool", "adaptive_avg_pool"])
def test_a_window_is_over_its_operand_where_it_reads_no_pixel_that_is_gone(op):
    """Against going through the pixels one by one."""
    rng = np.random.default_rng(0)
    seen = set()
    for size in itertools.product((1, 2, 3, 5, 8), (1, 3, 4, 7)):
        for _ in range(12):
            kernel, stride = (tuple(rng.integers(1, 4, 2).tolist()) for _ in range(2))
            border = tuple(int(rng.integers(k)) for k in kernel * 2)
            attributes = {"kernel": kernel, "stride": stride, "padding": border}
            attributes |= {"counted": border} if op == "avg_pool" else {}
            if op == "adaptive_avg_pool":
                attributes = {"output": tuple(rng.integers(1, 10, 2).tolist())}
            elif any(n + b + a < k for n, b, a, k in zip(size, border[:2], border[2:], kernel, strict=True)):
                continue
            node = Node(op, "pool", ("input",), attributes)
            rows, columns = windows(node, (1, *size))
            if any(window.first >= window.last for window in (*rows, *columns)):
                continue
            gone, apart = set(), False
            for number, (row, column) in enumerate(itertools.product(rows, columns)):
                pixels = itertools.product(range(row.first, row.last), range(column.first, column.last))
                apart |= any(r * size[1] + c in gone for r, c in pixels)
                gone.add(number)
            sizes = GEOMETRY[op](node, [(1, *size)])
            assert sizes.get("apart", False) is apart, (size, attributes)
            seen.add(apart)
    assert seen == {True, False}
