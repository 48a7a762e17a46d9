"""Where the weights of every quantized layer stand: what a run logs at each stage and a report draws."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..methods import QuantizedWeight
from ..training.state import State

WIDTH = 0.05  # of a histogram's bin, in units of alpha
BINS = 100  # from -2.5 alpha to 2.5 alpha; what lies beyond counts in the outermost


def layer_records(state: State) -> dict[str, dict[str, Any]]:
    """A record of plain values a quantized layer, by name.

    weights: how many there are; alpha: mean over their scales; levels: the values of W_hat in units of alpha, rising;
    shares: of the weights on each of them in W_hat; frozen: the part of these that is frozen; error: ||W - W_hat||^2 /
    ||W||^2; free: `BINS` counts of w / alpha over the weights that are free, of `WIDTH` each; empty if none is.
    """
    return {name: _record(weight, state.method.w_hat(weight)) for name, weight in state.weights.items()}


def shares_of_shape(layers: dict[str, dict[str, Any]], levels: str) -> dict[str, float]:
    """The paper's figure 1 in two numbers, from the records of all layers: shares of all weights.

    band: free, in the band of sigma2 = 0.4, [0.4, 0.6) alpha, or in binary within 0.2 alpha; beyond: free, beyond 1.05
    alpha, for those nearer belong to the peak at alpha. To the width of a bin they are exact.
    """
    total = sum(layer["weights"] for layer in layers.values())
    counts = sum((np.array(layer["free"]) for layer in layers.values() if layer["free"]), np.zeros(BINS, int))
    size = np.abs(np.arange(BINS) + 0.5 - BINS / 2) * WIDTH  # of the middles of bins
    band = (size > 0.4) & (size < 0.6) if levels == "ternary" else size < 0.2
    return {"band": float(counts[band].sum() / total), "beyond": float(counts[size > 1.05].sum() / total)}


def _record(weight: QuantizedWeight, w_hat: np.ndarray) -> dict[str, Any]:
    w, alpha = weight.w.astype(np.float64), np.where(weight.alpha > 0, weight.alpha, 1).astype(np.float64)
    levels, code = np.unique(np.round(w_hat / alpha, 6).ravel(), return_inverse=True)
    on, frozen = (np.bincount(codes, minlength=len(levels)) / w.size for codes in (code, code[weight.frozen.ravel()]))
    place = np.clip(np.floor(w / alpha / WIDTH).astype(int) + BINS // 2, 0, BINS - 1)
    free = np.bincount(place[~weight.frozen], minlength=BINS)
    power = float(np.sum(w**2))
    return {
        "weights": w.size,
        "alpha": float(weight.alpha.mean()),
        "levels": levels.tolist(),
        "shares": np.round(on, 6).tolist(),
        "frozen": np.round(frozen, 6).tolist(),
        "error": round(float(np.sum((w - w_hat) ** 2)) / power, 6) if power else 0.0,
        "free": free.tolist() if free.any() else [],
    }
