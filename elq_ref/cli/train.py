"""elq train: float training from random weights."""

from __future__ import annotations

import argparse
from dataclasses import replace

from .. import checkpoint, datasets, models
from ..datasets import Batches
from ..files import beside, check_target
from ..graph.info import NetworkInfo
from ..runs.folder import RunFolder
from ..training.evaluate import at_chance, count_correct
from ..training.float_training import fit, float_plan
from ..training.sgd import SGD, Schedule
from ..training.stages import stage_steps
from .networks import add_data
from .output import Commands, Result, progress
from .running import AT_CHANCE


def add(commands: Commands) -> None:
    command = commands.add_parser("train", help="train a model in float32")
    command.add_argument("--model", required=True, help=", ".join(models.MODELS))
    add_data(command)
    command.add_argument("--epochs", type=float, default=30)
    command.add_argument("--batch-size", type=int, default=128)
    command.add_argument("--lr", type=float, default=0.05)
    command.add_argument("--weight-decay", type=float, default=5e-4)
    command.add_argument("--seed", type=int, default=0, help="of the weights and of the batches")
    command.add_argument("--hold-out", type=int, metavar="N", help="train without N of the images; judge on these")
    command.add_argument("-o", "--output", required=True, help="checkpoint to write (.safetensors)")
    command.add_argument("--resume", action="store_true", help="go on with the run in OUTPUT.run")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    check_target(args.output)
    if args.hold_out is None:
        train, judge = datasets.load(args.data, args.data_dir, "both")
    else:
        train, judge = datasets.hold_out(datasets.load(args.data, args.data_dir, "train"), args.hold_out)
    net = models.build(args.model, train.input_shape, len(train.classes), args.seed)
    batches = Batches(train, args.batch_size, augment=datasets.default_augment(train), seed=args.seed)
    sgd = SGD(args.lr, 0.9, args.weight_decay, nesterov=True, schedule=Schedule("cosine", warmup=0.05))
    folder = RunFolder(beside(args.output, ".run"))
    asked = ("model", "data", "epochs", "batch_size", "lr", "weight_decay", "seed", "hold_out")
    config = {k: getattr(args, k) for k in asked}
    total, loss = stage_steps(float_plan(net, args.epochs), batches)[0], None
    if args.resume:
        folder.check(config)
    else:
        folder.start(config)
    with folder.locked():
        state = folder.resume(net, batches) if args.resume else None
        left = total - (state.step if state else 0)
        for step in folder.follow(progress(fit(net, batches, args.epochs, sgd, state=state), left, "training")):
            loss = step.loss_hat
        correct = count_correct(net, judge)
        checkpoint.save(net, args.output, replace(NetworkInfo.of(train), model=args.model))
        folder.clear()
    result = {
        "correct": correct,
        "total": len(judge),
        "top1": 100 * correct / len(judge),
        "at_chance": at_chance(correct, judge),
        "loss": loss,
        "file": args.output,
    }
    kind = "test" if args.hold_out is None else "held-out"
    right = f"{correct} of {len(judge)} {kind} images right ({result['top1']:.2f} %)"
    text = f"{args.model} on {train.name}: {right}\n{args.output}"
    if result["at_chance"]:
        text += f"\n{AT_CHANCE}: a smaller --lr than {args.lr:g}, more --epochs or another --seed may help"
    return result, text, 0
