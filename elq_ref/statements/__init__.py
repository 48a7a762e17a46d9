"""The statements of the method, each computed two ways: what `elq verify` prints.

One family a file. Those on plain arrays, and on packed networks that they make themselves, need nothing; those on a
network that is trained take a Subject.
"""

from __future__ import annotations

from collections.abc import Iterator

from . import (
    bits,
    bounds,
    calibrating,
    derivatives,
    deriving,
    folding,
    freezes,
    gaussian,
    integers,
    optimum,
    partitions,
    replay,
    singles,
    taylor,
    terms,
)
from .line import Line
from .subject import Subject

ON_ARRAYS = (optimum, singles, gaussian, partitions, replay, folding, bits, deriving, integers, calibrating)
ON_A_NETWORK = (bounds, taylor, derivatives, terms, freezes)
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


def statements(subject: Subject | None = None) -> Iterator[Line]:
    """Check everything on `subject`, or, if it is None, on plain arrays, packed networks and a small network on the
    bundled digits; in the order of CHAPTERS."""
    found = [] if subject is not None else [line for family in ON_ARRAYS for line in family.lines()]
    subject = subject or Subject.bundled()
    found += [line for family in ON_A_NETWORK for line in family.lines(subject)]
    order = list(CHAPTERS)
    yield from sorted(found, key=lambda line: order.index(line.chapter))


__all__ = ["CHAPTERS", "Line", "Subject", "statements"]
