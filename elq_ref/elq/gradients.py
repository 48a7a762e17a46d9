"""The objective J = L(W) + a1 Lp + a2 E and its gradients, on plain arrays: no model is needed here.

    Lp = |L(W) - L(What)|  or  max(0, L(What) - L(W))        loss perturbation            [P; positive part: C]
    E  = sum_l ||W_l - What_l||^2  or  sum_l |W_l - What_l|   weight approximation error   [P; absolute: S]

With g = dL/dW at W, ghat = dL/dW at What and s = dLp/d(L(W) - L(What)), which is sign(L(W) - L(What)) for the absolute
value and min(0, that) for the positive part, the weights' gradient of L + a1 Lp is, by `Plan.gradient`:

    constant            (1 + a1 s) g                          What held: the exact derivative almost everywhere   [D]
    straight-through    (1 + a1 s) g - a1 s ghat              dWhat/dW = 1                                        [D]
    taylor-inner        g + a1 sign(<g, W - What>) g          L(W) - L(What) ~ <g, W - What>, g held              [S, D]
    taylor-elementwise  g + a1 |g| sign(W - What)             its elementwise bound sum |g| |W - What|, g held    [S, D]

and a2 E adds 2 a2 (W - What) or a2 sign(W - What), What held. What is not quantized (biases, BatchNorm, float layers)
appears in both losses: its exact gradient is (1 + a1 s) dL(W) - a1 s dL(What) in every mode [D]. The gradient of a
frozen weight is exactly 0.

With scope = "layer", Lp is a sum of terms t, one a layer, with only that layer quantized in L_t [S]: 1 + a1 s becomes
1 + a1 sum_t s_t and a1 s ghat becomes a1 sum_t s_t ghat_t.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from .plan import Plan


class Pass(NamedTuple):
    """One forward and backward pass: the loss, dL/dW of each quantized layer, dL/d(everything else)."""

    loss: float
    weights: list[np.ndarray]
    shared: list[np.ndarray]


Forward = Callable[[Sequence[np.ndarray]], Pass]


@dataclass(frozen=True)
class Term:
    """One loss perturbation |L(W) - L_t|: the layers that are quantized in it, its pass and its s."""

    layers: range
    at: Pass
    sign: float


@dataclass(frozen=True)
class Objective:
    """J, its parts and its gradients. `loss` is None where no pass at W was made (sign assumed and a1 = 1), and so are
    `value` and `perturbation`, which need it; `sign` is s (the sum over terms for scope "layer")."""

    loss: float | None
    loss_hat: float
    perturbation: float | None
    error: float
    value: float | None
    sign: float
    weights: list[np.ndarray] = field(repr=False)
    shared: list[np.ndarray] = field(repr=False)


def objective(
    at_w: Forward,
    w: Sequence[np.ndarray],
    w_hat: Sequence[np.ndarray],
    plan: Plan,
    *,
    at_hat: Forward | None = None,
    frozen: Sequence[np.ndarray] | None = None,
    slopes: Sequence[np.ndarray] | None = None,
) -> Objective:
    """Evaluate J and its gradients at weights w (a list of arrays, one a layer), quantized to w_hat.

    at_w(weights) runs the network and returns a Pass; `at_hat`, if given, is used for the pass at the whole of What
    (a network with BatchNorm keeps its running averages from that one). frozen: bool arrays, those weights stand on
    w_hat already. slopes: d alpha / dW where alpha still follows W (elq_ref.elq.levels.scale_slope); it adds the terms
    -a1 s <ghat, codes> d alpha/dW (mode constant) and -2 a2 <W - What, codes> d alpha/dW [D].

    Raises ValueError where shapes do not match.
    """
    for a, b in zip(w, w_hat, strict=True):
        if a.shape != b.shape:
            raise ValueError(f"weights {a.shape} and their quantized values {b.shape} differ in shape")
    hat = (at_hat or at_w)(w_hat)
    if frozen is not None and all(f.all() for f in frozen):  # W is What: one pass is both
        return Objective(hat.loss, hat.loss, 0.0, 0.0, hat.loss, 0.0, [np.zeros_like(a) for a in w], hat.shared)
    passes, groups = [hat], [range(len(w))]
    if plan.scope == "layer":
        passes = [at_w([*w[:t], w_hat[t], *w[t + 1 :]]) for t in range(len(w))]
        groups = [range(t, t + 1) for t in range(len(w))]
    known = plan.sign == "computed" or plan.a1 * len(groups) != 1 or plan.gradient.startswith("taylor")
    full = at_w(w) if known else None
    terms = [Term(group, at, _sign(plan, full, at)) for group, at in zip(groups, passes, strict=True)]
    sign = sum(term.sign for term in terms)

    gaps = [a - b for a, b in zip(w, w_hat, strict=True)]
    weights = []
    for layer, gap in enumerate(gaps):
        dw = _loss_part(plan, layer, full, terms, gaps) + _error_part(plan, gap)
        if slopes is not None:
            dw += _moving_scale_part(plan, layer, terms, gap, w_hat[layer], slopes[layer])
        weights.append(dw if frozen is None else np.where(frozen[layer], 0, dw))
    shared = [
        _mix(plan, sign, None if full is None else full.shared[i], [(t.sign, t.at.shared[i]) for t in terms])
        for i in range(len(hat.shared))
    ]
    return _summed(plan, full, hat, terms, gaps, sign, weights, shared)


def _sign(plan: Plan, full: Pass | None, at: Pass) -> float:
    """s = dLp / d(L(W) - L(What)); 0 where both are equal."""
    if plan.sign == "assumed" or full is None:
        return -1.0
    s = float(np.sign(full.loss - at.loss))
    return min(s, 0.0) if plan.perturbation == "positive" else s


def _mix(plan: Plan, sign: float, g: np.ndarray | None, hats: list[tuple[float, np.ndarray]]) -> np.ndarray:
    """(1 + a1 s) g - a1 sum_t s_t ghat_t; what has the factor 0 is left out, so that it need not be known."""
    factors = [(1 + plan.a1 * sign, g), *((-plan.a1 * s, ghat) for s, ghat in hats)]
    parts = [factor * array for factor, array in factors if factor != 0 and array is not None]
    return sum(parts[1:], parts[0]) if parts else np.zeros_like(hats[0][1])


def _loss_part(plan: Plan, layer: int, full: Pass | None, terms: list[Term], gaps: list[np.ndarray]) -> np.ndarray:
    """Gradient of L + a1 Lp for one layer's weights, by mode."""
    g = None if full is None else full.weights[layer]
    if plan.gradient.startswith("taylor"):
        assert full is not None and g is not None
        if plan.gradient == "taylor-elementwise":
            return g + plan.a1 * np.abs(g) * np.sign(gaps[layer])
        term = next(t for t in terms if layer in t.layers)
        s = float(np.sign(sum(np.vdot(full.weights[i], gaps[i]) for i in term.layers)))
        s = min(s, 0.0) if plan.perturbation == "positive" else s
        return (1 + plan.a1 * s) * g
    seen = [t for t in terms if plan.gradient == "straight-through" or layer not in t.layers]
    hats = [(t.sign, t.at.weights[layer]) for t in seen] or [(0.0, terms[0].at.weights[layer])]
    return _mix(plan, sum(t.sign for t in terms), g, hats)


def _error_part(plan: Plan, gap: np.ndarray) -> np.ndarray:
    """Gradient of a2 E, What held."""
    return plan.a2 * (2 * gap if plan.norm == "squared" else np.sign(gap))


def _moving_scale_part(
    plan: Plan, layer: int, terms: list[Term], gap: np.ndarray, w_hat: np.ndarray, slope: np.ndarray
) -> np.ndarray:
    """What depends on W through alpha = alpha(W): the chain rule through it, codes held."""
    codes = np.sign(w_hat)
    axes = tuple(range(1, w_hat.ndim)) if plan.per_channel else None
    pull = 2 * gap if plan.norm == "squared" else np.sign(gap)
    inner = -plan.a2 * np.sum(pull * codes, axis=axes, keepdims=True)
    if plan.gradient == "constant":
        for term in terms:
            if layer in term.layers:
                inner = inner - plan.a1 * term.sign * np.sum(term.at.weights[layer] * codes, axis=axes, keepdims=True)
    return inner * slope


def _summed(plan, full, hat, terms, gaps, sign, weights, shared) -> Objective:  # noqa: ANN001
    power = 2 if plan.norm == "squared" else 1
    error = float(sum(np.sum(np.abs(gap, dtype=np.float64) ** power) for gap in gaps))
    if full is None:
        return Objective(None, hat.loss, None, error, None, sign, weights, shared)
    differences = [full.loss - term.at.loss for term in terms]
    lp = sum(abs(d) if plan.perturbation == "abs" else max(0.0, -d) for d in differences)
    value = full.loss + plan.a1 * lp + plan.a2 * error
    return Objective(full.loss, hat.loss, lp, error, value, sign, weights, shared)
