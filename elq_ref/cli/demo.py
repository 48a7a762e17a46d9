"""elq demo: float training, ELQ to ternary and binary, packing and running, on the digits that ship with elq_ref."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import checkpoint, datasets, kernels, models
from ..datasets import Batches, Dataset
from ..graph.info import NetworkInfo
from ..nn import Module
from ..runs.run import Run
from ..runtime import PackedNetwork, Session
from ..tensor import Tensor, no_grad
from ..training.evaluate import count_correct, reestimate
from ..training.float_training import fit
from ..training.plans import named_plan
from ..training.sgd import SGD, Schedule
from .output import Commands, Result, progress, say, table
from .running import carry_out

MODEL = "digits_cnn"
FLOAT_EPOCHS = 40
AGREE = 1e-3  # logits packed and unpacked: four layers of up to 576 float32 products in two orders, 1.4e-4, and room
BATCH = 64
LEVELS = ("ternary", "binary")


def add(commands: Commands) -> None:
    command = commands.add_parser("demo", help="the main job on real digits: train, quantize, pack, run")
    command.add_argument("--out", default="elq-demo", help="folder for everything that is made (default: elq-demo)")
    command.add_argument("--seed", type=int, default=0)
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    start = time.perf_counter()
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    train, test = datasets.digits()
    batches = Batches(train, BATCH, augment=datasets.default_augment(train), seed=args.seed)
    info = replace(NetworkInfo.of(train), model=MODEL)
    net = models.build(MODEL, info.input_shape, len(info.classes), args.seed)
    say(f"Training {MODEL} in float32 on {len(train)} pictures of handwritten digits")
    result: dict[str, Any] = {"float": train_float(net, batches, test, out / "float.safetensors", info)}
    trained = net.state_dict()
    for levels in LEVELS:
        plan, sgd = named_plan("demo", levels=levels)
        say(f"ELQ to {levels} weights: a1 {plan.a1}, a2 {plan.a2}, {plan.gradient}, sign {plan.sign}")
        net.load_state_dict(trained)
        config = {"plan": plan.to_json()}
        result[levels] = quantize_one(Run(out / levels, net, batches, plan, sgd, test=test, info=info, config=config))
    result["seconds"] = time.perf_counter() - start
    result["folder"] = str(out)
    agree = max(result[levels]["difference"] for levels in LEVELS) <= AGREE
    return result, closing_table(result), 0 if agree else 1


def train_float(net: Module, batches: Batches, test: Dataset, path: Path, info: NetworkInfo) -> dict[str, Any]:
    """Train, save, evaluate."""
    sgd = SGD(0.1, weight_decay=5e-4, nesterov=True, schedule=Schedule("cosine", warmup=0.1))
    steps = round(FLOAT_EPOCHS * len(batches))
    for _ in progress(fit(net, batches, FLOAT_EPOCHS, sgd), steps, "float"):
        pass
    reestimate(net, batches, len(batches))
    checkpoint.save(net, path, info)
    size = sum(4 * w.data.size for w in net.quantizable().values())
    images = Tensor(test.normalized(np.arange(1)))

    def forward() -> None:
        with no_grad():
            net(images)

    return {
        "top1": 100 * count_correct(net, test) / len(test),
        "weight_bytes": size,
        "ms_per_image": milliseconds(forward),
        "kernel": f"training, {kernels.info()['kernel']}",
    }


def quantize_one(run: Run) -> dict[str, Any]:
    """ELQ, stage by stage, then from the packed file."""
    run.folder.clear()
    result = carry_out(run)
    session = Session(PackedNetwork.load(result["packed"]))
    ms = milliseconds(lambda: session(run.test.images[:1]))
    return {**result, "ms_per_image": ms, "kernel": ", ".join(sorted(set(session.kernels.values())))}


def milliseconds(call: Any, runs: int = 50) -> float:
    """Median time of one call."""
    times = []
    for _ in range(runs):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return 1000 * float(np.median(times))


def closing_table(result: dict[str, Any]) -> str:
    """The table at the end."""
    rows = [["", "top-1 %", "weight bytes", "ratio", "ms/image", "kernel"]]
    size = result["float"]["weight_bytes"]
    for name in ("float", "ternary", "binary"):
        r = result[name]
        rows.append(
            [
                name,
                f"{r['top1']:.2f}",
                f"{r['weight_bytes']:,}",
                f"{size / r['weight_bytes']:.1f}",
                f"{r['ms_per_image']:.3f}",
                r["kernel"],
            ]
        )
    checked = ", ".join(f"{levels} {result[levels]['difference']:.0e}" for levels in LEVELS)
    return "\n".join(
        [
            table(rows),
            f"Largest difference of a logit, packed against unpacked network: {checked}",
            f"Everything made is in {result['folder']} ({result['seconds']:.0f} s)",
        ]
    )
