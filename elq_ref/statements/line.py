"""Line: what one statement's check found."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Line:
    """One statement of the method, computed two ways.

    ways: what was compared with what. deviation: the largest difference, in the unit of `bound`, or the number of cases
    that contradict the statement; why: where the bound comes from.
    """

    statement: str
    equation: str
    ways: str
    deviation: float
    bound: float
    why: str

    @property
    def holds(self) -> bool:
        """The verdict; a deviation that is no number does not hold."""
        return self.deviation <= self.bound


def largest(values: Iterable[float]) -> float:
    """The largest of the values, nan if one is no number; inf if there are none: a check of nothing must fail."""
    values = list(values)
    return float(np.max(values)) if values else np.inf


def relative(a: float | np.ndarray, b: float | np.ndarray) -> float:
    """max |a - b| / (1 + |b|)."""
    return float(np.max(np.abs(np.subtract(a, b)) / (1 + np.abs(b))))
