"""One ELQ step and its freezes in PyTorch, on torch.autograd alone: the independent side of the cross-check.

Nothing of elq_ref is used here. The rules are those of docs/method.md; the names of the options are those of
its table. Weights, momenta and running statistics are dicts of tensors by parameter name; every function
returns new ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]

DEFAULTS = {
    "levels": "ternary",
    "scale": "elq",
    "alpha_from": "pretrained",
    "per_channel": False,
    "tail": "last",
    "tail_rate": 0.01,
    "a1": 1.0,
    "a2": 0.0,
    "gradient": "straight-through",
    "sign": "computed",
    "perturbation": "abs",
    "norm": "squared",
    "scope": "network",
    "momentum_at_freeze": "keep",
    "keep_float": (),
}


@dataclass
class Run:
    """What a run remembers between steps."""

    options: dict
    sgd: dict
    params: State
    buffers: State
    quantized: list[str]
    velocity: State = field(default_factory=dict)
    alpha: State = field(default_factory=dict)
    frozen: State = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.options = DEFAULTS | self.options
        self.quantized = [name for name in self.quantized if name not in self.options["keep_float"]]
        for name, p in self.params.items():
            self.velocity.setdefault(name, torch.zeros_like(p))
        for name in self.quantized:
            w = self.params[name]
            self.alpha.setdefault(name, scale(w, self.options))
            self.frozen.setdefault(name, torch.zeros_like(w, dtype=torch.bool))


def scale(w: Tensor, options: dict) -> Tensor:
    """alpha of a layer, or of each output channel, with all axes of the weight."""
    size = w.abs()
    rows = size.flatten(1) if options["per_channel"] else size.reshape(1, -1)
    if options["levels"] == "binary":
        alpha = rows.mean(1)
    elif options["scale"] == "elq":
        alpha = rows.mean(1) + 0.05 * rows.amax(1)
    elif options["scale"] == "twn":
        alpha = torch.stack([row[row > 0.7 * row.mean()].mean() for row in rows])
    else:
        alpha = torch.stack([_least_squares(row) for row in rows])
    return alpha.reshape(-1, *[1] * (w.dim() - 1))


def _least_squares(row: Tensor) -> Tensor:
    """Every support of the k largest is tried; the mean over the one of the smallest ||row - alpha c||^2."""
    best, chosen = float("inf"), row[:0]
    for k in range(1, len(row) + 1):
        top = row.topk(k)
        w_hat = torch.zeros_like(row).index_fill(0, top.indices, float(top.values.detach().mean()))
        error = float(((row.detach() - w_hat) ** 2).sum())
        if error < best:
            best, chosen = error, top.values
    return chosen.mean()


def codes_of(w: Tensor, alpha: Tensor, levels: str) -> Tensor:
    """Nearest level of each weight as int8."""
    if levels == "binary":
        return torch.where(w >= 0, 1, -1).to(torch.int8)
    return (w > alpha / 2).to(torch.int8) - (w < -alpha / 2).to(torch.int8)


def quantized(w: Tensor, alpha: Tensor, levels: str) -> Tensor:
    """W_hat; a code of 0 gives +0.0."""
    codes = codes_of(w, alpha, levels)
    return torch.where(codes == 0, torch.zeros_like(w), codes.to(w.dtype) * alpha)


def freeze(run: Run, sigma2: float, last: bool) -> None:
    """The start of a stage: group 1 takes its level for ever and loses its momentum."""
    options = run.options
    for name in run.quantized:
        w, alpha = run.params[name], run.alpha[name]
        if last:
            band = torch.ones_like(run.frozen[name])
        elif options["levels"] == "ternary":
            band = (w.abs() >= sigma2 * alpha) & (w.abs() < (1 - sigma2) * alpha)
        else:
            band = w.abs() < (1 - 2 * sigma2) * alpha
        if options["tail"] == "2alpha":
            band = band | (w.abs() > 2 * alpha)
        group = band & ~run.frozen[name]
        run.params[name] = torch.where(group, quantized(w, alpha, options["levels"]), w)
        run.frozen[name] = run.frozen[name] | group
        run.velocity[name] = torch.where(run.frozen[name], torch.zeros_like(w), run.velocity[name])
    if options["momentum_at_freeze"] == "reset":
        run.velocity = {name: torch.zeros_like(v) for name, v in run.velocity.items()}


def loss_and_gradients(network, params: State, buffers: State, images: Tensor, labels: Tensor, **kwargs):
    """(loss, dL/d(every parameter), running statistics after this pass); `buffers` stay as they are."""
    leaves = {name: p.detach().clone().requires_grad_() for name, p in params.items()}
    moved = {name: b.clone() for name, b in buffers.items()}
    loss = network(leaves, moved, images, labels, **kwargs)
    grads = torch.autograd.grad(loss, list(leaves.values()))
    return loss.detach(), dict(zip(leaves, grads, strict=True)), moved


def sign_of(loss: Tensor, loss_hat: Tensor, options: dict) -> float:
    """s, the derivative of Lp by L(W) - L(W_hat)."""
    if options["sign"] == "assumed":
        return -1.0
    s = float(torch.sign(loss - loss_hat))
    return min(s, 0.0) if options["perturbation"] == "positive" else s


def step(run: Run, network, images: Tensor, labels: Tensor, lr: float, **kwargs) -> dict[str, Tensor]:
    """One update of `run` in place; returns all that was computed, by the names of the schema."""
    options, a1, a2 = run.options, run.options["a1"], run.options["a2"]
    weights = run.quantized
    out: dict[str, Tensor] = {"images": images, "labels": labels, "lr": torch.tensor(lr, dtype=torch.float64)}

    def note(kind: str, values: State) -> None:
        out.update({f"{kind}/{name}": value.detach().clone() for name, value in values.items()})

    note("w", run.params)
    note("velocity", run.velocity)
    note("buffer", run.buffers)
    note("frozen", run.frozen)
    note("alpha", run.alpha)
    hat = {name: quantized(run.params[name], run.alpha[name], options["levels"]) for name in weights}
    note("codes", {name: codes_of(run.params[name], run.alpha[name], options["levels"]) for name in weights})
    note("w_hat", hat)

    def at(values: State):
        return loss_and_gradients(network, {**run.params, **values}, run.buffers, images, labels, **kwargs)

    loss_hat, grad_hat, buffers_after = at(hat)
    out["loss_hat"] = loss_hat
    note("grad_hat", grad_hat)
    whole = all(bool(run.frozen[name].all()) for name in weights)
    loss, grad = (loss_hat, grad_hat) if whole else at({})[:2]

    # The terms of Lp: (layers quantized in it, its loss, its gradients).
    terms = [(weights, loss_hat, grad_hat)]
    if options["scope"] == "layer" and not whole:
        terms = []
        for name in weights:
            loss_one, grad_one, _ = at({name: hat[name]})
            terms.append(([name], loss_one, grad_one))
            out[f"loss_one/{name}"] = loss_one
            note(f"grad_one/{name}", grad_one)
    signs = [0.0 if whole else sign_of(loss, at_term, options) for _, at_term, _ in terms]
    out["loss"] = loss
    note("grad", grad)

    gap = {name: run.params[name] - hat[name] for name in weights}
    parts = [loss - at_term for _, at_term, _ in terms]
    positive = options["perturbation"] == "positive"
    lp = sum(torch.clamp(-part, min=0) if positive else part.abs() for part in parts)
    if options["norm"] == "squared":
        error = sum((gap[name] ** 2).sum() for name in weights)
    else:
        error = sum(gap[name].abs().sum() for name in weights)
    out["sign"] = torch.tensor(sum(signs), dtype=torch.float64)
    out["perturbation"], out["error"], out["objective"] = lp, error, loss + a1 * lp + a2 * error

    total = {}
    for name, p in run.params.items():
        g = grad[name]
        if name in weights and options["gradient"] == "taylor-elementwise":
            d = g + a1 * g.abs() * torch.sign(gap[name])
        elif name in weights and options["gradient"] == "taylor-inner":
            layers = next(layers for layers, _, _ in terms if name in layers)
            inner = torch.sign(sum((grad[layer] * gap[layer]).sum() for layer in layers))
            d = g + a1 * (torch.clamp(inner, max=0) if positive else inner) * g
        else:
            d = (1 + a1 * sum(signs)) * g
            for (layers, _, grad_term), s in zip(terms, signs, strict=True):
                if not (options["gradient"] == "constant" and name in layers):
                    d = d - a1 * s * grad_term[name]
        if name in weights:
            d = d + a2 * (2 * gap[name] if options["norm"] == "squared" else torch.sign(gap[name]))
            if options["alpha_from"] == "stage0":
                s = next(s for (layers, _, _), s in zip(terms, signs, strict=True) if name in layers)
                ghat = next(grad_term for layers, _, grad_term in terms if name in layers)[name]
                d = d + through_alpha(run, name, gap[name], s * ghat)
            d = torch.where(run.frozen[name], torch.zeros_like(p), d)
        total[name] = d
    note("grad_total", total)

    for name, p in run.params.items():
        d = total[name] + run.sgd["weight_decay"] * p
        v = run.sgd["momentum"] * run.velocity[name] + d
        moved = p - lr * (d + run.sgd["momentum"] * v if run.sgd["nesterov"] else v)
        if name in weights:
            moved = torch.where(run.frozen[name], p, drawn_in(moved, run.alpha[name], options))
            v = torch.where(run.frozen[name], run.velocity[name], v)
        run.params[name], run.velocity[name] = moved, v
    run.buffers = buffers_after
    note("velocity_after", run.velocity)
    note("w_after", run.params)
    note("buffer_after", run.buffers)
    return out


def through_alpha(run: Run, name: str, gap: Tensor, s_ghat: Tensor) -> Tensor:
    """The part through alpha = alpha(W), codes fixed: -a1 <s ghat, c> dalpha/dW, -2 a2 <W - W_hat, c> dalpha/dW."""
    options = run.options
    w = run.params[name].detach().clone().requires_grad_()
    w_hat = codes_of(run.params[name], run.alpha[name], options["levels"]) * scale(w, options)
    pull = 2 * gap if options["norm"] == "squared" else torch.sign(gap)
    value = -options["a2"] * (pull * w_hat).sum()
    if options["gradient"] == "constant":
        value = value - options["a1"] * (s_ghat * w_hat).sum()
    return torch.autograd.grad(value, w)[0]


def drawn_in(w: Tensor, alpha: Tensor, options: dict) -> Tensor:
    """Tails: clip puts what lies beyond +-alpha onto it, pull takes away a share of its excess."""
    inside = torch.minimum(torch.maximum(w, -alpha), alpha)
    if options["tail"] == "pull":
        return w - options["tail_rate"] * (w - inside)
    return inside if options["tail"] == "clip" else w


class PlainOps:
    """The operations of the small network as PyTorch computes them."""

    conv2d = staticmethod(F.conv2d)
    linear = staticmethod(F.linear)
    cross_entropy = staticmethod(F.cross_entropy)

    @staticmethod
    def batch_norm(x: Tensor, mean: Tensor, var: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        return F.batch_norm(x, mean, var, gamma, beta, training=True, momentum=0.1, eps=1e-5)


def small_cnn(params: State, buffers: State, images: Tensor, labels: Tensor, ops=PlainOps) -> Tensor:
    """conv 3x3 - bn - relu - max pool 2 - conv 3x3 stride 2 - bn - relu - linear; mean cross entropy."""
    x = ops.conv2d(images, params["conv1.weight"], padding=1)
    x = ops.batch_norm(
        x, *(buffers[f"bn1.running_{k}"] for k in ("mean", "var")), params["bn1.weight"], params["bn1.bias"]
    )
    x = F.max_pool2d(F.relu(x), 2)
    x = ops.conv2d(x, params["conv2.weight"], padding=1, stride=2)
    x = ops.batch_norm(
        x, *(buffers[f"bn2.running_{k}"] for k in ("mean", "var")), params["bn2.weight"], params["bn2.bias"]
    )
    x = F.relu(x).flatten(1)
    return ops.cross_entropy(ops.linear(x, params["fc.weight"], params["fc.bias"]), labels)


QUANTIZED = ["conv1.weight", "conv2.weight", "fc.weight"]


def small_state(generator: torch.Generator, widths: tuple[int, int], size: int, classes: int) -> tuple[State, State]:
    """Random parameters and fresh running statistics for `small_cnn` on size x size images of one channel."""
    a, b = widths
    side = (size // 2 + 1) // 2

    def normal(*shape: int, fan_in: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64) * (2 / fan_in) ** 0.5

    params = {
        "conv1.weight": normal(a, 1, 3, 3, fan_in=9),
        "bn1.weight": 1 + 0.1 * normal(a, fan_in=2),
        "bn1.bias": 0.1 * normal(a, fan_in=2),
        "conv2.weight": normal(b, a, 3, 3, fan_in=9 * a),
        "bn2.weight": 1 + 0.1 * normal(b, fan_in=2),
        "bn2.bias": 0.1 * normal(b, fan_in=2),
        "fc.weight": normal(classes, b * side * side, fan_in=b * side * side),
        "fc.bias": 0.1 * normal(classes, fan_in=2),
    }
    one = torch.ones(1, dtype=torch.float64)
    buffers = {}
    for layer, channels in (("bn1", a), ("bn2", b)):
        buffers[f"{layer}.running_mean"] = one.new_zeros(channels)
        buffers[f"{layer}.running_var"] = one.new_ones(channels)
    return params, buffers
