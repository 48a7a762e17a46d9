"""The statements of the method, each computed two ways: what `elq verify` prints.

One family a file. Those on plain arrays, and on packed networks that they make themselves, need nothing; those on a
network that is trained take a Subject.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType

from . import (
    bits,
    bounds,
    calibrating,
    derivatives,
    deriving,
    folding,
    freezes,
    frequent,
    gaussian,
    groups,
    integers,
    optimum,
    partitions,
    replay,
    singles,
    tables,
    taylor,
    terms,
)
from .line import Line
from .subject import Subject

ON_ARRAYS = (optimum, singles, gaussian, partitions, replay, folding, bits, deriving, tables, integers, calibrating)
ON_A_NETWORK = (bounds, taylor, derivatives, terms, groups, freezes, frequent)
CHAPTERS = {  # the first word of a statement's name
    "1": "The bound",
    "2": "First order",
    "3": "Levels and scales",
    "4": "Gaussian weights",
    "5": "Gradients",
    "6": "Bands and freezes",
    "7": "The error that is left",
    "8": "Whole runs",
    "packed": "Packed networks",
    "integers": "Integers",
}
_CHAPTER = {"optimum": "3", "singles": "3", "gaussian": "4", "partitions": "6", "replay": "8"}
_CHAPTER |= {
    "bounds": "1",
    "taylor": "2",
    "derivatives": "5",
    "terms": "5",
    "groups": "5",
    "freezes": "6",
    "frequent": "6",
}
_CHAPTER |= dict.fromkeys(("folding", "bits"), "packed")
_CHAPTER |= dict.fromkeys(("deriving", "tables", "integers", "calibrating"), "integers")


def statements(subject: Subject | None = None) -> Iterator[Line]:
    """Check everything on `subject`, or, if it is None, on plain arrays, packed networks and a small network on the
    bundled digits; in the order of CHAPTERS. A family that cannot be computed is a statement that fails."""
    found: list[Line] = []
    if subject is None:
        for family in ON_ARRAYS:
            found += _complete(family, family.lines)
        subject = Subject.bundled()
    for family in ON_A_NETWORK:
        found += _complete(family, partial(family.lines, subject))
    order = list(CHAPTERS)
    yield from sorted(found, key=lambda line: order.index(line.chapter))


def _complete(family: ModuleType, lines: Callable[[], Iterator[Line]]) -> Iterator[Line]:
    """The lines of a family, and one that fails where the package stops it: a verdict, not the end of the command."""
    try:
        yield from lines()
    except Exception as error:
        name, what = family.__name__.rpartition(".")[2], " ".join(f"{type(error).__name__}: {error}".split())
        statement = f"{_CHAPTER[name]} {name}: computed to the end"
        yield Line(statement, "no error", what[:200], float("inf"), 0.0, "an error")


__all__ = ["CHAPTERS", "Line", "Subject", "statements"]
