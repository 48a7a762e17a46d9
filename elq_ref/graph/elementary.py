"""exp, tanh, erf of float64 with the same bits on every machine: made of additions, products, quotients, roundings to
integers and powers of two, which IEEE 754 defines to the last bit. NumPy's and the C library's own differ in last bits
from one instruction set, or version, to the next.

Relative errors, tests/graph/test_elementary.py: exp and sigmoid below 2^-51, expm1 and tanh 2^-50, erf 2^-48.
"""

from __future__ import annotations

import math

import numpy as np

_LOG2E = float.fromhex("0x1.71547652b82fep+0")
_LN2_HIGH = float.fromhex("0x1.62e42fefa0000p-1")  # 17 zeros at its end: k times it is exact
_LN2_LOW = float.fromhex("0x1.cf79abc9e3b39p-40")
_INVERSE = [1 / math.factorial(n) for n in range(15)]
_TWO_BY_ROOT_PI = float.fromhex("0x1.20dd750429b6dp+0")
_ERF_IS_ONE = 6.0  # 1 - erf(6) < 2^-55


def _reduced(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(k, e^r - 1) with x = k log 2 + r, |r| <= log(2) / 2, by the series of e^r."""
    k = np.floor(x * _LOG2E + 0.5)
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    series = np.full_like(r, _INVERSE[-1])
    for coefficient in _INVERSE[-2:1:-1]:
        series = series * r + coefficient
    return k.astype(np.int64), r + r * r * series


def exp(x: np.ndarray) -> np.ndarray:
    """e^x of float64 x, 0 and infinity beyond its range; NaN of a NaN."""
    inside = np.clip(x, -750.0, 750.0)
    k, less_one = _reduced(np.nan_to_num(inside))
    with np.errstate(over="ignore", under="ignore"):
        y: np.ndarray = np.where(np.isnan(x), x, np.ldexp(1 + less_one, k))
    return y


def expm1(x: np.ndarray) -> np.ndarray:
    """e^x - 1 of float64 x, without the cancellation near 0."""
    k, less_one = _reduced(np.nan_to_num(np.clip(x, -1.0, 1.0)))
    y: np.ndarray = np.where(k == 0, less_one, exp(x) - 1)
    return np.where(np.isnan(x), x, y)


def tanh(x: np.ndarray) -> np.ndarray:
    """(1 - e^(-2 |x|)) / (1 + e^(-2 |x|)) with the sign of x, of float64 x."""
    less_one = expm1(-2 * np.minimum(np.abs(x), 400))  # far beyond, tanh is 1
    y: np.ndarray = np.copysign(-less_one / (less_one + 2), x)
    return y


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + e^-x) of float64 x."""
    y: np.ndarray = 1 / (1 + exp(-x))
    return y


def erf(x: np.ndarray) -> np.ndarray:
    """2 / sqrt(pi) * e^(-x^2) * sum of 2^n x^(2n + 1) / (1 * 3 * .. * (2n + 1)), of float64 x; +-1 from 6 on.

    All terms have one sign. They are added until none changes its sum, so that no element depends on the others.
    """
    z = np.nan_to_num(np.clip(x, -_ERF_IS_ONE, _ERF_IS_ONE))
    square = z * z
    term, total, n = z.copy(), z.copy(), 0
    while True:
        n += 1
        term = term * (2 * square) / (2 * n + 1)
        new = total + term
        if np.array_equal(new, total) and (2 * square <= 2 * n + 3).all():
            break
        total = new
    y = _TWO_BY_ROOT_PI * exp(-square) * total
    y = np.where(np.abs(x) >= _ERF_IS_ONE, np.sign(x), y)
    return np.where(np.isnan(x), x, y)
