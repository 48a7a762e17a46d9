"""The objective J = L(W) + a1 Lp + a2 E and its gradients, on plain arrays: no model is needed here.

    Lp = |L(W) - L(W_hat)|  or  max(0, L(W_hat) - L(W))         loss perturbation            [P; positive part: C]
    E  = sum_l ||W_l - W_hat_l||^2  or  sum_l |W_l - W_hat_l|   weight approximation error   [P; absolute: S]

With g = dL/dW at W, ghat = dL/dW at W_hat and s = dLp/d(L(W) - L(W_hat)), which is sign(L(W) - L(W_hat)) for the
absolute value and min(0, that) for the positive part, the weights' gradient of L + a1 Lp is, by `Plan.gradient`:

    constant            (1 + a1 s) g                          W_hat fixed: the exact derivative almost everywhere  [D]
    straight-through    (1 + a1 s) g - a1 s ghat              dW_hat/dW = 1                                       [D]
    taylor-inner        g + a1 sign(<g, W - W_hat>) g         L(W) - L(W_hat) ~ <g, W - W_hat>, g fixed           [S, D]
    taylor-elementwise  g + a1 |g| sign(W - W_hat)            its elementwise bound sum |g| |W - W_hat|, g fixed  [S, D]

and a2 E adds 2 a2 (W - W_hat) or a2 sign(W - W_hat), W_hat fixed. What is not quantized (biases, BatchNorm, float
layers) appears in both losses: its exact gradient is (1 + a1 s) dL(W) - a1 s dL(W_hat) in every mode [D]. The gradient
of a frozen weight is exactly 0.

With scope = "layer", Lp is a sum of terms t, one a layer, with only that layer quantized in L_t [S]: 1 + a1 s becomes
1 + a1 sum_t s_t and a1 s ghat becomes a1 sum_t s_t ghat_t.

With second_loss = "group1", the patent read literally [P, ambiguous], the second loss is L(W) of the network as it
stands, only what is frozen quantized, and the first is L(B), B being W with what is frozen as it was before it froze:
Lp = |L(B) - L(W)|. Both depend on the free weights as they are, so (1 + a1 s) dL(B) - a1 s dL(W) is the exact gradient
of L + a1 Lp, of free weights and shared parameters alike [D]: before the first freeze that of float training, and for
a1 = 1 and s = -1 always dL(W), float training of what is free. E is as ever that to W_hat.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import numpy as np

from .. import kernels
from .plan import Plan

BLOCK = 1 << 14  # weights, so few that what is computed of them in between stays in the cache


class Evaluated(Protocol):
    """A network evaluated at some weights. The gradients are asked for only where their factor is not 0, so that an
    implementation may put off the backward pass until then."""

    @property
    def loss(self) -> float: ...
    @property
    def weights(self) -> list[np.ndarray]:
        """dL/dW of each quantized layer."""

    @property
    def shared(self) -> list[np.ndarray]:
        """dL/d(everything else)."""


class Pass(NamedTuple):
    """An `Evaluated` whose gradients are at hand."""

    loss: float
    weights: list[np.ndarray]
    shared: list[np.ndarray]


Forward = Callable[[Sequence[np.ndarray]], Evaluated]
Mix = list[tuple[float, np.ndarray]]  # a sum of arrays, each times its factor


@dataclass(frozen=True)
class Term:
    """One loss perturbation |L(W) - L_t|: the layers that are quantized in it, its pass and its s."""

    layers: range
    at: Evaluated
    sign: float


@dataclass(frozen=True)
class Objective:
    """J, its parts and its gradients. `loss` is None where no pass at W was made (sign assumed and a1 = 1), and so are
    `value` and `perturbation`, which need it; `loss_hat` where a method made none at W_hat. `sign` is s (the sum over
    terms for scope "layer"). With second_loss = "group1" `loss` is L(W) too, the second of its two losses."""

    loss: float | None
    loss_hat: float | None
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
    before: Sequence[np.ndarray] | None = None,
) -> Objective:
    """Evaluate J and its gradients at weights w (a list of arrays, one a layer), quantized to w_hat.

    Arrays are float32 or float64; w_hat, frozen and slopes have the shapes of w. at_w(weights) runs the network and
    returns a Pass; `at_hat`, if given, is used for the pass at the whole of W_hat (a network with BatchNorm keeps its
    running averages from that one). frozen: bool arrays, those weights stand on w_hat already. slopes: d alpha / dW
    where alpha still follows W (elq_ref.elq.levels.scale_slope); it adds the terms -a1 s <ghat, codes> d alpha/dW (mode
    constant) and -2 a2 <W - W_hat, codes> d alpha/dW [D]. before: for second_loss = "group1", W with what is frozen as
    it was before it froze; `at_hat` is then used for the pass at W, and none is made at W_hat.

    Raises ValueError where shapes do not match.

    >>> def half_square(weights):  # L(W) = sum w^2 / 2, whose gradient is W
    ...     return elq.elq.gradients.Pass(sum(np.sum(w**2) / 2 for w in weights), list(weights), [])
    >>> w, w_hat = [np.array([1.0, -0.25])], [np.array([0.5, -0.5])]
    >>> seen = elq.objective(half_square, w, w_hat, elq.Plan(a1=0.5, sign="computed"))
    >>> print(seen.loss, seen.loss_hat, seen.perturbation, seen.value)  # J = L + a1 |L - L_hat|
    0.53125 0.25 0.28125 0.671875
    >>> seen.weights  # (1 + a1) W - a1 W_hat
    [array([ 1.25 , -0.125])]
    """
    for a, b in zip(w, w_hat, strict=True):
        if a.shape != b.shape:
            raise ValueError(f"weights {a.shape} and their quantized values {b.shape} differ in shape")
    first, second = (w, w_hat) if before is None else (before, w)
    hat = (at_hat or at_w)(second)
    if before is None and frozen is not None and all(f.all() for f in frozen):  # W is W_hat: one pass is both
        return Objective(hat.loss, hat.loss, 0.0, 0.0, hat.loss, 0.0, [np.zeros_like(a) for a in w], hat.shared)
    if plan.a1 > 0:
        _ = hat.weights  # asked for now, so that its backward pass frees its memory before the pass at W takes as much
    passes, groups = [hat], [range(len(w))]
    if plan.scope == "layer":
        passes = [at_w([*w[:t], w_hat[t], *w[t + 1 :]]) for t in range(len(w))]
        groups = [range(t, t + 1) for t in range(len(w))]
    known = plan.sign == "computed" or plan.a1 * len(groups) != 1 or plan.gradient.startswith("taylor")
    full = at_w(first) if known else None
    terms = [Term(group, at, _sign(plan, full, at)) for group, at in zip(groups, passes, strict=True)]
    sign = sum(term.sign for term in terms)

    weights, errors = [], []
    for layer, mix in enumerate(_loss_parts(plan, full, terms, w, w_hat)):
        follows = None
        if slopes is not None:
            follows = _moving_scale_part(plan, layer, terms, w[layer] - w_hat[layer], w_hat[layer], slopes[layer])
        still = None if frozen is None else frozen[layer]
        dw, error = _of_layer(plan, mix, w[layer], w_hat[layer], follows, still)
        weights.append(dw)
        errors.append(error)
    found = _summed(plan, full, hat, terms, sum(errors), sign, weights, _shared(plan, full, terms))
    if before is not None:  # the pass at W was `hat`; it is one at W_hat where all is frozen
        found = replace(found, loss=hat.loss, loss_hat=None if found.error else hat.loss)
    return found


def _sign(plan: Plan, full: Evaluated | None, at: Evaluated) -> float:
    """s = dLp / d(L(W) - L(W_hat)); 0 where both are equal."""
    if plan.sign == "assumed" or full is None:
        return -1.0
    s = float(np.sign(full.loss - at.loss))
    return min(s, 0.0) if plan.perturbation == "positive" else s


def _made(at: Evaluated | None) -> Evaluated:
    """A pass that was made: where none is at W, its factor is 0 and nobody asks."""
    assert at is not None
    return at


def _asked(plan: Plan, full: Evaluated | None, terms: list[Term], without: int = -1) -> list[tuple[float, Evaluated]]:
    """The passes, by their factors, of (1 + a1 sum_t s_t) g - a1 sum_t s_t ghat_t: what has the factor 0 is not asked.

    Of a term that quantizes the layer `without` ghat does not count (mode constant).
    """
    parts = [(1 + plan.a1 * sum(t.sign for t in terms), full)]
    parts += [(-plan.a1 * t.sign, t.at) for t in terms if without not in t.layers]
    return [(factor, _made(at)) for factor, at in parts if factor != 0]


def _shared(plan: Plan, full: Evaluated | None, terms: list[Term]) -> list[np.ndarray]:
    """Gradient of L + a1 Lp for what is not quantized. A pass is always asked: without any s, that at W."""
    asked = _asked(plan, full, terms)
    factors = [factor for factor, _ in asked]
    each = zip(*(at.shared for _, at in asked), strict=True)
    return [_added([*zip(factors, arrays, strict=True)]) for arrays in each]


def _added(mix: Mix) -> Any:
    first, *others = [factor * a for factor, a in mix]
    return sum(others, first)


def _loss_parts(
    plan: Plan, full: Evaluated | None, terms: list[Term], w: Sequence[np.ndarray], w_hat: Sequence[np.ndarray]
) -> list[Mix]:
    """What the gradient of L + a1 Lp for the weights of every layer is mixed of, by mode."""
    layers = range(len(w))
    if plan.gradient in ("straight-through", "constant"):
        fixed = plan.gradient == "constant"
        asked = [_asked(plan, full, terms, without=layer if fixed else -1) for layer in layers]
        return [[(factor, at.weights[layer]) for factor, at in asked[layer]] for layer in layers]
    gradients = _made(full).weights
    if plan.gradient == "taylor-elementwise":
        return [[(1.0, g)] for g in gradients]
    signs: dict[int, float] = {}
    for term in terms:
        s = float(np.sign(sum(np.vdot(gradients[i], w[i] - w_hat[i]) for i in term.layers)))
        signs |= dict.fromkeys(term.layers, min(s, 0.0) if plan.perturbation == "positive" else s)
    return [[(1 + plan.a1 * signs[layer], g)] for layer, g in enumerate(gradients)]


def _of_layer(
    plan: Plan, mix: Mix, w: np.ndarray, w_hat: np.ndarray, follows: np.ndarray | None, frozen: np.ndarray | None
) -> tuple[np.ndarray, float]:
    """The gradient of J for a layer's weights, and its E. follows: what depends on W through alpha.

    What no kernel computes goes some rows at a time: nothing else is as large as the layer.
    """
    squared, elementwise = plan.norm == "squared", plan.gradient == "taylor-elementwise"
    if follows is None and not elementwise and len(mix) <= 2:
        dw, error = kernels.objective_gradient(mix, w, w_hat, plan.a2, squared, frozen)
        return dw, error
    dw, error = kernels.empty(w.shape, w.dtype), 0.0
    rows = max(1, BLOCK // max(1, math.prod(w.shape[1:])))
    for start in range(0, len(w), rows):
        some = slice(start, start + rows)
        part = _added([(factor, a[some]) for factor, a in mix]) if mix else np.zeros_like(w[some])
        if elementwise:
            part = part + plan.a1 * np.abs(part) * np.sign(w[some] - w_hat[some])
        part, more = kernels.objective_gradient([(1.0, part)], w[some], w_hat[some], plan.a2, squared)
        if follows is not None:
            part = part + follows[some]
        dw[some] = part if frozen is None else np.where(frozen[some], 0, part)
        error += more
    return dw, error


def _pull(plan: Plan, gap: np.ndarray) -> np.ndarray:
    """Gradient of E, W_hat fixed."""
    return 2 * gap if plan.norm == "squared" else np.sign(gap)


def _moving_scale_part(
    plan: Plan, layer: int, terms: list[Term], gap: np.ndarray, w_hat: np.ndarray, slope: np.ndarray
) -> np.ndarray:
    """What depends on W through alpha = alpha(W): the chain rule through it, codes fixed."""
    codes = np.sign(w_hat)
    axes = tuple(range(1, w_hat.ndim)) if plan.per_channel else None
    inner = -plan.a2 * np.sum(_pull(plan, gap) * codes, axis=axes, keepdims=True)
    if plan.gradient == "constant":
        for term in terms:
            if layer in term.layers:
                inner = inner - plan.a1 * term.sign * np.sum(term.at.weights[layer] * codes, axis=axes, keepdims=True)
    part: np.ndarray = inner * slope
    return part


def _summed(
    plan: Plan,
    full: Evaluated | None,
    hat: Evaluated,
    terms: list[Term],
    error: float,
    sign: float,
    weights: list[np.ndarray],
    shared: list[np.ndarray],
) -> Objective:
    if full is None:
        return Objective(None, hat.loss, None, error, None, sign, weights, shared)
    differences = [full.loss - term.at.loss for term in terms]
    lp = sum(abs(d) if plan.perturbation == "abs" else max(0.0, -d) for d in differences)
    value = full.loss + plan.a1 * lp + plan.a2 * error
    return Objective(full.loss, hat.loss, lp, error, value, sign, weights, shared)
