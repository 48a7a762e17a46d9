"""The functions of one number on Fractions: exactly, or, where they are not rational, to more than 40 digits.

Decimals have e^x; erf is its series with alternating signs. Nothing here is shared with what is checked.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

DIGITS = 60
STEP = 2**160  # what is not rational is rounded to multiples of 1 / STEP
PI = Decimal("3.141592653589793238462643383279502884197169399375105820974944592307816406286209")


def exp(x: Fraction) -> Fraction:
    """e^x."""
    with localcontext() as context:
        context.prec = DIGITS
        return Fraction((Decimal(x.numerator) / Decimal(x.denominator)).exp())


def root(x: Decimal) -> Fraction:
    """The square root."""
    with localcontext() as context:
        context.prec = DIGITS
        return Fraction(x.sqrt())


def erf(x: Fraction) -> Fraction:
    """2 / sqrt(pi) sum of (-1)^n x^(2n + 1) / (n! (2n + 1)); +-1 beyond 9, which is right to 10^-36."""
    if abs(x) > 9:
        return Fraction(1 if x > 0 else -1)
    with localcontext() as context:
        context.prec = DIGITS + 40  # the largest terms are e^81
        at = Decimal(x.numerator) / Decimal(x.denominator)
        total, term, n = at, at, 0
        while n < at * at or abs(term) > Decimal(10) ** -DIGITS:
            n += 1
            term = -term * at * at / n
            total += term / (2 * n + 1)
        return Fraction(2 / PI.sqrt() * total)


def rounded(x: Fraction, step: int = STEP) -> Fraction:
    """The nearest multiple of 1 / step."""
    return Fraction(math.floor(x * step + Fraction(1, 2)), step)


def sigmoid(x: Fraction) -> Fraction:
    """1 / (1 + e^-x)."""
    return 1 / (1 + exp(-x))


def tanh(x: Fraction) -> Fraction:
    """1 - 2 / (1 + e^2x)."""
    return 1 - 2 / (1 + exp(2 * x))


def between(x: Fraction, low: Fraction, high: Fraction) -> Fraction:
    """min(max(x, low), high)."""
    return min(max(x, low), high)


def _gelu_tanh(x: Fraction) -> Fraction:
    return x * (1 + tanh(root(2 / PI) * (x + Fraction(0.044715) * x**3))) / 2


_RATIONAL: dict[str, Callable[[Fraction, dict[str, Fraction]], Fraction]] = {
    "clip": lambda x, a: between(x, a["low"], a["high"]),
    "leaky_relu": lambda x, a: x if x >= 0 else a["slope"] * x,
    "prelu": lambda x, a: x if x >= 0 else a["slope"] * x,
    "hard_sigmoid": lambda x, a: between(a["alpha"] * x + a["beta"], Fraction(0), Fraction(1)),
    "hard_swish": lambda x, a: x * between(x + 3, Fraction(0), Fraction(6)) / 6,
}
_OTHER: dict[str, Callable[[Fraction, dict[str, Fraction]], Fraction]] = {
    "sigmoid": lambda x, a: sigmoid(x),
    "tanh": lambda x, a: tanh(x),
    "silu": lambda x, a: x * sigmoid(x),
    "elu": lambda x, a: x if x > 0 else a["alpha"] * (exp(x) - 1),
    "gelu": lambda x, a: x * (1 + erf(x / root(Decimal(2)))) / 2,
    "gelu_tanh": lambda x, a: _gelu_tanh(x),
}
NAMES = (*_RATIONAL, *_OTHER)


def value(op: str, attributes: dict[str, Any], x: Fraction) -> Fraction:
    """f(x); `attributes` are floats, or Fractions."""
    numbers = {key: Fraction(number) for key, number in attributes.items()}
    return _RATIONAL[op](x, numbers) if op in _RATIONAL else rounded(_OTHER[op](x, numbers))
