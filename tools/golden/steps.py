"""One ELQ step under every option, from a random state with frozen and free weights: float64."""

from __future__ import annotations

from pathlib import Path

import surrogate
import torch
from reference import DEFAULTS, QUANTIZED, Run, freeze, sign_of, small_cnn, small_state, step
from torch import Tensor
from traces import write

SGD = {"momentum": 0.9, "weight_decay": 1e-2, "nesterov": False}
GRADIENTS = ("constant", "straight-through", "taylor-inner", "taylor-elementwise")


def wanted() -> list[tuple[str, dict, dict, float]]:
    """(name, options, SGD, s that the state must lead to)."""
    found = []
    for levels in ("ternary", "binary"):
        for gradient in GRADIENTS:
            for word, s in (("minus", -1.0), ("plus", 1.0)):
                options = {"levels": levels, "gradient": gradient, "a1": 0.6, "a2": 0.03}
                found.append((f"{levels}-{gradient}-{word}", options, SGD, s))
    st = {"gradient": "straight-through", "a1": 0.6, "a2": 0.03}
    for levels in ("ternary", "binary"):
        base = st | {"levels": levels}
        found += [
            (f"{levels}-positive-minus", base | {"perturbation": "positive"}, SGD, -1.0),
            (f"{levels}-positive-zero", base | {"perturbation": "positive"}, SGD, 0.0),
            (f"{levels}-assumed", base | {"sign": "assumed", "a1": 1.0}, SGD, -1.0),
            (f"{levels}-assumed-a1-less", base | {"sign": "assumed"}, SGD, -1.0),
            (f"{levels}-absolute", base | {"norm": "absolute"}, SGD, -1.0),
            (f"{levels}-per-channel", base | {"per_channel": True}, SGD, 1.0),
            (f"{levels}-layer-straight-through", base | {"scope": "layer"}, SGD, -1.0),
            (f"{levels}-layer-constant", base | {"scope": "layer", "gradient": "constant"}, SGD, 1.0),
        ]
    return [
        *found,
        ("ternary-layer-taylor-inner", st | {"scope": "layer", "gradient": "taylor-inner"}, SGD, -1.0),
        ("ternary-inner-positive", st | {"gradient": "taylor-inner", "perturbation": "positive"}, SGD, -1.0),
        ("ternary-keep-float", st | {"keep_float": ("conv1.weight",)}, SGD, -1.0),
        ("ternary-nesterov", st, SGD | {"nesterov": True}, -1.0),
        ("ternary-no-decay", st | {"a2": 0.0}, SGD | {"weight_decay": 0.0}, 1.0),
        ("ternary-all-frozen", st, SGD, 0.0),
        ("ternary-assumed-all-frozen", st | {"sign": "assumed"}, SGD, 0.0),
        ("ternary-computed-a1-one", st | {"a1": 1.0}, SGD, 1.0),
        ("ternary-assumed-constant", st | {"sign": "assumed", "a1": 1.0, "gradient": "constant"}, SGD, -1.0),
        ("ternary-assumed-layer", st | {"sign": "assumed", "a1": 3.0, "scope": "layer"}, SGD, -1.0),
        ("ternary-assumed-a1-two", st | {"sign": "assumed", "a1": 2.0}, SGD, -1.0),
        ("ternary-clip", st | {"tail": "clip"}, SGD, -1.0),
        ("binary-pull", st | {"levels": "binary", "tail": "pull", "tail_rate": 0.25}, SGD, 1.0),
        *moving_scales(st),
    ]


def moving_scales(base: dict) -> list[tuple[str, dict, dict, float]]:
    """Stage 0 where alpha follows the weights."""
    moving = base | {"alpha_from": "stage0"}
    return [
        ("moving-constant-plus", moving | {"gradient": "constant"}, SGD, 1.0),
        (
            "moving-constant-minus",
            moving | {"gradient": "constant", "levels": "binary", "per_channel": True},
            SGD,
            -1.0,
        ),
        ("moving-straight-through", moving | {"per_channel": True}, SGD, 1.0),
        ("moving-absolute", moving | {"levels": "binary", "norm": "absolute"}, SGD, -1.0),
        ("moving-layer-constant", moving | {"gradient": "constant", "scope": "layer"}, SGD, 1.0),
        ("moving-twn", moving | {"gradient": "constant", "scale": "twn"}, SGD, 1.0),
        ("moving-l2", moving | {"gradient": "constant", "scale": "l2", "per_channel": True}, SGD, -1.0),
    ]


def state(options: dict, sgd: dict, seed: int, whole: bool) -> tuple[Run, Tensor, Tensor]:
    """A random run in the middle of a stage, and a batch."""
    g = torch.Generator().manual_seed(seed)
    params, buffers = small_state(g, (2, 3), 6, 3)
    for name, b in buffers.items():
        buffers[name] = b + 0.3 * torch.rand(b.shape, generator=g, dtype=b.dtype)
    velocity = {name: 0.1 * torch.randn(p.shape, generator=g, dtype=p.dtype) for name, p in params.items()}
    run = Run(options, sgd, params, buffers, QUANTIZED, velocity)
    if run.options["alpha_from"] == "pretrained":
        freeze(run, 0.35, whole)
    images = torch.randn(8, 1, 6, 6, generator=g, dtype=torch.float64)
    return run, images, torch.randint(3, (8,), generator=g)


def probe(options: dict, sgd: dict, seed: int, whole: bool) -> dict[str, Tensor]:
    run, images, labels = state(options, sgd, seed, whole)
    return step(run, small_cnn, images, labels, lr=0.05)


def part(out: dict[str, Tensor], kind: str) -> dict[str, Tensor]:
    """The tensors KIND/NAME by NAME."""
    return {k.partition("/")[2]: v for k, v in out.items() if k.startswith(f"{kind}/")}


def clear(out: dict[str, Tensor]) -> bool:
    """No loss so close to another that rounding could decide a sign."""
    losses = [v for k, v in out.items() if k == "loss_hat" or k.startswith("loss_one/")]
    return all(abs(float(out["loss"] - other)) > 1e-3 for other in losses)


def fits(out: dict[str, Tensor], options: dict, s: float) -> bool:
    """The state leads to the s that is wanted; in scope "layer" to terms of both signs."""
    full = DEFAULTS | options
    if not clear(out):
        return False
    if full["sign"] == "assumed":
        return float(out["loss"] - out["loss_hat"]) > 0  # where the assumption is wrong
    if full["scope"] == "layer":
        ones = [sign_of(out["loss"], v, full) for k, v in out.items() if k.startswith("loss_one/")]
        return sum(ones) == s and min(ones) < max(ones)
    return float(out["sign"]) == s


def make(folder: Path) -> None:
    """steps-float64."""
    tensors: dict[str, Tensor] = {}
    groups = []
    for name, options, sgd, s in wanted():
        whole = name.endswith("all-frozen")
        seed = next(k for k in range(1, 2000) if whole or fits(probe(options, sgd, k, whole), options, s))
        out = probe(options, sgd, seed, whole)
        run, images, labels = state(options, sgd, seed, whole)
        again = surrogate.gradient(run, small_cnn, images, labels, part(out, "grad"))
        if not surrogate.agree(part(out, "grad_total"), again):
            raise AssertionError(f"{name}: two ways to the gradient of J differ")
        tensors |= {f"{name}/{k}": v for k, v in out.items()}
        groups.append({"name": name, "seed": seed, "plan": DEFAULTS | options, "sgd": sgd})
    params = list(small_state(torch.Generator(), (2, 3), 6, 3)[0])
    write(
        folder,
        "steps-float64",
        "steps",
        tensors,
        groups,
        dtype="float64",
        parameters=params,
        quantized=QUANTIZED,
        bounds={},
    )
