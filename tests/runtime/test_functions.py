"""The row functions of one float, of every instruction set that runs here: how far from exact (float64), what is no
number, and that no bit depends on where an element lies."""

from dataclasses import replace

import numpy as np
import pytest
from runtime_kernels import U, infer, needs_infer
from scipy.special import expit, ndtr

from elq_ref.graph.functions import FUNCTIONS
from elq_ref.graph.nodes import Node
from elq_ref.runtime.instructions import NUMBERS, Instruction

pytestmark = [pytest.mark.kernels, needs_infer]
TINY = 2.0**-149
ATTRIBUTES = {
    "clip": {"low": -1.5, "high": 4.0},
    "leaky_relu": {"slope": 0.3},
    "hard_sigmoid": {"alpha": 0.2, "beta": 0.45},
    "elu": {"alpha": 1.7},
}
SLOPE = np.linspace(-1, 2, 7).astype(np.float32)
NAMES = [n for n in (infer.rows() if infer else []) if n.split("_f32__")[0] in FUNCTIONS and "__" in n]


def number(op, name):
    return float(np.float32(ATTRIBUTES[op][name]))


def exact_gelu_tanh(x):
    near = x.clip(-40, 40)
    return x * expit(2 * np.sqrt(2 / np.pi) * (near + 0.044715 * near**3))


# op: the exact function of float64, and the bound that infer/functions.inc.h states
EXACT = {
    "clip": (lambda x: x.clip(-1.5, 4), lambda x, y: 0 * y),
    "leaky_relu": (lambda x: np.where(x < 0, number("leaky_relu", "slope") * x, x), lambda x, y: U * abs(y) + TINY),
    "sigmoid": (expit, lambda x, y: 4 * U * y + 2.0**-142),
    "tanh": (np.tanh, lambda x, y: 4 * U * abs(y) + 2.0**-142),
    "hard_sigmoid": (
        lambda x: (number("hard_sigmoid", "alpha") * x + number("hard_sigmoid", "beta")).clip(0, 1),
        lambda x, y: 2 * U * (0.2 * abs(x).clip(0, 9) + 0.45),
    ),
    "hard_swish": (lambda x: x * (x + 3).clip(0, 6) / 6, lambda x, y: 4 * U * abs(x) + TINY),
    "silu": (lambda x: x * expit(x), lambda x, y: 4 * U * abs(y) + 2.0**-142),
    "elu": (
        lambda x: np.where(x > 0, x, number("elu", "alpha") * np.expm1(np.minimum(x, 0))),
        lambda x, y: 4 * U * abs(y) + 2.0**-142,
    ),
    "gelu": (lambda x: x * ndtr(x), lambda x, y: 4 * U * abs(x) + TINY),
    "gelu_tanh": (exact_gelu_tanh, lambda x, y: 4 * U * abs(x) + TINY),
}


def run(name, x):
    """y of x float32 (rows, columns, channels), by the row function `name` alone."""
    op = name.split("_f32__")[0]
    numbers = np.array([ATTRIBUTES[op][n] for n in NUMBERS[op]], np.float32) if op in NUMBERS else None
    one = Instruction("y", op, ("x",), x.shape, x.shape, rows=name, numbers=SLOPE if op == "prelu" else numbers)
    program = infer.Program([replace(one, x=("input", 0), y=("output", 0))], 0, x.nbytes, x.nbytes)
    y = np.empty_like(x)
    program.run(x[None], y[None])
    return y


def inputs():
    """Finite floats: of every size, and the more the nearer to where functions bend."""
    spread = np.arange(0, 2**32, 9973, np.uint32).view(np.float32)
    near = np.concatenate([np.linspace(-a, a, 60001) for a in (1, 12, 110)])
    x = np.concatenate([spread[np.isfinite(spread)], near.astype(np.float32)])
    return x[: x.size // 7 * 7].reshape(1, -1, 7)


@pytest.mark.parametrize("name", [n for n in NAMES if "prelu" not in n])
def test_they_are_as_exact_as_they_say(name):
    exact, bound = EXACT[name.split("_f32__")[0]]
    x = inputs()
    y, real = run(name, x), x.astype(np.float64)
    with np.errstate(over="ignore"):
        wanted = exact(real)
    assert np.all(np.abs(y - wanted) <= bound(real, wanted))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_number_and_zeros_are_the_definitions(name):
    op = name.split("_f32__")[0]
    special = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 3e38, -3e38, 1e-45, -1e-45], np.float32)
    x = np.repeat(special, 7).reshape(1, -1, 7)
    attributes = {name: float(np.float32(v)) for name, v in ATTRIBUTES.get(op, {}).items()}
    node = Node(op, "y", ("x",), attributes, slope=SLOPE if op == "prelu" else None)
    with np.errstate(all="ignore"):
        wanted = FUNCTIONS[op](x.transpose(0, 2, 1), node).transpose(0, 2, 1)
    y = run(name, x)
    np.testing.assert_allclose(y, wanted, rtol=1e-6, atol=1e-44)
    signed = (x == 0) & (wanted == 0)
    np.testing.assert_array_equal(np.signbit(y[signed]), np.signbit(x[signed]))  # NumPy's minimum takes either zero


@pytest.mark.parametrize("name", NAMES)
def test_an_element_has_the_same_bits_wherever_it_lies(name):
    rng = np.random.default_rng(5)
    x = (4 * rng.standard_normal((1, 29, 7))).astype(np.float32)
    whole = run(name, x)
    for first in range(0, 29, 3):
        np.testing.assert_array_equal(
            run(name, np.ascontiguousarray(x[:, first : first + 2])), whole[:, first : first + 2]
        )


def test_the_best_set_comes_first_and_a_name_is_refused_that_is_none():
    best = infer.rows_name("silu_f32")
    assert best == next(n for n in infer.rows() if n.startswith("silu_f32"))
    assert infer.rows_name("silu_f32__generic") == "silu_f32__generic"
    with pytest.raises(ValueError, match="no instruction 'silu'"):
        infer.rows_name("silu")
