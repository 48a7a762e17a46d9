"""The plots of docs/, drawn from the file of runs and the figures of parts.json: needs matplotlib, the extra `plot`.

python -m benchmarks.accuracy plots [--results benchmarks/results/runs.jsonl] [-o docs/plots]
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from elq_ref.files import atomic_write
from elq_ref.runs.comparison import grouped
from elq_ref.runs.record import RunRecord, read_runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", default="benchmarks/results/runs.jsonl", help="file of runs")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/plots"), help="folder to write")
    args = parser.parse_args()
    parts = Path(args.results).with_name("parts.json")
    figures = drawn_of_parts(json.loads(parts.read_text())) if parts.is_file() else {}
    for name, png in (drawn(args.results) | figures).items():
        with atomic_write(args.output / name) as temporary:
            temporary.write_bytes(png)
        print(args.output / name)


def drawn(results: str) -> dict[str, bytes]:
    """PNGs by their names."""
    from elq_ref.runs.report.beside import beside
    from elq_ref.runs.report.curves import curves
    from elq_ref.runs.report.weights import pooled

    longest = RunRecord.read(f"{results}#cifar10-resnet20/ternary")
    return {
        "cifar10-comparison.png": beside(grouped(read_runs([f"{results}#cifar10_comparison/*"]))),
        "resnet20-ternary-curves.png": curves(longest),
        "resnet20-ternary-weights.png": pooled(longest),
    }


def drawn_of_parts(figures: dict[str, Any]) -> dict[str, bytes]:
    """PNGs by their names, of what `parts` has measured."""
    from elq_ref.runs.report.style import styled

    return {"parts-weights.png": styled(_weights)(figures), "parts-flips.png": styled(_flips)(figures)}


def _weights(figures: dict[str, Any]) -> Any:
    """Histograms of w / alpha after stage 0, with the band and the levels: the paper's figure 1 for every part."""
    from matplotlib.figure import Figure

    from elq_ref.runs.report.weights import histogram

    shown = [name for name in ("loss", "perturbation", "error", "rising", "paper", "bound") if name in figures]
    figure = Figure(figsize=(2.4 * len(shown), 2.1), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(shown), squeeze=False).flat, shown, strict=True):
        shape = figures[name]["shape"]
        layer = {"weights": sum(shape["free"]), "free": shape["free"], "levels": [-1, 0, 1], "frozen": [0, 0, 0]}
        histogram(axes, [layer], (0.4, 0.6))
        axes.set_xlabel("w / alpha")
        axes.set_title(f"{name}\nband {shape['band']:.1%}, beyond {shape['beyond']:.1%}", fontsize=8)
    return figure


def _flips(figures: dict[str, Any]) -> Any:
    """Left: of 1,000 weights, those that flip in a step, over the steps. Right: by layer, late in stage 0."""
    from matplotlib.figure import Figure

    from elq_ref.runs.report.style import GRAY, look

    from .parts import POINTS

    figure = Figure(figsize=(8.6, 3.0), layout="constrained")
    over_steps, by_layer = figure.subplots(1, 2)
    for place, (name, found) in enumerate(figures.items()):
        colour, line = look(place)
        x = POINTS * (np.arange(len(found["curve"])) + 0.5)
        over_steps.plot(x, np.maximum(found["curve"], 1e-3), line, color=colour, linewidth=1.1, label=name)
        if name in ("loss", "perturbation", "error", "binary"):
            layers = list(found["layers"].values())
            by_layer.plot(range(len(layers)), layers, line, color=colour, linewidth=1.1, marker=".", label=name)
    for stage in next(iter(figures.values()))["stages"][:-1]:
        over_steps.axvline(stage["step"], color=GRAY, linewidth=0.8, linestyle=(0, (4, 3)))
    for axes in (over_steps, by_layer):
        axes.set_yscale("log")
    over_steps.set_xlabel("updates; dashed: freezes")
    over_steps.set_ylabel("flips a step, of 1,000 weights")
    by_layer.set_xlabel("quantized layer, from the input")
    figure.legend(*over_steps.get_legend_handles_labels(), loc="outside right center")
    return figure
