"""Runs beside each other: mean and spread over seeds, and paired differences with their interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .config import changes
from .record import RunRecord

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

    ValueError where a label has a seed twice, or runs that differ by more than the seed, or where runs were measured on
    different pictures: a mean or an order would mean nothing.
    """
    groups: dict[str, list[RunRecord]] = {}
    for run in runs:
        groups.setdefault(run.label, []).append(run)
    for label, members in groups.items():
        first = members[0]
        for run in members[1:]:
            if what := ", ".join(changes(first.config, run.config, apart=("seed",))):
                raise ValueError(f"{first.place} and {run.place} are both {label}, but differ in their {what}")
        seeds = [run.seed for run in members]
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"{label} is given twice for one seed: {', '.join(run.place for run in members)}")
    judged = {(str(run.config.get("recipe") or run.config.get("data")), run.result["total"]) for run in runs}
    if len(judged) > 1:
        found = ", ".join(f"{total:,} of {name}" for name, total in sorted(judged, key=str))
        raise ValueError(f"the runs were measured on different pictures: {found}")
    made = [Group(label, sorted(members, key=lambda run: run.seed)) for label, members in groups.items()]
    return sorted(made, key=lambda group: (_ORDER.index(group.runs[0].levels), -group.top1.mean()))


def reference(groups: Sequence[Group], label: str | None) -> Group | None:
    """The group that differences are taken from: float where no label is given and it is there.

    ValueError if there is no group of the label that is given.
    """
    found = next((group for group in groups if group.label == (label or "float")), None)
    if label and found is None:
        raise ValueError(f"no run is {label!r}; there are: {', '.join(group.label for group in groups)}")
    return found


def unlike(group: Group, other: Group) -> str:
    """Why a difference of two groups would say little about their methods; empty if it does."""
    (mine, theirs) = (g.runs[0] for g in (group, other))
    if mine.config.get("checkpoint") != theirs.config.get("checkpoint"):
        return "another checkpoint"
    if not math.isclose(mine.passes_over_data, theirs.passes_over_data):
        return "other passes"
    return "" if len(differences(group, other)) else "no seed in common"


def differences(group: Group, other: Group) -> np.ndarray:
    """top1 of `group` minus that of `other`, one a seed that both have."""
    theirs = {run.seed: run.top1 for run in other.runs}
    return np.array([run.top1 - theirs[run.seed] for run in group.runs if run.seed in theirs])


def over_images(group: Group, other: Group) -> np.ndarray | None:
    """Of each image the share of the seeds that both have which have it right, `group` minus `other`: (N), in per cent.

    None unless all these runs say which they have right. Its mean is that of `differences`; its `half_interval` is what
    other images would change by chance, with these very networks.
    """
    theirs = {run.seed: run.right for run in other.runs}
    gaps = []
    for run in group.runs:
        if run.seed in theirs:
            mine, yours = run.right, theirs[run.seed]
            if mine is None or yours is None:
                return None
            gaps.append(100.0 * mine - 100.0 * yours)
    return np.mean(gaps, axis=0) if gaps else None


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


def table(groups: Sequence[Group], against: Group | None) -> list[list[str]]:
    """Cells, the head first: a group a row, with its paired difference from the group `against`."""
    head = ["", "passes", "runs", "mean %", "sd", "least", "most"]
    known = against and any(over_images(g, against) is not None for g in groups if g is not against)
    differs = ["95 % interval", "over the images"] if known else ["95 % interval"]
    rows = [[*head, *([f"minus {against.label}", *differs] if against else [])]]
    for group in groups:
        top1 = group.top1
        spread = f"{top1.std(ddof=1):.2f}" if len(top1) > 1 else "-"
        row = [group.label, f"{group.runs[0].passes_over_data:g}", str(len(top1)), f"{top1.mean():.2f}", spread]
        row += [f"{top1.min():.2f}", f"{top1.max():.2f}"]
        if against:
            row += _difference(group, against)[: 1 + len(differs)]
        rows.append(row)
    return rows


def _difference(group: Group, other: Group) -> list[str]:
    if group is other:
        return ["", "", ""]
    if why := unlike(group, other):
        return ["-", why, "-"]
    d = differences(group, other)
    return [f"{d.mean():+.2f}", _interval(d), _interval(over_images(group, other))]


def _interval(values: np.ndarray | None) -> str:
    if values is None or len(values) < 2:
        return "-"
    mean, half = values.mean(), half_interval(values)
    return f"{mean - half:+.2f} to {mean + half:+.2f}"
