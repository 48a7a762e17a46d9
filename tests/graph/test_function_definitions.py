"""Every function of one number against Python's math, number by number; at the ends of floats; the dtype stays."""

import math

import numpy as np
import pytest

from elq_ref.graph.functions import FUNCTIONS
from elq_ref.graph.nodes import Node
from elq_ref.graph.shapes import OPS

pytestmark = pytest.mark.kernels

NUMBERS = {
    "clip": {"low": -0.5, "high": 2.5},
    "leaky_relu": {"slope": 0.1},
    "hard_sigmoid": {"alpha": 1 / 6, "beta": 0.5},
    "elu": {"alpha": 0.7},
}
SLOPE = np.array([0.25, -0.5, 3.0], np.float32)
SIGMOID = {True: lambda x: 1 / (1 + math.exp(-x)), False: lambda x: math.exp(x) / (1 + math.exp(x))}
WANTED = {
    "relu": lambda x: x if x > 0 else 0.0,
    "clip": lambda x: sorted((-0.5, x, 2.5))[1],
    "leaky_relu": lambda x: x if x >= 0 else 0.1 * x,
    "sigmoid": lambda x: SIGMOID[x > 0](x),
    "tanh": math.tanh,
    "hard_sigmoid": lambda x: sorted((0.0, x / 6 + 0.5, 1.0))[1],
    "hard_swish": lambda x: 0.0 if x <= -3 else x if x >= 3 else x * (x + 3) / 6,
    "silu": lambda x: x * SIGMOID[x > 0](x),
    "elu": lambda x: x if x > 0 else 0.7 * math.expm1(x),
    "gelu": lambda x: x * (0.5 * math.erfc(-x / math.sqrt(2))),
    "gelu_tanh": lambda x: x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
}
X = np.concatenate([np.linspace(-9, 9, 721), [0.0, -0.0, 1e-30, -1e-30, 40.0, -40.0, 700.0, -700.0]])


def node(op):
    return Node(op, "f", ("input",), NUMBERS.get(op, {}), slope=SLOPE if op == "prelu" else None)


@pytest.mark.parametrize("op", sorted(WANTED))
def test_against_math(op):
    wanted = np.array([WANTED[op](float(x)) for x in X])
    np.testing.assert_allclose(FUNCTIONS[op](X, node(op)), wanted, rtol=1e-12, atol=1e-14)
    single = FUNCTIONS[op](X.astype(np.float32), node(op))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, wanted, rtol=1e-5, atol=1e-5)


def test_prelu_has_a_slope_for_every_channel():
    x = np.array([-2.0, 2.0])[None, None, :].repeat(3, 1)
    np.testing.assert_array_equal(FUNCTIONS["prelu"](x, node("prelu"))[0], [[-0.5, 2], [1, 2], [-6, 2]])


@pytest.mark.parametrize("op", sorted(FUNCTIONS))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_ends(op, dtype):
    most = np.finfo(dtype).max
    x = np.array([most, -most, 0, np.nan], dtype).reshape(1, 1, -1).repeat(3, 1)
    with np.errstate(over="raise" if op not in ("prelu", "elu") else "ignore"):
        y = FUNCTIONS[op](x, node(op))
    assert y.dtype == dtype
    assert y.shape == x.shape
    assert np.isnan(y[..., 3]).all()
    assert not np.isnan(y[..., :3]).any()


def test_all_functions_are_ops_of_one_value():
    assert set(WANTED) | {"prelu"} == set(FUNCTIONS)
    assert all(OPS[op].operands == (1, 1) for op in FUNCTIONS)
