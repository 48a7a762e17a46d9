"""Finished runs as lines of one file: what of a run is worth committing. runs.record reads them."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows has none: there two processes must not add to one file at a time
    fcntl = None  # type: ignore[assignment]

from ..files import atomic_write
from .record import MEASURED, RunRecord, names_in

BLOCKS = 120  # steps of a run that a line has, each the mean of as many steps


def add_run(file: str | os.PathLike[str], name: str, run: RunRecord, *, curves: bool = False) -> None:
    """Add a run to a file of runs, whose lines stay in the order of their names; the file is made if there is none.

    A line has all that tables are made of, 3 kB; with `curves` also the steps, as means over blocks, and the layers, of
    which a report draws plots, 80 kB more. ValueError if the file has a run of this name.
    """
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    with _alone(file.parent):
        lines = dict(zip(names_in(file), file.read_text().splitlines(), strict=True)) if file.exists() else {}
        if name in lines:
            raise ValueError(f"{file} has a run {name} already")
        lines[name] = line_of(name, run, curves=curves)
        with atomic_write(file) as temporary:
            temporary.write_text("".join(f"{lines[key]}\n" for key in sorted(lines)))


def line_of(name: str, run: RunRecord, *, curves: bool = False) -> str:
    """The run as a line, without its end."""
    line: dict[str, Any] = {"name": name, "config": run.config | {"plan": run.plan.to_json()}, "result": run.result}
    line |= {"stages": run.stages, "passes": run.passes}
    if curves:
        line |= {"steps": thinned(run.steps), "layers": run.layers}
    return json.dumps(line, allow_nan=False, separators=(",", ":"))


def thinned(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over blocks of steps of one stage, placed at the block's last step; "steps" says of how many."""
    size = max(1, len(steps) // BLOCKS)
    means = []
    for stage, lines in itertools.groupby(steps, lambda step: step["stage"]):
        members = list(lines)
        for part in blocks(len(members), size):
            block = members[part]
            place = {"step": block[-1]["step"], "stage": stage, "steps": sum(step.get("steps", 1) for step in block)}
            means.append(place | {key: _mean(step[key] for step in block) for key in MEASURED})
    return means


def blocks(count: int, size: int) -> list[slice]:
    """`count` things cut into blocks of about `size`, as equal as can be: no short rest that a mean would jump in."""
    parts = max(1, round(count / size))
    ends = [count * (i + 1) // parts for i in range(parts)]
    return [slice(a, b) for a, b in zip([0, *ends], ends, strict=False)]


def _mean(values: Iterable[float | None]) -> float | None:
    seen = [v for v in values if v is not None]
    return round(sum(seen) / len(seen), 6) if seen else None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else adds to a file of the folder meanwhile: two would each write the file without the other's run."""
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
