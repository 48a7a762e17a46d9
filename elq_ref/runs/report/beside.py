"""Runs beside each other: final accuracies with mean and interval, and the way there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..comparison import Group, half_interval
from .style import look, styled

OUTLYING = 8.0  # points


@styled
def beside(groups: Sequence[Group]) -> Figure:
    """Left: top-1 of the packed networks, a dot a seed, their mean and its 95 % interval; what lies `OUTLYING` points
    below the median stands at the edge. Right: accuracy of W_hat over passes, mean and range over seeds."""
    figure = Figure(figsize=(7.2, max(2.6, 0.42 * len(groups) + 1.2)), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    edge = np.median([group.top1.mean() for group in groups]) - OUTLYING
    for y, group in enumerate(groups):
        (colour, line), top1 = look(y), group.top1
        if top1.mean() > edge:
            left.plot(top1, np.full(len(top1), y), "o", color=colour, markersize=4, alpha=0.6)
            half = half_interval(top1) if len(top1) > 1 else None
            left.errorbar([top1.mean()], [y], xerr=half, fmt="|", color=colour, markersize=14, capsize=3)
        else:  # so far below that the others would stand in one heap
            left.plot([edge], [y], "<", color=colour, markersize=6)
        left.annotate(f"{top1.mean():.2f}", (max(edge, top1.mean()), y), xytext=(0, 9), textcoords="offset points",
                      ha="center", fontsize=7.5)  # fmt: skip
        _way(right, group, colour, line)
    left.margins(x=0.12)
    left.set_yticks(range(len(groups)), [f"{g.label} ({len(g.runs)})" for g in groups])
    left.set_ylim(len(groups) - 0.5, -0.7)
    left.grid(False, axis="y")
    left.set_xlabel("top-1 %, packed network")
    judge = groups[0].runs[0].config.get("judge", "test images")
    right.set_ylim(bottom=max(right.get_ylim()[0], edge - OUTLYING))
    right.set_xlabel("updates")
    right.set_ylabel(f"top-1 % of W_hat\n{judge}")
    right.legend(loc="lower right", fontsize=7)
    return figure


def _way(axes: Axes, group: Group, colour: str, line: str) -> None:
    by_step: dict[int, list[float]] = {}
    for run in group.runs:
        for measured in run.measured:
            by_step.setdefault(measured["step"], []).append(measured["top1_hat"])
    steps = sorted(by_step)
    means = [np.mean(by_step[s]) for s in steps]
    axes.plot(steps, means, line, color=colour, marker=".", markersize=4, label=group.label)
    low, high = ([f(by_step[s]) for s in steps] for f in (min, max))
    axes.fill_between(steps, low, high, color=colour, alpha=0.18, linewidth=0)
