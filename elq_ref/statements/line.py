"""Line: what one statement's check found; Compared, which finds it out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

EPS = float(np.finfo(np.float64).eps)
TINY = float(np.finfo(np.float64).tiny)
Number = float | list[float] | np.ndarray


@dataclass(frozen=True)
class Line:
    """One statement of the method, computed two ways.

    ways: what was compared with what. deviation: the largest difference, in the unit of `bound`, or the number of cases
    that contradict the statement; why: where the bound comes from. sides: what the two ways gave where they differ
    most; None where cases were counted.
    """

    statement: str
    equation: str
    ways: str
    deviation: float
    bound: float
    why: str
    sides: tuple[float, float] | None = None

    @property
    def holds(self) -> bool:
        """The verdict; a deviation that is no number does not hold."""
        return self.deviation <= self.bound

    @property
    def chapter(self) -> str:
        """The first word of the statement."""
        return self.statement.split()[0]


class Compared:
    """Pairs of numbers that should be the same, of which the pair that differs most is kept.

    deviation: inf before the first pair, for a check of nothing must fail; nan from the first that is no number on.
    """

    def __init__(self) -> None:
        self.count = 0
        self.deviation = float("inf")
        self.sides = (float("nan"), float("nan"))

    def see(self, left: Number, right: Number, unit: Number | None = None) -> None:
        """Take two numbers or arrays that differ by |left - right| / unit; unit None is 1 + |right|."""
        left, right = np.broadcast_arrays(np.asarray(left, np.float64), np.asarray(right, np.float64))
        if not left.size:
            return
        with np.errstate(invalid="ignore"):
            differences = np.abs(left - right) / (1 + np.abs(right) if unit is None else unit)
        self.judge(left, right, differences)

    def judge(self, left: np.ndarray, right: np.ndarray, differences: np.ndarray) -> None:
        """Take arrays of one shape with deviations that the caller has found."""
        worst = int(np.argmax(np.where(np.isnan(differences), np.inf, differences)))
        found = float(differences.flat[worst])
        if not self.count or np.isnan(found) or found > self.deviation:  # nothing is > nan: it stays
            self.deviation, self.sides = found, (float(left.flat[worst]), float(right.flat[worst]))
        self.count += left.size

    def line(self, statement: str, equation: str, ways: str, bound: float, why: str) -> Line:
        """The Line of what was seen."""
        return Line(statement, equation, ways, self.deviation, bound, why, self.sides)


class Counted:
    """Cases that agree with a statement or contradict it. deviation: of those that contradict; inf without a case."""

    def __init__(self) -> None:
        self.count = self.wrong = 0

    def see(self, left: object, right: object) -> None:
        """Take two values, or arrays of one shape (another shape is a contradiction), that should be equal; nan is
        equal to nan, and -0.0 to 0.0."""
        a, b = np.asarray(left), np.asarray(right)
        self.count += max(a.size, b.size, 1)
        self.wrong += max(a.size, b.size, 1) if a.shape != b.shape else int(((a != b) & ~((a != a) & (b != b))).sum())

    @property
    def deviation(self) -> float:
        return float(self.wrong) if self.count else float("inf")

    def line(self, statement: str, equation: str, ways: str) -> Line:
        """The Line of what was seen; {count} in `ways` is the number of cases."""
        return Line(statement, equation, ways.format(count=f"{self.count:,}"), self.deviation, 0.0, "a count")


def largest(values: Iterable[float]) -> float:
    """The largest of the values, nan if one is no number; inf if there are none: a check of nothing must fail."""
    values = list(values)
    return float(np.max(values)) if values else np.inf
