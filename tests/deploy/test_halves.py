"""Rounding halves: all integers of an int8 network are rounded half up, floor(x + 1/2), and never half to even."""

import numpy as np
import pytest
from runtime_nets import network, weighted

from elq_ref.deploy import derive
from elq_ref.graph.codes import pack_codes
from elq_ref.runtime import Node, Weight, interpret_int8
from elq_ref.runtime.integer_constants import AddScales, to_int8

pytestmark = pytest.mark.kernels

HALVES = (-3.5, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5)
UP = [-3, -2, -1, 0, 1, 2, 3, 4]


def layer(bias, a=None, levels="ternary"):
    """linear "fc": one input a channel, all codes +1, alpha 1, A and B given."""
    count = len(bias)
    a = np.ones(count) if a is None else a
    if levels == "float":
        weight = Weight("float", (count, 2), np.float32([[127, v] for v in bias]), None)
        bias = np.zeros(count)
    else:
        codes = np.ones((count, 1), np.int8)
        weight = Weight("ternary", codes.shape, pack_codes(codes, "ternary"), np.ones(1, np.float32))
    arrays = {"scale": np.float32(a), "bias": np.float32(bias)}
    nodes = [Node("flatten", "flat", ("input",)), Node("linear", "fc", ("flat",), {}, weight, **arrays)]
    return network(nodes, (weight.shape[1], 1, 1), count)


def test_a_bias_of_a_half_step_is_rounded_up():
    r = derive(layer(HALVES), {"input": 1.0, "fc": 1.0}).nodes[-1].requantize
    assert not r.constant.any()
    assert r.b.tolist() == UP


def test_a_constant_channel_of_a_half_is_rounded_up():
    r = derive(layer(HALVES, np.zeros(len(HALVES))), {"input": 1.0, "fc": 1.0}).nodes[-1].requantize
    assert r.constant.all()
    assert r.b.tolist() == UP


def test_a_float_weight_of_half_a_step_is_rounded_up():
    int8 = derive(layer(HALVES, levels="float"), {"input": 1.0, "fc": 1.0})
    assert int8.weights["fc"].tolist() == [[127, v] for v in UP]


def test_the_weights_of_a_scale_of_0_keep_their_signs():
    count = len(HALVES)
    signs = np.array([0.0, -1.0] * (count // 2))
    int8 = derive(layer(HALVES, signs, "float"), {"input": 1.0, "fc": 1.0})
    negative = [[-127, int(np.floor(0.5 - v))] for v in HALVES]
    wanted = [n if s < 0 else [127, v] for n, s, v in zip(negative, signs, UP, strict=True)]
    assert int8.weights["fc"].tolist() == wanted


def test_a_mantissa_and_an_added_scale_of_a_half_are_rounded_up():
    for odd in (1, 3):  # 2^30 + 1/2 and 2^30 + 3/2
        m = (2**31 + odd) / 2**32
        r = derive(layer([0.0]), {"input": m, "fc": 1.0}).nodes[-1].requantize
        assert r.q.tolist() == [2**30 + (odd + 1) // 2]
    rng = np.random.default_rng(0)
    nodes = [weighted(rng, "conv", n, "input", "ternary", (1, 1, 1, 1)) for n in "ab"]
    net = network([*nodes, Node("add", "sum", ("a", "b")), Node("flatten", "flat", ("sum",))], (1, 1, 1), 1)
    for odd in (1, 3):
        add = derive(net, {"input": 1.0, "a": 0.5, "b": (2**21 + odd) / 2**23, "sum": 1.0}).nodes[2].add
        assert add == AddScales(2**21, (2**21 + odd + 1) // 2, 22)


def test_an_input_of_a_half_is_rounded_up():
    assert to_int8(np.array(HALVES), 1.0).tolist() == UP
    assert to_int8(np.float32(HALVES) * 4, 4.0).tolist() == UP


def test_a_result_of_a_half_is_rounded_up():
    """Sums of odd halves: y = x / 2."""
    int8 = derive(layer([0.0]), {"input": 0.5, "fc": 1.0})
    x = np.array([-7, -5, -3, -1, 1, 3, 5, 7], np.int8).reshape(-1, 1, 1, 1)
    assert interpret_int8(int8, x).values["fc"].ravel().tolist() == UP
