"""elq quantize: a trained network to ternary or binary weights, stage by stage, and to a packed file."""

from __future__ import annotations

import argparse

from ..datasets import adapted
from ..runs.run import Run
from ..training.evaluate import at_chance
from .data import add_data, add_training, augmentation, batches_of, load_data
from .keep_float import add_keep_float, kept_float
from .output import Commands, Result, add_key
from .plan_options import add_plan, plan_of
from .processes import add_processes
from .running import AT_CHANCE, carry_out, result_text
from .trainable import OPTIONS, add_batchnorm, made_ready, network_file, opened, usual_batch_size

ASKED = (
    "checkpoint", "data", "batch_size", "seed", "preset", "hold_out", "keep_float", "augment", "input", "mean", "std",
    "resize", "class_index", "key", "micro_batch", "skip_broken", *OPTIONS,
)  # fmt: skip


def add(commands: Commands) -> None:
    command = commands.add_parser("quantize", help="quantize a trained network, with ELQ or a rival, and pack it")
    command.add_argument("checkpoint", help="trained network: .onnx, .safetensors, .pth or .th")
    command.add_argument("--model", help="model name, where the file does not say it")
    add_key(command)
    add_data(command)
    add_training(command)
    add_plan(command)
    add_keep_float(command)
    add_batchnorm(command)
    command.add_argument("-o", "--output", required=True, metavar="RUN_DIR")
    add_processes(command)
    command.add_argument("--resume", action="store_true", help="go on with the run in RUN_DIR")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    file = network_file(args, args.checkpoint)
    train, test = load_data(args, file, "both")
    net, info = opened(args, file, train)
    train, test = adapted(train, info), adapted(test, info)
    args.batch_size = args.batch_size or usual_batch_size(train)
    batches = batches_of(args, train, args.batch_size, augmentation(args, train))
    net = made_ready(args, file, net, batches)
    plan, sgd = plan_of(args, net, args.batch_size)
    plan = kept_float(args, plan, net, batches)
    config = {key: getattr(args, key) for key in ASKED}
    config |= {"model": info.model, "plan": plan.to_json(), "lr": sgd.lr}
    result = carry_out(
        Run(args.output, net, batches, plan, sgd, test=test, info=info, config=config), resume=args.resume
    )
    result["at_chance"] = at_chance(result["correct"], test)
    kind = "test" if args.hold_out is None else "held-out"
    text = result_text(result, f"{info.model or args.checkpoint} on {test.name}, {plan.levels}", plan.method, kind)
    if result["at_chance"]:
        text += (
            f"\n{AT_CHANCE}: a smaller --lr than {sgd.lr:g} or more --epochs may help; elq eval judges the checkpoint"
        )
    return result, text, 0
