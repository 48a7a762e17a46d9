"""The shape of every op against counting by hand, and what a graph may not say."""

from dataclasses import replace

import numpy as np
import pytest
from random_graphs import packed_graph, trainable_graph

from elq_ref.graph.nodes import NO_BORDER, Graph, Node, Parameter, Weight
from elq_ref.graph.shapes import OPS, check_packed, infer_shapes, operations

pytestmark = pytest.mark.kernels

ONES = np.ones(2, np.float32)
NORM = {role: Parameter(f"n.{role}", (2,)) for role in ("scale", "bias", "mean", "var")}
CONV = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}


def shape_of(node, *shapes):
    return OPS[node.op].shape(node, list(shapes))


def test_pools_against_every_window():
    """Places where a window starts, counted; refused where one of them holds no pixel."""
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(2000):
        n, k, s, before, after = (
            int(rng.integers(low, high)) for low, high in ((1, 7), (1, 5), (1, 5), (0, 5), (0, 5))
        )
        starts = [p - before for p in range(0, n + before + after, s) if p + k <= n + before + after]
        good = starts and all(any(0 <= i < n for i in range(p, p + k)) for p in starts)
        border = (before, 0, after, 0)
        node = Node("max_pool", "p", ("input",), {"kernel": (k, 1), "stride": (s, 1), "padding": border})
        if good:
            assert shape_of(node, (3, n, 2)) == (3, len(starts), 2)
            swapped = {"kernel": (1, k), "stride": (1, s), "padding": (0, before, 0, after)}
            assert shape_of(replace(node, op="avg_pool", attributes=swapped), (3, 2, n)) == (3, 2, len(starts))
        else:
            refused += 1
            with pytest.raises(ValueError, match=r"window of"):
                shape_of(node, (3, n, 2))
    assert 200 < refused < 1800


@pytest.mark.parametrize(
    ("op", "attributes", "shapes", "wanted"),
    [
        ("add", {}, [(3, 4, 5), (3, 4, 5)], (3, 4, 5)),
        ("mul", {}, [(3, 1, 1), (3, 4, 5)], (3, 4, 5)),
        ("mul", {}, [(3, 4, 5), (3, 1, 1)], (3, 4, 5)),
        ("add", {}, [(3,), (3,)], (3,)),
        ("mul", {}, [(3,), (3, 4, 5)], None),
        ("mul", {}, [(1, 1, 1), (3, 4, 5)], None),
        ("add", {}, [(3, 4, 1), (3, 4, 5)], None),
        ("concat", {}, [(3, 4, 5), (1, 4, 5), (2, 4, 5)], (6, 4, 5)),
        ("concat", {}, [(3,), (2,)], (5,)),
        ("concat", {}, [(3, 4, 5), (3, 5, 4)], None),
        ("concat", {}, [(3, 4, 5), (3,)], None),
        ("slice", {"first": 1, "last": 3}, [(3, 4, 5)], (2, 4, 5)),
        ("slice", {"first": 1, "last": 1}, [(3, 4, 5)], None),
        ("slice", {"first": 0, "last": 4}, [(3,)], None),
        ("shuffle", {"groups": 3}, [(6, 4, 5)], (6, 4, 5)),
        ("shuffle", {"groups": 4}, [(6, 4, 5)], None),
        ("adaptive_avg_pool", {"output": (7, 2)}, [(3, 4, 5)], (3, 7, 2)),
        ("adaptive_avg_pool", {"output": (1, 1)}, [(3,)], None),
        ("lrn", {"size": 5, "alpha": 1.0, "beta": 1.0, "bias": 1.0}, [(3, 4, 5)], (3, 4, 5)),
        ("lrn", {"size": 5, "alpha": 1.0, "beta": 1.0, "bias": 1.0}, [(3,)], None),
        ("hard_swish", {}, [(3,)], (3,)),
    ],
)
def test_shapes(op, attributes, shapes, wanted):
    node = Node(op, "n", tuple(f"x{i}" for i in range(len(shapes))), attributes)
    if wanted is None:
        with pytest.raises(ValueError, match=r"\(|value"):
            shape_of(node, *shapes)
    else:
        assert shape_of(node, *shapes) == wanted


AVERAGE = {"kernel": (2, 2), "stride": (1, 1), "padding": (1, 0, 0, 0)}


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (Node("clip", "n", ("input",), {"low": 0, "high": 6.0}), "low is 0, wanted a float"),
        (Node("clip", "n", ("input",), {"low": 0.0, "high": float("inf")}), "high is inf, wanted"),
        (Node("clip", "n", ("input",), {"low": 0.0, "high": float("nan")}), "high is nan, wanted"),
        (Node("clip", "n", ("input",), {"low": 2.0, "high": 1.0}), "low is 2.0, high 1.0"),
        (Node("dropout", "n", ("input",), {"rate": 1.5}), "rate is 1.5, wanted 0 to 1"),
        (Node("concat", "n", ("input",)), "reads 1 value.s., concat wants 2 to 256"),
        (Node("concat", "n", ("input",) * 257), "reads 257 value.s., concat wants 2 to 256"),
        (Node("slice", "n", ("input",), {"first": -1, "last": 1}), "first is -1, wanted 0 to"),
        (
            Node("max_pool", "n", ("input",), {"kernel": (1, 1), "stride": (1, 1), "padding": (0, 0)}),
            "wanted 4 integer",
        ),
        (Node("avg_pool", "n", ("input",), AVERAGE | {"counted": (1, 1, 0, 0)}), "counted is .*at most the padding"),
        (Node("prelu", "n", ("input",)), "prelu wants slope array.s., given none"),
        (Node("prelu", "n", ("input",), slope=np.ones(3, np.float32)), "slope of shape .3,. does not fit"),
        (Node("relu", "n", ("input",), slope=ONES), "relu wants no array.s., given slope"),
        (Node("batch_norm", "n", ("input",), {"eps": 1e-5}, scale=ONES, bias=ONES, mean=ONES, var=ONES), "is an array"),
        (
            Node("batch_norm", "n", ("input",), {"eps": 1e-5}, **NORM | {"var": Parameter("v", (3,))}),
            "arrays of shapes",
        ),
        (Node("batch_norm", "n", ("input",), {"eps": 1e-5}, **NORM | {"var": Parameter("n.bias", (3,))}), "has shapes"),
        (Node("scale_shift", "n", ("input",), scale=Parameter("a", (2,)), bias=ONES), "bias is an array"),
        (Node("conv", "n", ("input",), CONV, Parameter("w", (4, 3, 1, 1))), "does not fit a value"),
        (Node("conv", "n", ("input",), CONV, Parameter("w", (2, 2, 1, 1)), ONES), "given weight, scale"),
        (Node("conv", "n", ("input",), CONV, Parameter("w", (4, 2, 0, 1))), "wanted axes from 1"),
        (Node("conv", "n", ("input",), CONV, Parameter("a\nb", (4, 2, 1, 1))), "printable"),
        (Node("adaptive_avg_pool", "n", ("input",), {"output": (32768, 32768)}), "activations of more than"),
    ],
)
def test_refusals(node, reason):
    with pytest.raises(ValueError, match=reason):
        infer_shapes(Graph("input", (2, 3, 3), (node,), node.name))


def test_a_slope_may_be_one_number_where_it_is_a_parameter():
    node = Node("prelu", "n", ("input",), slope=Parameter("a", (1,)))
    assert infer_shapes(Graph("input", (2, 3, 3), (node,), "n"))["n"] == (2, 3, 3)


def test_the_two_forms_are_not_mixed():
    weight = Weight("float", (2, 2), np.ones((2, 2), np.float32))
    mixed = [
        Node("prelu", "a", ("input",), slope=Parameter("a", (2,))),
        Node("global_avg_pool", "b", ("a",)),
        Node("linear", "c", ("b",), {}, weight, ONES, ONES),
    ]
    with pytest.raises(ValueError, match=r"'c': linear wants weight, bias array.s., given weight, scale, bias"):
        infer_shapes(Graph("input", (2, 3, 3), tuple(mixed), "c"))


@pytest.mark.parametrize("op", ["batch_norm", "dropout", "conv"])
def test_a_trainable_graph_is_no_packed_one(op):
    seed = list(OPS).index(op)
    graph, _ = trainable_graph(seed)
    assert op in {node.op for node in graph.nodes}
    with pytest.raises(ValueError, match=r"of a trainable graph, graph\.folded makes a packed one"):
        check_packed(graph)
    check_packed(packed_graph(seed))


def test_a_pool_that_says_no_border_has_none():
    plain = {"kernel": (2, 2), "stride": (2, 2)}
    assert Node("max_pool", "n", ("input",), plain).attributes == {**plain, "padding": NO_BORDER}
    assert Node("avg_pool", "n", ("input",), plain).attributes["counted"] == NO_BORDER


def test_every_op_is_drawn():
    graphs = [packed_graph(seed) for seed in range(200)] + [trainable_graph(seed)[0] for seed in range(200)]
    found = {node.op for graph in graphs for node in graph.nodes}
    assert found == set(OPS)
    assert all(min(operations(graph, infer_shapes(graph)).values()) > 0 for graph in graphs)


def test_the_order_of_parameters():
    graph, _ = trainable_graph(3)
    names = list(graph.parameters)
    assert len(names) > 2
    assert list(replace(graph, order=(names[2], "nobody's", names[0])).parameters) == [
        names[2], names[0], names[1], *names[3:]
    ]  # fmt: skip
