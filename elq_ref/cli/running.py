"""A Run on the terminal: a bar, a line at the end of every stage, two lines at the end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..runs.estimate import timed
from ..runs.run import Run
from ..training.stages import Step
from .output import progress, say

AT_CHANCE = "no better than naming the commonest class"


def carry_out(run: Run, *, resume: bool = False) -> dict[str, Any]:
    """Start or resume the run and finish it; its result. A run that is finished already is only read."""

    def bar(steps: Iterator[Step]) -> Iterator[Step]:
        for difference in run.state.differences if run.state else []:
            say(f"elq: since the run was saved, {difference}: the bits may differ")
        say(f"the packed network will have {run.packed_bytes():,} bytes")
        steps = timed(steps, run.left, run.measuring_seconds, say)
        return progress(steps, run.left, f"{run.plan.levels} {run.plan.method}")

    for stage in run.resume(bar) if resume else run.start(bar):
        say(stage_line(stage))
    return run.result()


def stage_line(record: dict[str, Any]) -> str:
    """One line of the log that a run makes."""

    def number(key: str) -> str:
        return f"{record[key]:.4f}" if key in record else "-"

    where = f"  band {record['band']:.1%}  beyond {record['beyond']:.1%}" if "band" in record else ""
    return (
        f"stage {record['stage']}/{record['stages'] - 1}  frozen {record['frozen']:6.1%}  L(W) {number('loss')}  "
        f"L(W_hat) {number('loss_hat')}  Lp {number('perturbation')}  E {number('error')}  "
        f"top-1 W {record['top1']:.2f} %  W_hat {record['top1_hat']:.2f} %{where}"
        + (f"  {record['sent'] / 1e6:.3g} MB sent a step" if "sent" in record else "")
    )


def result_text(result: dict[str, Any], what: str, method: str, kind: str = "test") -> str:
    """Two lines: how many pictures of a kind the packed network of `what` classifies, its size; and where it is."""
    right = f"{result['correct']} of {result['total']} {kind} images right ({result['top1']:.2f} %)"
    size = f"weights {result['weight_bytes']:,} bytes instead of {result['float_bytes']:,}"
    if result["packed_as_float"]:
        size += f" (two scales a layer, as {method} has them, do not fit the file's codes: packed as float32)"
    return f"{what}: {right}, {size}\n{result['packed']}"
