"""Runs beside each other: mean and spread over seeds, and paired differences with their interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .run_record import RunRecord

LEVEL = 0.95
_ORDER = ("float", "ternary", "binary")


class Group(NamedTuple):
    """The runs of one label, one a seed, in the order of the seeds."""

    label: str
    runs: list[RunRecord]

    @property
    def top1(self) -> np.ndarray:
        """Per cent, one a run."""
        return np.array([run.top1 for run in self.runs])


def grouped(runs: Sequence[RunRecord]) -> list[Group]:
    """Groups of runs that differ by their seed alone: float, ternary, binary, the best mean first.

    ValueError where a label has a seed twice, or runs with different plans, checkpoints or tests: their mean would mean
    nothing.
    """
    groups: dict[str, list[RunRecord]] = {}
    for run in runs:
        groups.setdefault(run.label, []).append(run)
    for label, members in groups.items():
        first = members[0]
        for run in members[1:]:
            for what in ("plan", "sgd", "checkpoint", "recipe"):
                if run.config.get(what) != first.config.get(what):
                    raise ValueError(f"{first.path} and {run.path} are both {label}, but differ in their {what}")
        seeds = [run.seed for run in members]
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"{label} is given twice for one seed: {', '.join(str(run.path) for run in members)}")
    totals = {(run.config.get("recipe"), run.result["total"]) for run in runs}
    if len(totals) > 1:
        found = ", ".join(f"{total:,} of {name or 'quantize'}" for name, total in sorted(totals, key=str))
        raise ValueError(f"the runs were measured on different pictures: {found}")
    made = [Group(label, sorted(members, key=lambda run: run.seed)) for label, members in groups.items()]
    return sorted(made, key=lambda group: (_ORDER.index(group.runs[0].levels), -group.top1.mean()))


def differences(group: Group, other: Group) -> np.ndarray:
    """top1 of `group` minus that of `other`, one a seed that both have."""
    theirs = {run.seed: run.top1 for run in other.runs}
    return np.array([run.top1 - theirs[run.seed] for run in group.runs if run.seed in theirs])


def half_interval(values: np.ndarray, level: float = LEVEL) -> float:
    """Half the width of Student's t interval for the mean of `values`; NaN for fewer than two."""
    n = len(values)
    return t_quantile((1 + level) / 2, n - 1) * float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan


def t_quantile(p: float, freedom: int) -> float:
    """t with P(T < t) = p for Student's T, 1/2 <= p < 1, to 1e-6: bisection of the integral in T = tan(theta) sqrt(nu).

    The density of theta is cos(theta)^(nu - 1) over [-pi/2, pi/2], up to a factor.
    """
    theta = np.linspace(0, math.pi / 2, 200_001)
    y = np.cos(theta) ** (freedom - 1)
    mass = np.concatenate([[0.0], np.cumsum((y[1:] + y[:-1]) / 2)])
    at = float(np.interp(2 * p - 1, mass / mass[-1], theta))
    return math.tan(at) * math.sqrt(freedom)


def table(groups: Sequence[Group], against: str) -> list[list[str]]:
    """Cells, the head first: a group a row, with its paired difference from the group `against`, if that is there."""
    reference = next((group for group in groups if group.label == against), None)
    head = ["", "runs", "mean %", "sd", "least", "most"]
    rows = [[*head, *([f"minus {against}", "95 % interval"] if reference else [])]]
    for group in groups:
        top1 = group.top1
        spread = f"{top1.std(ddof=1):.2f}" if len(top1) > 1 else "-"
        row = [group.label, str(len(top1)), f"{top1.mean():.2f}", spread, f"{top1.min():.2f}", f"{top1.max():.2f}"]
        if reference:
            row += _difference(group, reference)
        rows.append(row)
    return rows


def _difference(group: Group, reference: Group) -> list[str]:
    if group is reference:
        return ["", ""]
    d = differences(group, reference)
    if not len(d):
        return ["-", "no seed in common"]
    half = half_interval(d)
    return [f"{d.mean():+.2f}", "-" if math.isnan(half) else f"{d.mean() - half:+.2f} to {d.mean() + half:+.2f}"]
