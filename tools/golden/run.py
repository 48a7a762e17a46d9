"""A run of the small CNN through all stages: float64, and float32 with the bounds of its roundings."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import torch
from reference import DEFAULTS, QUANTIZED, PlainOps, Run, freeze, small_cnn, small_state, step
from rounding import bounds
from torch import Tensor
from traces import write

OPTIONS = {"levels": "ternary", "gradient": "straight-through", "a1": 0.5, "a2": 0.02}
SGD = {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-3, "nesterov": False}
SIGMA2 = (0.4, 0.25, 0.1, 0.0)
STEPS = 3  # per stage, stage 0 included
SEED = 0


def batches(g: torch.Generator) -> list[tuple[Tensor, Tensor]]:
    """Noisy copies of four random pictures, 8x8, sixteen a batch."""
    pictures = torch.randn(4, 1, 8, 8, generator=g, dtype=torch.float64)
    found = []
    for _ in range(STEPS * (1 + len(SIGMA2))):
        labels = torch.randint(4, (16,), generator=g)
        found.append((pictures[labels] + 1.2 * torch.randn(16, 1, 8, 8, generator=g, dtype=torch.float64), labels))
    return found


def start(seed: int, dtype: torch.dtype) -> tuple[Run, list[tuple[Tensor, Tensor]]]:
    g = torch.Generator().manual_seed(seed)
    params, buffers = small_state(g, (4, 6), 8, 4)
    data = [(images.to(dtype), labels) for images, labels in batches(g)]
    run = Run(
        OPTIONS,
        SGD,
        {k: v.to(dtype) for k, v in params.items()},
        {k: v.to(dtype) for k, v in buffers.items()},
        QUANTIZED,
    )
    return run, data


def double(run: Run) -> Run:
    """The same state in float64, value for value."""
    wide = copy.deepcopy(run)
    for field in ("params", "buffers", "velocity", "alpha"):
        setattr(wide, field, {name: value.double() for name, value in getattr(run, field).items()})
    return wide


def step_bounds(run: Run, images: Tensor, labels: Tensor, lr: float) -> dict[str, float]:
    """Bounds of everything that the step computes from the state and batch, which are given."""

    def compute(ops) -> dict[str, Tensor]:
        out = step(double(run), small_cnn, images.double(), labels, lr, ops=ops or PlainOps)
        given = (
            "images",
            "labels",
            "lr",
            "w/",
            "velocity/",
            "buffer/",
            "frozen/",
            "alpha/",
            "codes/",
            "sign",
        )
        return {k: v for k, v in out.items() if not k.startswith(given)}

    return bounds(compute)


def clear(run: Run, out: dict[str, Tensor], limits: dict[str, float], sigma2: float) -> bool:
    """No weight so near an edge, no loss so near another, no ReLU so near its kink, that rounding could
    decide.

    A wrong decision of a ReLU would show as a wide bound of the gradients.
    """
    for name in QUANTIZED:
        size, alpha = out[f"w_after/{name}"][~run.frozen[name]].abs(), run.alpha[name]
        for edge in (0.5, sigma2, 1 - sigma2):
            if size.numel() and float((size / alpha - edge).abs().min()) < 2e-6:
                return False
    grads = [(limit, float(out[key].abs().max())) for key, limit in limits.items() if key.startswith("grad")]
    narrow = all(limit < 1e-3 * largest for limit, largest in grads if largest > 0)
    return narrow and (out["sign"] == 0 or abs(float(out["loss"] - out["loss_hat"])) > 1e-3)


def course(seed: int, dtype: torch.dtype):
    """Tensors, groups and bounds of the whole run; None where some decision is too close to call."""
    run, data = start(seed, dtype)
    tensors: dict[str, Tensor] = {}
    groups, limits = [], {}
    for index, (images, labels) in enumerate(data):
        stage, at = divmod(index, STEPS)
        if at == 0 and stage > 0:
            freeze(run, SIGMA2[stage - 1], stage == len(SIGMA2))
        lr = SGD["lr"] * (1 + math.cos(math.pi * at / STEPS)) / 2
        before = copy.deepcopy(run)
        out = step(run, small_cnn, images, labels, lr)
        found = step_bounds(before, images, labels, lr) if dtype == torch.float32 else {}
        if not clear(run, out, found, SIGMA2[min(stage, len(SIGMA2) - 1)]):
            return None
        tensors |= {f"{index}/{k}": v for k, v in out.items()}
        limits |= {f"{index}/{k}": v for k, v in found.items()}
        count = sum(f.numel() for f in run.frozen.values())
        groups.append(
            {
                "name": str(index),
                "stage": stage,
                "step": at,
                "starts_stage": at == 0,
                "frozen": sum(int(f.sum()) for f in run.frozen.values()) / count,
            }
        )
    return tensors, groups, limits


def make(folder: Path) -> None:
    """run-float64 and run-float32, from the first seed whose decisions are clear, s of both signs."""
    for seed in range(SEED, 500):
        courses = {name: course(seed, dtype) for name, dtype in (("float64", torch.float64),)}
        if courses["float64"] is None:
            continue
        signs = {float(v) for k, v in courses["float64"][0].items() if k.endswith("/sign")}
        if not {-1.0, 1.0} <= signs:
            continue
        courses["float32"] = course(seed, torch.float32)
        if courses["float32"] is not None:
            break
    for name, (tensors, groups, limits) in courses.items():
        plan = DEFAULTS | OPTIONS | {"sigma2": SIGMA2}
        params = list(small_state(torch.Generator(), (4, 6), 8, 4)[0])
        write(
            folder,
            f"run-{name}",
            "run",
            tensors,
            groups,
            dtype=name,
            seed=seed,
            plan=plan,
            sgd=SGD,
            steps_per_stage=STEPS,
            parameters=params,
            quantized=QUANTIZED,
            bounds=limits,
        )
