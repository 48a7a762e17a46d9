"""The statements of the method, each computed two ways: what `elq verify` prints.

One family a file. Those on plain arrays need no network; those on a network take a Subject.
"""

from __future__ import annotations

from collections.abc import Iterator

from . import bounds, derivatives, freezes, gaussian, optimum, partitions, replay, taylor
from .line import Line
from .subject import Subject

ON_ARRAYS = (optimum, gaussian, partitions, replay)
ON_A_NETWORK = (bounds, taylor, derivatives, freezes)


def statements(subject: Subject | None = None) -> Iterator[Line]:
    """Check everything on `subject`, or on plain arrays and a small network on the bundled digits if it is None."""
    if subject is None:
        for family in ON_ARRAYS:
            yield from family.lines()
        subject = Subject.bundled()
    for family in ON_A_NETWORK:
        yield from family.lines(subject)


__all__ = ["Line", "Subject", "statements"]
