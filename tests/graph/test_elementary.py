"""graph.elementary against decimals of 50 digits; each element alone, ends and NaN; the bits themselves."""

import hashlib
from decimal import Decimal, getcontext

import numpy as np
import pytest

from elq_ref.graph import elementary

getcontext().prec = 50
ROOT_PI = Decimal("3.14159265358979323846264338327950288419716939937510582").sqrt()


def erf(x):
    """By the continued fraction of erfc from 2.5 on, below by the series whose signs alternate."""
    size = abs(x)
    if size >= Decimal("2.5"):
        below = Decimal(0)
        for k in range(400, 0, -1):
            below = Decimal(k) / 2 / (size + below)
        value = 1 - (-size * size).exp() / ROOT_PI / (size + below)
    else:
        total, term = Decimal(0), size
        for n in range(120):
            total += term / (2 * n + 1)
            term = -term * size * size / (n + 1)
        value = 2 / ROOT_PI * total
    return value.copy_sign(x)


EXACT = {
    "exp": lambda x: x.exp(),
    "expm1": lambda x: x.exp() - 1,
    "tanh": lambda x: 1 - 2 / ((2 * x).exp() + 1),
    "sigmoid": lambda x: 1 / (1 + (-x).exp()),
    "erf": erf,
}
BITS = {"exp": 51, "expm1": 50, "tanh": 50, "sigmoid": 51, "erf": 48}  # as the module says


@pytest.mark.parametrize("name", EXACT)
def test_the_relative_error_is_what_the_module_says(name):
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.uniform(-1, 1, 300), rng.uniform(-8, 8, 300), rng.uniform(-80, 80, 200), [1e-9, -3e-14]])
    if name in ("exp", "sigmoid"):
        x = np.concatenate([x, rng.uniform(-700, 700, 100)])
    worst = Decimal(0)
    for at, y in zip(x.tolist(), getattr(elementary, name)(x).tolist(), strict=True):
        exact = EXACT[name](Decimal(at))
        worst = max(worst, abs((Decimal(y) - exact) / exact))
    assert worst < Decimal(2) ** -BITS[name]
    assert worst > Decimal(2) ** -56  # the oracle is another computation


@pytest.mark.parametrize("name", EXACT)
def test_an_element_does_not_depend_on_the_others(name):
    rng = np.random.default_rng(2)
    x = rng.uniform(-7, 7, 100)
    function = getattr(elementary, name)
    alone = np.array([function(x[i : i + 1])[0] for i in range(len(x))])
    np.testing.assert_array_equal(function(x), alone)
    np.testing.assert_array_equal(function(x.reshape(4, 25).T), alone.reshape(4, 25).T)


def test_ends_and_what_is_no_number():
    x = np.array([np.inf, -np.inf, np.nan, 0.0, 1e300, -1e300])
    wanted = {
        "exp": [np.inf, 0, np.nan, 1, np.inf, 0],
        "expm1": [np.inf, -1, np.nan, 0, np.inf, -1],
        "tanh": [1, -1, np.nan, 0, 1, -1],
        "sigmoid": [1, 0, np.nan, 0.5, 1, 0],
        "erf": [1, -1, np.nan, 0, 1, -1],
    }
    for name, values in wanted.items():
        np.testing.assert_array_equal(getattr(elementary, name)(x), values)
    np.testing.assert_array_equal(elementary.exp(np.array([709.7, -745.0])), np.exp(np.array([709.7, -745.0])))


@pytest.mark.kernels
def test_these_are_the_bits_on_every_machine():
    """Of numbers that no generator made; elsewhere than where this was written too."""
    x = ((np.arange(20001) - 10000) * 7919 % 20011 - 10005) / 1024.0
    found = {name: hashlib.sha256(getattr(elementary, name)(x).tobytes()).hexdigest()[:16] for name in EXACT}
    assert found == {
        "exp": "83ed7ef3b12d385c",
        "expm1": "828ccc41c479f52f",
        "tanh": "1387ad6991c41d5f",
        "sigmoid": "bbdea053b856c249",
        "erf": "01a9d5885404334c",
    }
