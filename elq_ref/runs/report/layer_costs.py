"""What each layer costs when its weights are rounded, as points."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from ...training.layer_costs import Judged, Sensitivity
from .style import GRAY, W_HAT, W, styled


@styled
def layer_costs(found: Sensitivity) -> Figure:
    """Loss (left) and top-1 (right) of every layer, from input to output: rounded alone, and all but it."""
    figure = Figure(figsize=(9.6, 1.4 + 0.2 * len(found.layers)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    _points(left, found, "loss", "cross entropy, held-out images")
    _points(right, found, "top1", "top-1 %, held-out images")
    left.set_yticks(range(len(found.layers)), [layer.name.removesuffix(".weight") for layer in found.layers])
    left.invert_yaxis()  # the first layer above
    left.set_xscale("log")
    left.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left.xaxis.set_major_formatter("{x:g}")
    left.xaxis.set_minor_formatter(NullFormatter())
    right.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
    figure.suptitle(f"Weights rounded to {found.levels} levels, without training", x=0.01, ha="left", fontsize=10)
    return figure


def _points(axes: Axes, found: Sensitivity, key: str, label: str) -> None:
    places = range(len(found.layers))
    for part, colour, marker, name in (
        ("alone", W_HAT, "o", "this layer alone is rounded"),
        ("all_but", W, "s", "all but this layer are rounded"),
    ):
        values = [getattr(getattr(layer, part), key) for layer in found.layers]
        axes.plot(values, places, marker, color=colour, markersize=5, label=name)
    lines: list[tuple[Judged, str, str]] = [(found.in_float, "-", "none is rounded"), (found.rounded, ":", "all are")]
    for judged, line, name in lines:
        axes.axvline(getattr(judged, key), color=GRAY, linestyle=line, label=name, zorder=1)
    axes.set_xlabel(label)
