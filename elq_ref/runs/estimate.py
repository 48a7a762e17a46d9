"""How long a run will take, by the clock, from its first steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta

from ..datasets import Dataset
from ..nn import Module
from ..training.evaluate import evaluate
from ..training.stages import Step

STEPS = 5  # that are measured, behind the first, which takes what all of them use again
MEASURED = 64  # pictures
LEAST = 10.0  # seconds below which nobody wants to know


def timed(steps: Iterator[Step], left: int, aside: Callable[[], float], say: Callable[[str], None]) -> Iterator[Step]:
    """The steps, and once some of them have run, in words how long all that are `left` will take.

    aside() measures the seconds of what a run does besides its steps. Nothing is said of a run of some seconds.
    """
    begin = 0.0
    for count, step in enumerate(steps):
        yield step
        if count == 0:
            begin = time.monotonic()
        if count == STEPS:
            each = (time.monotonic() - begin) / STEPS
            seconds = each * (left - count - 1) + (aside() if each * left >= LEAST else 0)
            if seconds >= LEAST:
                say(words(seconds, left - count - 1, each))


def evaluation_seconds(net: Module, judge: Dataset, pictures: int | None = None) -> float:
    """About how long the evaluation of `pictures`, or of all of `judge`, takes; measured on a few."""
    some = judge.subset(slice(MEASURED))
    start = time.perf_counter()
    evaluate(net, some)
    return (time.perf_counter() - start) / len(some) * (len(judge) if pictures is None else pictures)


def words(seconds: float, steps: int, each: float) -> str:
    """ "about 1:02:00 for ..."."""
    return f"about {timedelta(seconds=round(seconds))} to go: {steps:,} steps of {each:.3g} s, and what is measured"
