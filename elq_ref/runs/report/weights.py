"""Where the weights of one run stand: histograms with levels and bands, shares, errors, sparsity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from ..layers import BINS, WIDTH, shares_of_shape
from ..record import RunRecord
from .style import BAND, FROZEN, GRAY, W_HAT, W, bare, styled

EDGES = (np.arange(BINS + 1) - BINS / 2) * WIDTH
Record = dict[str, Any]


@styled
def pooled(run: RunRecord) -> Figure:
    """Histograms of W / alpha over all layers: before the first step and at the end of each stage."""
    columns = min(3, len(run.layers))
    rows = -(-len(run.layers) // columns)
    figure = Figure(figsize=(2.5 * columns, 1.75 * rows), layout="constrained")
    places = figure.subplots(rows, columns, sharex=True, squeeze=False)
    for axes, line in zip(places.flat, run.layers, strict=False):
        histogram(axes, list(line["layers"].values()), _next_band(run, line["stage"]))
        axes.set_title(_when(line))
    for axes in places.flat[len(run.layers) :]:
        axes.set_visible(False)
    for axes in places.flat[max(0, len(run.layers) - columns) : len(run.layers)]:  # the lowest of each column
        axes.set_xlabel("w / alpha")
        axes.tick_params(labelbottom=True)
    figure.legend(*_legend(), loc="outside lower center", ncols=4)
    return figure


@styled
def after_stage_0(runs: Sequence[RunRecord]) -> Figure:
    """The same of several runs, at the end of their stage 0: the paper's figure 1, with its two numbers."""
    columns = min(3, len(runs))
    rows = -(-len(runs) // columns)
    figure = Figure(figsize=(3.0 * columns, 2.1 * rows), layout="constrained")
    places = figure.subplots(rows, columns, sharex=True, squeeze=False)
    for axes, run in zip(places.flat, runs, strict=False):
        layers = stage_0(run)
        histogram(axes, list(layers.values()), _next_band(run, 0))
        found = shares_of_shape(layers, run.levels)
        axes.set_title(
            f"{run.label}, seed {run.seed}\nband {found['band']:.1%}, beyond {found['beyond']:.1%}", fontsize=8
        )
        axes.set_xlabel("w / alpha")
        axes.tick_params(labelbottom=True)
    for axes in places.flat[len(runs) :]:
        axes.set_visible(False)
    return figure


def stage_0(run: RunRecord) -> dict[str, Record]:
    """The records of the layers at the end of stage 0; {} of a run that has none, or that quantizes nothing."""
    return next((line["layers"] for line in run.layers if line["stage"] == 0), {})


@styled
def by_layer(run: RunRecord) -> Figure:
    """The same, a row a layer and a column a stage."""
    names = list(run.layers[0]["layers"])
    figure = Figure(figsize=(1.45 * len(run.layers) + 1, 0.62 * len(names) + 0.8), layout="constrained")
    places = figure.subplots(len(names), len(run.layers), sharex=True, squeeze=False)
    for row, name in zip(places, names, strict=True):
        for axes, line in zip(row, run.layers, strict=True):
            histogram(axes, [line["layers"][name]], _next_band(run, line["stage"]))
            axes.tick_params(axis="x", labelsize=6.5)
        label = name.removesuffix(".weight")
        row[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=7)
    for axes, line in zip(places[0], run.layers, strict=True):
        axes.set_title(_when(line), fontsize=8)
    for axes in places[-1]:
        axes.set_xlabel("w / alpha", fontsize=7.5)
    figure.legend(*_legend(), loc="outside lower center", ncols=4)
    return figure


def histogram(axes: Axes, layers: list[Record], band: tuple[float, float] | None) -> None:
    """Free weights as a density, frozen ones as bars on their levels, W_hat's levels as lines."""
    weights = sum(layer["weights"] for layer in layers)
    free = sum((np.array(layer["free"]) for layer in layers if layer["free"]), np.zeros(BINS)) / weights
    frozen: dict[float, float] = {}
    for layer in layers:
        for level, share in zip(layer["levels"], layer["frozen"], strict=True):
            frozen[level] = frozen.get(level, 0.0) + share * layer["weights"] / weights
    top = np.sort(free[1:-1])[-4]  # a narrow peak, of dead weights or of what lies beyond, is cut
    if band is not None and free.any():
        for low, high in {band, (-band[1], -band[0])}:
            axes.axvspan(low, high, color=BAND, alpha=0.55, linewidth=0)
    axes.stairs(free, EDGES, fill=True, color=W, alpha=0.85)
    limit = (EDGES[0], EDGES[-1])
    for level in {round(level, 1 if len(layers) > 1 else 6) for layer in layers for level in layer["levels"]}:
        axes.axvline(level, color=W_HAT, linewidth=0.8, linestyle=":")
    bars = {level: share for level, share in frozen.items() if share > 0}
    if bars:
        side = axes.twinx()  # shares of all weights: a level holds many times more than a bin
        side.bar(list(bars), list(bars.values()), width=0.12, color=FROZEN, zorder=3)
        side.set_ylim(0, 1)
        bare(side)
        for level, share in bars.items():
            if share >= 0.005 and limit[0] < level < limit[1]:
                outline = [withStroke(linewidth=1.8, foreground="white")]
                side.text(level, share + 0.03, f"{share:.0%}", ha="center", fontsize=6.5, path_effects=outline)
    axes.set_xlim(*limit)
    axes.set_ylim(0, 1.15 * top or 1)
    axes.set_xticks([-2, -1, 0, 1, 2])
    bare(axes)


def _next_band(run: RunRecord, stage: int) -> tuple[float, float] | None:
    """(low, high) of |w| / alpha that freezes when `stage` ends; None where no band says so."""
    plan = run.plan
    index = 0 if stage < 0 and not plan.epochs[0] else stage
    bands = plan.freezes == "sigma2" and 0 <= index < len(plan.sigma2) - 1
    if not bands:
        return None
    sigma2 = plan.sigma2[index]
    return (sigma2, 1 - sigma2) if plan.levels == "ternary" else (0.0, 1 - 2 * sigma2)


def _when(line: Record) -> str:
    return "pretrained" if line["stage"] < 0 else f"end of stage {line['stage']}"


def _legend() -> tuple[list[Any], list[str]]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    names = ["free weights", "frozen, share of all", "band that freezes next", "levels"]
    handles = [Patch(color=W), Patch(color=FROZEN), Patch(color=BAND, alpha=0.55), Line2D([], [], color=W_HAT, ls=":")]
    return handles, names


@styled
def shares(run: RunRecord) -> Figure:
    """Share frozen, error and zeros of every layer at the end of each stage."""
    figure = Figure(figsize=(7.2, 2.9), layout="constrained")
    frozen, error, zeros = figure.subplots(1, 3)
    names = list(run.layers[0]["layers"])
    stages = [_short(line) for line in run.layers]
    x = np.arange(len(stages))
    for i, name in enumerate(names):
        layers = [line["layers"][name] for line in run.layers]
        colour = colormaps["viridis"](i / max(1, len(names) - 1) * 0.92)
        style = {"color": colour, "linewidth": 0.9, "marker": "o", "markersize": 2.2}
        frozen.plot(x, [100 * sum(layer["frozen"]) for layer in layers], **style)
        error.plot(x, [layer["error"] for layer in layers], **style)
        zeros.plot(x, [100 * _zeros(layer) for layer in layers], **style)
    frozen.set_title("frozen weights %")
    error.set_title("error E = ||W - W_hat||² / ||W||²")
    zeros.set_title("zeros in W_hat %")
    error.set_ylim(bottom=0)
    for axes in (frozen, zeros):
        axes.set_ylim(0, 102)
    for axes in (frozen, error, zeros):
        axes.set_xticks(x, stages)
        axes.set_xlabel("end of stage")
    figure.text(0.5, -0.03, f"one line a layer, from {names[0]} (dark) to {names[-1]} (light)", ha="center",
                fontsize=8, color=GRAY)  # fmt: skip
    return figure


@styled
def sparsity(run: RunRecord) -> Figure:
    """Shares of the codes in every layer of the finished network."""
    layers = run.layers[-1]["layers"]
    figure = Figure(figsize=(7.2, 2.6), layout="constrained")
    axes = figure.subplots()
    x = np.arange(len(layers))
    below = np.zeros(len(layers))
    for label, colour, sign in (("negative", W, -1), ("zero", "#DDDDDD", 0), ("positive", W_HAT, 1)):
        heights = [
            100 * sum(s for v, s in zip(layer["levels"], layer["shares"], strict=True) if np.sign(v) == sign)
            for layer in layers.values()
        ]
        axes.bar(x, heights, bottom=below, color=colour, width=0.8, label=label)
        below += heights
    axes.set_xticks(x, [name.removesuffix(".weight") for name in layers], rotation=60, ha="right", fontsize=7)
    axes.set_ylabel("codes %")
    axes.set_ylim(0, 100)
    axes.grid(False)
    figure.legend(loc="outside upper right", ncols=3)
    return figure


def _short(line: Record) -> str:
    return "start" if line["stage"] < 0 else str(line["stage"])


def _zeros(layer: Record) -> float:
    return float(sum(share for level, share in zip(layer["levels"], layer["shares"], strict=True) if level == 0))
