"""Accuracy and losses over the steps of one run."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from ..lines import blocks
from ..record import RunRecord
from .style import FROZEN, GRAY, W_HAT, W, styled

BLOCKS = 80  # points of a smoothed loss curve
_BESIDE = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "labelspacing": 0.9}


def _kind(run: RunRecord) -> str:
    return "held-out images" if "held-out" in run.config.get("judge", "") else "test images"


@styled
def curves(run: RunRecord) -> Figure:
    """Accuracy of W and W_hat (above), L(W) and L(W_hat) of the training batches (below), the ends of stages."""
    figure = Figure(figsize=(8.6, 4.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1))
    _accuracies(above, run)
    _losses(below, run)
    for axes in (above, below):
        for stage in run.stages[:-1]:
            axes.axvline(stage["step"], color=GRAY, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set_xlim(0, run.steps[-1]["step"] if run.steps else None)
    _stage_names(above, run)
    below.set_xlabel("updates")
    return figure


def _accuracies(axes: Axes, run: RunRecord) -> None:
    points = run.measured
    x = [line["step"] for line in points]
    names = [("top1", "W, as it stands", W, "o"), ("top1_hat", "W_hat, fully quantized", W_HAT, "s")]
    for key, label, colour, marker in names[:1] if run.levels == "float" else names:
        axes.plot(x, [line[key] for line in points], color=colour, marker=marker, markersize=3.5, label=label)
    total, judge = run.result["total"], run.config.get("judge", "test images")
    last = run.stages[-1]["step"] if run.stages else 0
    axes.plot([last], [run.top1], "*", color="black", markersize=10, clip_on=False, zorder=5,
              label=f"packed network at the end,\n{total:,} {_kind(run)}: {run.top1:.2f} %")  # fmt: skip
    axes.set_ylabel(f"top-1 %\n{judge}")
    axes.legend(**_BESIDE)


def _losses(axes: Axes, run: RunRecord) -> None:
    size = max(1, len(run.steps) // BLOCKS)
    for key, label, colour in (("loss", "L(W)", W), ("loss_hat", "L(W_hat)", W_HAT)):
        if run.levels == "float" and key == "loss_hat":
            continue
        first = True
        for stage in sorted({line["stage"] for line in run.steps}):
            seen = [(line["step"], line[key]) for line in run.steps if line["stage"] == stage and line[key] is not None]
            if not seen:
                continue
            all_x, all_y = (np.array(part, float) for part in zip(*seen, strict=True))
            steps = size * run.steps[0].get("steps", 1)
            means = f",\nmeans of about {steps} steps" if steps > 1 else ""
            name = f"{label}, training batches{means}" if first else None
            width = {"loss": 1.0, "loss_hat": 1.8}[key]  # where W is W_hat, both are seen
            parts = blocks(len(all_x), size)
            x, y = ([float(values[part].mean()) for part in parts] for values in (all_x, all_y))
            axes.plot(x, y, color=colour, label=name, linewidth=width, zorder=3 - width)
            first = False
    points = [line for line in run.measured if "judge_loss" in line]
    for key, label, colour, marker in (("judge_loss", "L(W)", W, "o"), ("judge_loss_hat", "L(W_hat)", W_HAT, "s")):
        if points and not (run.levels == "float" and key == "judge_loss_hat"):
            x, y = [line["step"] for line in points], [line[key] for line in points]
            judge = run.config.get("judge", "test images")
            axes.plot(x, y, marker, color=colour, markersize=3.5, fillstyle="none", label=f"{label},\n{judge}")
    axes.set_yscale("log")
    low, high = np.log10(axes.get_ylim())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high - low < 3 else (1,)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(True, which="minor", axis="y", linewidth=0.3)
    axes.set_ylabel("cross entropy")
    axes.legend(**_BESIDE)


def _stage_names(axes: Axes, run: RunRecord) -> None:
    begin, end = 0, run.stages[-1]["step"]
    if len(run.stages) < 2:
        return
    for stage in run.stages:
        wide = (stage["step"] - begin) / end > 0.13  # room for words
        text = f"{'stage ' * wide}{stage['stage']}\n{stage['frozen']:.0%}{' frozen' * wide}"
        middle = (begin + stage["step"]) / 2
        axes.text(middle, 1.02, text, ha="center", va="bottom", fontsize=7.5, color=FROZEN,
                  transform=axes.get_xaxis_transform())  # fmt: skip
        begin = stage["step"]
