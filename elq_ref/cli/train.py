"""elq train: float training, from random weights or on from those of a file."""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from typing import Any

from .. import checkpoint, models
from ..checkpoint import Checkpoint
from ..datasets import Batches, Dataset, adapted
from ..files import beside, check_target
from ..graph.info import NetworkInfo
from ..nn import Module
from ..runs.estimate import evaluation_seconds, timed
from ..runs.together import folder_of
from ..training.evaluate import at_chance, count_correct
from ..training.float_training import fit, float_plan
from ..training.sgd import SGD, Schedule
from ..training.stages import stage_steps
from .data import add_data, add_training, augmentation, batches_of, load_data
from .output import Commands, Result, add_key, progress, say
from .processes import add_processes
from .running import AT_CHANCE
from .trainable import OPTIONS, add_batchnorm, made_ready, network_file, opened, usual_batch_size, usual_rate

ANEW: dict[str, float] = {"epochs": 30, "lr": 0.05, "weight_decay": 5e-4}
FROM_FILE: dict[str, float] = {"epochs": 5, "lr": 0.01, "weight_decay": 1e-4}
ASKED = (
    "network", "model", "data", "epochs", "batch_size", "lr", "weight_decay", "seed", "hold_out", "classes_from",
    "augment", "input", "mean", "std", "resize", "class_index", "key", "micro_batch", "skip_broken", *OPTIONS,
)  # fmt: skip


def add(commands: Commands) -> None:
    command = commands.add_parser("train", help="train a network in float32, from random weights or from a file's")
    command.add_argument("network", nargs="?", help="trained network to go on from: .onnx, .safetensors, .pth or .th")
    about = f"without a file, or where it does not say it: {', '.join(models.MODELS)}"
    command.add_argument("--model", help=about)
    add_key(command)
    add_data(command)
    add_training(command)
    about = "data: make the last layer anew, for the classes of --data; the other layers keep their weights"
    command.add_argument("--classes-from", choices=("data",), help=about)
    add_batchnorm(command)
    for name, about in (("epochs", "passes over the data"), ("lr", "learning rate"), ("weight_decay", "weight decay")):
        words = f"{about} (default {ANEW[name]:g}, from a file {FROM_FILE[name]:g}"
        words += "; times batch size / 128)" if name == "lr" else ")"
        command.add_argument(f"--{name.replace('_', '-')}", type=float, help=words)
    command.add_argument("--batch-size", type=int, help="default 128, or 32 for pictures of more than 64x64")
    command.add_argument("--seed", type=int, default=0, help="of new weights and of the batches")
    command.add_argument("-o", "--output", required=True, help="checkpoint to write (.safetensors)")
    add_processes(command)
    command.add_argument("--resume", action="store_true", help="go on with the run in OUTPUT.run")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    check_target(args.output)
    if args.network is None and args.model is None:
        raise ValueError(f"nobody says what is trained: wanted a file, or --model, one of {', '.join(models.MODELS)}")
    if args.network is None and args.classes_from:
        raise ValueError("--classes-from data makes the last layer of a trained network anew: wanted a file of one")
    file = None if args.network is None else network_file(args, args.network)
    train, judge = load_data(args, file, "both")
    args.batch_size = args.batch_size or usual_batch_size(train)
    usual = ANEW if file is None else FROM_FILE
    for name, value in (usual | {"lr": usual_rate(usual["lr"], args.batch_size)}).items():
        setattr(args, name, value if getattr(args, name) is None else getattr(args, name))
    net, info = _network(args, file, train)
    train, judge = adapted(train, info), adapted(judge, info)
    batches = batches_of(args, train, args.batch_size, augmentation(args, train))
    net = net if file is None else made_ready(args, file, net, batches)
    correct, loss = _trained(args, net, batches, judge, info)
    result: dict[str, Any] = {
        "correct": correct,
        "total": len(judge),
        "top1": 100 * correct / len(judge),
        "at_chance": at_chance(correct, judge),
        "loss": loss,
        "file": args.output,
    }
    kind = "test" if args.hold_out is None else "held-out"
    right = f"{correct} of {len(judge)} {kind} images right ({result['top1']:.2f} %)"
    text = f"{args.network or args.model} on {judge.name}: {right}\n{args.output}"
    if result["at_chance"]:
        text += f"\n{AT_CHANCE}: a smaller --lr than {args.lr:g}, more --epochs or another --seed may help"
    return result, text, 0


def _network(args: argparse.Namespace, file: Checkpoint | None, train: Dataset) -> tuple[Module, NetworkInfo]:
    if file is not None:
        return opened(args, file, train)
    info = replace(NetworkInfo.of(train), model=args.model)
    return models.build(args.model, info.input_shape, len(info.classes), args.seed), info


def _trained(
    args: argparse.Namespace, net: Module, batches: Batches, judge: Dataset, info: NetworkInfo
) -> tuple[int, float | None]:
    """Train `net` and save it: how many pictures of `judge` are right, and the loss of the last batch."""
    sgd = SGD(args.lr, 0.9, args.weight_decay, nesterov=True, schedule=Schedule("cosine", warmup=0.05))
    folder = folder_of(beside(args.output, ".run"), args.world)
    config = {key: getattr(args, key) for key in ASKED}
    total, loss = stage_steps(float_plan(net, args.epochs), batches)[0], None
    if args.resume:
        folder.check(config)
    else:
        folder.start(config)
    with folder.locked():
        state = folder.resume(net, batches) if args.resume else None
        left = total - (state.step if state else 0)
        steps = timed(
            fit(net, batches, args.epochs, sgd, state=state), left, partial(evaluation_seconds, net, judge), say
        )
        for step in folder.follow(progress(steps, left, "training")):
            loss = step.loss_hat
        correct = count_correct(net, judge, world=args.world)
        if args.world.rank == 0:
            checkpoint.save(net, args.output, info)
        folder.clear()
    return correct, loss
