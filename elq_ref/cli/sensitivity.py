"""elq sensitivity: what every layer costs when its weights are rounded, before anything is trained."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from typing import Any

from .. import datasets
from ..datasets import Batches
from ..elq.plan import Plan
from ..files import atomic_write, check_target
from ..nn import Module
from ..training.layer_costs import REESTIMATION_BATCHES, Judged, Sensitivity, sensitivity
from .data import add_data, add_training, augmentation, load_data
from .output import Commands, Result, add_key, progress, table
from .trainable import add_batchnorm, made_ready, network_file, opened, usual_batch_size

HELD_OUT = 1000  # pictures to judge on, at most; no more than a fifth of the training pictures


def add(commands: Commands) -> None:
    command = commands.add_parser("sensitivity", help="what every layer costs when its weights alone are quantized")
    command.add_argument("checkpoint", help="trained network: .onnx, .safetensors, .pth or .th")
    command.add_argument("--model", help="model name, where the file does not say it")
    add_key(command)
    add_data(command)
    add_training(command)
    add_batchnorm(command)
    command.add_argument("--levels", choices=("ternary", "binary"), default="ternary", help="default: ternary")
    command.add_argument("--batch-size", type=int, help="default 128, or 32 for pictures of more than 64x64")
    command.add_argument("--seed", type=int, default=0, help="of the batches that re-estimate BatchNorm's statistics")
    command.add_argument("--plot", metavar="FILE", help="draw a picture into FILE, a PNG, too (needs matplotlib)")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    draw = _painter() if args.plot else None
    if args.plot:
        check_target(args.plot)
    file = network_file(args, args.checkpoint)
    train = load_data(args, file, "train")
    net, info = opened(args, file, train)
    start = time.perf_counter()
    train = datasets.adapted(train, info)
    size = args.batch_size or usual_batch_size(train)
    batches = Batches(train, size, augment=augmentation(args, train), seed=args.seed)
    net = made_ready(args, file, net, batches)
    found, judged = measure(net, batches, Plan(args.levels), args.hold_out)
    if draw:
        with atomic_write(args.plot) as temporary:
            temporary.write_bytes(draw(found))
    result = found.to_json() | {"pictures": judged, "seconds": time.perf_counter() - start}
    return result, "\n".join([_table(found), _words(found, judged), *([args.plot] if args.plot else [])]), 0


def measure(net: Module, batches: Batches, plan: Plan, hold_out: int | None = None) -> tuple[Sensitivity, int]:
    """The sensitivity of `net` on a part held out of what `batches` are of, and how many pictures that is."""
    train = batches.dataset
    count = hold_out if hold_out is not None else max(1, min(HELD_OUT, len(train) // 5))
    rest, held = datasets.hold_out(train, count)
    batches = Batches(rest, batches.batch_size, augment=batches.augment, seed=batches.seed)

    def watch(numbers: Sequence[int]) -> Iterator[int]:
        return progress(numbers, len(numbers), "sensitivity")

    return sensitivity(net, batches, held, plan, watch=watch), count


def _painter() -> Any:
    try:
        from ..runs.report.layer_costs import layer_costs
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        raise ValueError("--plot needs matplotlib: pip install 'elq_ref[plot]'") from None
    return layer_costs


def _table(found: Sensitivity) -> str:
    heads = ["", "weights", "alone: loss", "top-1 %", "all but it: loss", "top-1 %"]
    rows = [[x.name, f"{x.weights:,}", *_cells(x.alone), *_cells(x.all_but)] for x in found.layers]
    whole = [["none", "", *_cells(found.in_float), "", ""], ["all", "", *_cells(found.rounded), "", ""]]
    return table([heads, *rows, *whole])


def _cells(judged: Judged) -> list[str]:
    return [f"{judged.loss:.4f}", f"{judged.top1:.2f}"]


def _words(found: Sensitivity, judged: int) -> str:
    most = ", ".join(found.most(min(3, len(found.layers))))
    return (
        f"{judged:,} held-out training images; weights rounded to {found.levels} levels without training, BatchNorm's "
        f"statistics re-estimated over {REESTIMATION_BATCHES} batches. Costliest alone: {most}"
    )
