"""Plots of the statements, from our own runs on the bundled digits. Needs matplotlib (the extra `plot`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..datasets import Batches, digits
from ..elq.levels import scale
from ..elq.plan import Plan
from ..files import atomic_write
from ..models import digits_cnn
from ..training.float_training import fit
from ..training.sgd import SGD
from ..training.stages import quantize
from . import gaussian, taylor
from .subject import Subject, quantized

PLAN = Plan(
    "ternary",
    a1=1.0,
    a2=1e-3,
    sign="computed",
    sigma2=(0.4, 0.3, 0.2, 0.0),
    epochs=(6, 2, 2, 2, 2),
    tail="pull",
    tail_rate=0.05,
)
LAYER = "conv2.weight"
FLOAT_EPOCHS = 15
Losses = tuple[int, float | None, float | None, float | None]  # stage, L(W), L(W_hat), J
STYLE: Any = {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}


class Snapshot(NamedTuple):
    """A layer at one time of the run."""

    title: str
    alpha: float
    w: np.ndarray
    frozen: np.ndarray


def draw(folder: Path) -> Iterator[Path]:
    """Write every plot as a PNG into `folder`, which is made; yield their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    losses, histograms = _short_run()
    for name, figure in (
        ("taylor_remainder", _remainder),
        ("objective", lambda: _objective(losses)),
        ("stages", lambda: _stages(histograms)),
        ("error_against_alpha", lambda: _error(histograms[0].w)),
        ("scale_against_n", _scale),
    ):
        with matplotlib.rc_context(STYLE):
            path = folder / f"{name}.png"
            with atomic_write(path) as temporary:
                figure().savefig(temporary, format="png", dpi=130)
            yield path


def _axes(width: float = 6.5, height: float = 4.2) -> tuple[Figure, Axes]:
    figure = Figure((width, height), layout="constrained")
    return figure, figure.subplots()


def _remainder() -> Figure:
    """Statement 2 on log axes."""
    subject = Subject.bundled()
    w = subject.weights()
    d = [b - a for a, b in zip(w, quantized(w, "ternary"), strict=True)]
    t = 2.0 ** np.arange(-16, 1)
    r = np.array([abs(taylor.remainder(subject, w, d, x)) for x in t])
    figure, axes = _axes()
    axes.loglog(t, r, "o-", label="|L(W + tD) - L(W) - t <g, D>|", markersize=4)
    axes.loglog(t, r[4] * (t / t[4]) ** 2, "--", color="gray", label="slope 2")
    axes.set(
        xlabel="step length t, D = W_hat - W",
        ylabel="remainder",
        title="First-order remainder of the loss, smooth CNN on digits",
    )
    axes.legend()
    return figure


def _short_run() -> tuple[list[Losses], list[Snapshot]]:
    """Float training, then ELQ: the losses of every step, and LAYER before and after every stage."""
    train, _ = digits()
    net = digits_cnn()
    batches = Batches(train, 64)
    for _ in fit(net, batches, FLOAT_EPOCHS, SGD(0.05, weight_decay=5e-4)):
        pass
    w = net.quantizable()[LAYER].data
    losses, histograms = [], [Snapshot("pretrained", scale(w, "ternary").item(), w, np.zeros(w.shape, bool))]
    for step in quantize(net, batches, PLAN, SGD(0.02)):
        losses.append((step.stage, step.loss, step.loss_hat, step.objective))
        if step.ends_stage:
            weight = step.state.weights[LAYER]
            histograms.append(Snapshot(f"end of stage {step.stage}", weight.alpha.item(), weight.w, weight.frozen))
    return losses, histograms


def _objective(losses: list[Losses]) -> Figure:
    """J against the loss of the deployed network."""
    stages, loss, loss_hat, j = (np.array(column) for column in zip(*losses, strict=True))
    figure, axes = _axes(8, 4.2)
    steps = np.arange(len(loss))
    axes.plot(steps, _smooth(j), label="J(W)")
    axes.plot(steps, _smooth(loss_hat), label="L(W_hat), deployed")
    axes.plot(steps, _smooth(loss), label="L(W)", alpha=0.7)
    for start in np.flatnonzero(np.diff(stages)) + 1:
        axes.axvline(float(start), color="gray", linewidth=0.6, linestyle=":")
    axes.set(
        xlabel="step (dotted: a freeze)",
        ylabel="mean over 9 steps",
        ylim=(0, None),
        title="The objective and the deployed loss, digits_cnn, ternary, a1 = 1",
    )
    axes.legend()
    return figure


def _smooth(values: np.ndarray) -> np.ndarray:
    """Running mean over 9 steps, fewer at the ends."""
    window = np.ones(9)
    return np.convolve(values, window, "same") / np.convolve(np.ones(len(values)), window, "same")


def _stages(histograms: list[Snapshot]) -> Figure:
    """The paper's figure 1: one layer's weights after each stage, with levels and the band that is frozen next."""
    figure = Figure((10, 6), layout="constrained")
    bins = np.linspace(-3, 3, 151)
    for number, axes in enumerate(figure.subplots(2, 3).flat):  # number 0: before stage 0, which freezes nothing
        title, alpha, w, frozen = histograms[number]
        axes.hist(
            [w[~frozen] / alpha, w[frozen] / alpha],
            bins,
            stacked=True,
            color=["tab:blue", "tab:orange"],
            label=["free", "frozen"],
        )
        for level in (-1, 0, 1):
            axes.axvline(level, color="black", linewidth=0.7, linestyle=":", zorder=0)
        if 1 <= number < len(PLAN.sigma2):
            low, high = PLAN.sigma2[number - 1], 1 - PLAN.sigma2[number - 1]
            for band in ((low, high), (-high, -low)):
                axes.axvspan(*band, color="tab:red", alpha=0.2, linewidth=0, zorder=0)
        axes.set(title=f"{title}: {frozen.mean():.0%} frozen", xlabel="w / alpha", yscale="symlog", ylim=(0, 2e4))
    figure.axes[1].legend(loc="upper right", fontsize=8)
    figure.suptitle(f"{LAYER} of digits_cnn. Dotted: levels. Shaded: the band frozen next; the last stage freezes all")
    return figure


def _error(w: np.ndarray) -> Figure:
    """E against alpha for a trained layer, with the three rules."""
    size = np.abs(w)
    alphas = np.linspace(0.5, 3, 300) * size.mean()
    e = [np.sum((size - np.where(size > a / 2, a, 0)) ** 2) / np.sum(size**2) for a in alphas]
    figure, axes = _axes()
    axes.plot(alphas / size.mean(), e)
    for rule, name, marker in (("twn", "TWN", "s"), ("elq", "ELQ", "^"), ("l2", "optimal", "o")):
        a = scale(w, "ternary", rule).item()
        at = a / size.mean()
        axes.plot(at, np.interp(a, alphas, e), marker, markersize=8, label=f"{name}: alpha = {at:.3f} mean|w|")
    axes.set(
        xlabel="alpha / mean|w|",
        ylabel="||W - W_hat||^2 / ||W||^2, nearest levels",
        title=f"Error against the scale, trained {LAYER} of digits_cnn",
    )
    axes.legend()
    return figure


def _scale() -> Figure:
    """ELQ's scale depends on the number of weights."""
    n = np.logspace(1, 7, 40)
    figure, axes = _axes()
    axes.semilogx(n, [gaussian.rule_at(k) for k in n], label="ELQ: mean|W| + 0.05 E max|W|")
    axes.axhline(gaussian.best_scale(gaussian.normal, gaussian.TOP), color="gray", linestyle="--", label="least error")
    axes.set(
        xlabel="number of Gaussian weights in the layer",
        ylabel="alpha / sigma",
        title="The scale depends on the size of the layer",
    )
    axes.legend()
    return figure
