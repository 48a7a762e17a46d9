"""The constants of int8 inference, each checked when it is made: how sums, products and additions become int8, and
what a function of one int8 number gives. docs/arithmetic.md defines what they mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..graph.nodes import frozen_array

LOW, HIGH = -128, 127
CONSTANT_SHIFT = 33  # s_o of a constant channel
Clamp = tuple[int, int]  # lo, hi


@dataclass(frozen=True, eq=False)
class Requantize:
    """How sums become int8: y_o = clamp((((sum_o + b_o) << l) * q_o + 2^(s_o - 1)) >> s_o, lo, hi).

    l: 0 to 29. b int32, q int32 in 2^30 .. 2^31 - 1, s uint8 in 33 .. 62, each (O): one an output channel; of an
    average one a number of elements that it divides by; of a product one. A constant channel has q_o = 0, s_o = 33, and
    its value in b_o; its weights do not matter.
    """

    l: int
    b: np.ndarray
    q: np.ndarray
    s: np.ndarray

    def __post_init__(self) -> None:
        for name, dtype in (("b", np.int32), ("q", np.int32), ("s", np.uint8)):
            object.__setattr__(self, name, frozen_array(name, getattr(self, name), dtype, self.q.shape))
        if type(self.l) is not int or not 0 <= self.l <= 29:
            raise ValueError(f"l is {str(self.l)[:40]}, wanted 0 to 29")
        constant = self.constant
        if not (constant | (self.q >= 1 << 30)).all():
            raise ValueError("a q is neither 0 nor 2^30 to 2^31 - 1")
        if not np.where(constant, self.s == CONSTANT_SHIFT, (self.s >= 33) & (self.s <= 62)).all():
            raise ValueError("an s is not 33 to 62, or not 33 in a constant channel")

    @property
    def constant(self) -> np.ndarray:
        """Which channels are constant, bool (O)."""
        constant: np.ndarray = self.q == 0
        return constant

    def prove(self, sums: np.ndarray, clamp: Clamp = (LOW, HIGH)) -> None:
        """Refuse (ValueError) what could leave int32: (sum|w| * 128 + |b|) * 2^l < 2^31 for every channel; and a
        constant outside lo .. hi.
        """
        lo, hi = clamp
        worst = sums * 128 + np.abs(self.b.astype(np.int64))
        if (worst << self.l >= 1 << 31).any():
            raise ValueError(f"sums of up to {worst.max()}, shifted by l = {self.l}, do not fit 32 bits")
        if (self.constant & ((self.b < lo) | (self.b > hi))).any():
            raise ValueError(f"a constant channel is outside {lo} to {hi}")


@dataclass(frozen=True)
class AddScales:
    """How two int8 values are added: y = clamp((x1 q1 + x2 q2 + 2^(s - 1)) >> s, lo, hi); 0 <= q < 2^22,
    1 <= s <= 31.
    """

    q1: int
    q2: int
    s: int

    def __post_init__(self) -> None:
        for name, least, most in (("q1", 0, (1 << 22) - 1), ("q2", 0, (1 << 22) - 1), ("s", 1, 31)):
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise ValueError(f"{name} is {str(value)[:40]}, wanted {least} to {most}")


@dataclass(frozen=True, eq=False)
class Tables:
    """What every int8 becomes: y = data[k, x + 128], int8 (K, 256). A function has one, or one a channel (prelu); a
    concat has one an operand.
    """

    data: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", frozen_array("tables", self.data, np.int8, (len(self.data), 256)))


Constants = Requantize | AddScales | Tables


def check_clamp(clamp: Clamp) -> None:
    """Refuse (ValueError) the ends of a clamp that are no int8, or in another order."""
    if len(clamp) != 2 or not all(type(end) is int for end in clamp) or not LOW <= clamp[0] <= clamp[1] <= HIGH:
        raise ValueError(f"the clamp is {str(tuple(clamp))[:40]}, wanted {LOW} <= lo <= hi <= {HIGH}")


def to_int8(x: np.ndarray, scale: float) -> np.ndarray:
    """Real numbers x to int8: clamp(floor(x / scale + 1/2), -128, 127) in float64; NaN becomes 0."""
    steps = np.floor(x.astype(np.float64) / scale + 0.5)
    return np.nan_to_num(steps, nan=0.0).clip(LOW, HIGH).astype(np.int8)
