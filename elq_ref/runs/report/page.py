"""One self-contained HTML page of runs: every plot is inside it, and beside it as a PNG."""

from __future__ import annotations

import base64
import html
import json
import os
from collections.abc import Sequence
from pathlib import Path

from ... import __version__
from ...files import atomic_write
from ..comparison import grouped, reference, table
from ..record import RunRecord
from .beside import beside
from .curves import curves
from .weights import after_stage_0, by_layer, pooled, shares, sparsity, stage_0

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>elq report</title><style>
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h2 { margin-top: 2.5rem; border-top: 1px solid #ccc; padding-top: 1rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
td, th { padding: .15rem .7rem; text-align: right; border-bottom: 1px solid #eee }
td:first-child, th:first-child { text-align: left }
figure { margin: 1.2rem 0 } img { max-width: 100% } figcaption, .small { color: #555; font-size: .87em }
pre { background: #f6f6f6; padding: .6rem; overflow-x: auto; font-size: .8em }
</style></head><body>
"""
_WEIGHTS = (
    "All quantized weights, each in units of its layer's alpha; beyond 2.5 alpha they count in the outermost bars, and "
    "narrow peaks are cut. Frozen weights are bars with their share of all, on a scale of their own."
)
_AFTER_STAGE_0 = (
    "After stage 0, all weights free: w / alpha over all layers, and the shares of all weights in the band of sigma2 = "
    "0.4 and beyond 1.05 alpha. The paper's figure 1 has three peaks there, and next to nothing in the band and beyond."
)


def write_report(runs: Sequence[RunRecord], folder: str | os.PathLike[str], against: str | None = None) -> list[Path]:
    """Write index.html and its PNGs into `folder`; returns their paths, the page first.

    against: the label that differences are taken from (default: float, if it is there). A run that keeps no logs of its
    steps or layers has fewer plots.
    """
    folder = Path(folder)
    groups = grouped(runs)
    rows = table(groups, reference(groups, against))
    page, files = [_HEAD, "<h1>Quantized networks</h1>"], []

    def show(name: str, png: bytes, caption: str) -> None:
        files.append(folder / f"{name}.png")
        with atomic_write(files[-1]) as temporary:
            temporary.write_bytes(png)
        data = base64.b64encode(png).decode()
        alt = html.escape(caption)
        image = f'<img alt="{alt}" src="data:image/png;base64,{data}">'
        page.append(f"<figure>{image}<figcaption>{alt}</figcaption></figure>")

    page.append(_table(rows))
    page.append(
        f"<p class=small>Per cent of {runs[0].result['total']:,} images that the packed network has right; sd over "
        "seeds; differences are paired by seed, with Student's 95 % interval.</p>"
    )
    if len(runs) > 1:
        caption = "Left: packed networks, a dot a run, their mean and its 95 % interval. "
        caption += "Right: accuracy of W_hat on the way, mean and range over seeds."
        show("comparison", beside(groups), caption)
    free_once = [run for run in runs if stage_0(run)]
    if len(free_once) > 1:
        show("after-stage-0", after_stage_0(free_once), _AFTER_STAGE_0)
    for run, name in zip(runs, _names(runs), strict=True):
        page.append(f"<h2>{html.escape(f'{run.label}, seed {run.seed}')}</h2>{_facts(run)}")
        if run.steps and run.stages:
            caption = "Accuracy with BatchNorm re-estimated for W and for W_hat, and both losses; dashed: a stage ends."
            show(f"{name}-curves", curves(run), caption)
        if run.layers and run.layers[0]["layers"]:
            show(f"{name}-weights", pooled(run), _WEIGHTS)
            show(f"{name}-shares", shares(run), "Frozen share, error and zeros, layer by layer.")
            show(f"{name}-codes", sparsity(run), "Codes of the finished network.")
            show(f"{name}-layers", by_layer(run), "The histograms of every layer.")
    page.append(f"<p class=small>Made by elq_ref {__version__}.</p></body></html>\n")
    with atomic_write(folder / "index.html") as temporary:
        temporary.write_text("\n".join(page), encoding="utf-8", errors="backslashreplace")
    return [folder / "index.html", *files]


def _names(runs: Sequence[RunRecord]) -> list[str]:
    """A file name for each run."""
    names = ["-".join("".join(c if c.isalnum() else " " for c in f"{run.label} {run.seed}").split()) for run in runs]
    return names


def _table(rows: list[list[str]]) -> str:
    lines = []
    for i, row in enumerate(rows):
        tag = "td" if i else "th"
        lines.append("<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row) + "</tr>")
    return "<table>" + "".join(lines) + "</table>"


def _facts(run: RunRecord) -> str:
    result = run.result
    words = [f"{result['correct']:,} of {result['total']:,} images right ({run.top1:.2f} %)"]
    if "weight_bytes" in result:
        words.append(f"weights {result['weight_bytes']:,} bytes instead of {result['float_bytes']:,}")
    if result.get("seconds"):
        words.append(f"{result['seconds'] / 60:.1f} minutes")
    if result.get("environment"):
        words.append(", ".join(f"{k} {v}" for k, v in result["environment"].items()))
    details = json.dumps(run.config, indent=1)
    return (
        f"<p>{html.escape('; '.join(words))}</p><details><summary>configuration</summary>"
        f"<pre>{html.escape(details)}</pre></details>"
    )
