"""The gradient of a step a second time: torch.autograd on the function that each mode truly differentiates.

reference.step adds up the formulas of docs/method.md; here J is written down as a scalar and differentiated as a whole.
With W0, W_hat0, g0 the values of this step, Lp is taken of
    constant            L(W_hat0), or L(alpha(W) codes) where alpha follows W
    straight-through    L(W_hat0 + (W - W0))
    taylor-inner        |<g0, W - W_hat0>| in place of |L(W) - L(W_hat)|
    taylor-elementwise  sum |g0| |W - W_hat0|
and shared parameters enter through J itself.
"""

from __future__ import annotations

import torch
from reference import Run, State, quantized, scale
from torch import Tensor


def _lp(difference: Tensor, options: dict) -> Tensor:
    """Lp of L(W) - L(W_hat); where the sign is assumed, its continuation."""
    if options["sign"] == "assumed":
        return -difference
    return torch.clamp(-difference, min=0) if options["perturbation"] == "positive" else difference.abs()


def gradient(run: Run, network, images: Tensor, labels: Tensor, grad: State) -> State:
    """dJ/d(every parameter) of the step that `run` is about to make; `grad` holds g0, the gradient of L(W)."""
    options, names = run.options, run.quantized
    a1, a2, mode = options["a1"], options["a2"], options["gradient"]
    leaves = {name: p.detach().clone().requires_grad_() for name, p in run.params.items()}
    w_hat = {name: quantized(run.params[name], run.alpha[name], options["levels"]) for name in names}
    moving = dict(w_hat)
    if options["alpha_from"] == "stage0":
        codes = {name: w_hat[name] / run.alpha[name] for name in names}
        moving = {name: codes[name] * scale(leaves[name], options) for name in names}
    through = moving if mode == "constant" else {n: w_hat[n] + (leaves[n] - run.params[n]) for n in names}
    whole = all(bool(f.all()) for f in run.frozen.values())

    def loss(weights: State) -> Tensor:
        return network({**leaves, **weights}, {n: b.clone() for n, b in run.buffers.items()}, images, labels)

    def perturbation(weights: State) -> Tensor:
        if whole:
            return torch.zeros((), dtype=images.dtype)
        if options["scope"] == "layer":
            return sum(_lp(loss({}) - loss({n: weights[n]}), options) for n in names)
        return _lp(loss({}) - loss(weights), options)

    gap = {name: leaves[name] - moving[name] for name in names}
    power = 2 if options["norm"] == "squared" else 1
    error = sum((gap[name].abs() ** power).sum() for name in names)
    if mode == "taylor-inner":
        groups = [[n] for n in names] if options["scope"] == "layer" else [names]
        inner = [sum((grad[n] * (leaves[n] - w_hat[n])).sum() for n in group) for group in groups]
        positive = options["perturbation"] == "positive"
        lp = sum(torch.clamp(-i, min=0) if positive else i.abs() for i in inner)
    elif mode == "taylor-elementwise":
        lp = sum((grad[n].abs() * (leaves[n] - w_hat[n]).abs()).sum() for n in names)
    else:
        lp = perturbation(through)
    base = loss(through) if whole else loss({})
    in_weights = base + a1 * lp + a2 * error
    in_shared = base + a1 * perturbation(w_hat)
    weights = torch.autograd.grad(in_weights, [leaves[n] for n in names], retain_graph=True)
    shared_names = [n for n in leaves if n not in names]
    shared = torch.autograd.grad(in_shared, [leaves[n] for n in shared_names])
    found = dict(zip([*names, *shared_names], [*weights, *shared], strict=True))
    return {n: torch.where(run.frozen[n], 0, d) if n in names else d for n, d in found.items()}


def agree(ours: State, theirs: State) -> bool:
    """Equal to 1e-12 of each tensor's largest value."""
    return all(
        float((ours[n] - theirs[n]).abs().max()) <= 1e-12 * max(1.0, float(theirs[n].abs().max())) for n in theirs
    )
