"""elq quantize: a trained checkpoint to ternary or binary weights, stage by stage, and to a packed file."""

from __future__ import annotations

import argparse

from .. import checkpoint, datasets
from ..datasets import Batches
from ..runs.run import Run
from ..training.evaluate import at_chance
from .keep_float import add_keep_float, kept_float
from .networks import add_data, open_network
from .output import Commands, Result, add_key
from .plan_options import add_plan, plan_of
from .running import AT_CHANCE, carry_out, result_text


def add(commands: Commands) -> None:
    command = commands.add_parser("quantize", help="quantize a trained checkpoint, with ELQ or a rival, and pack it")
    command.add_argument("checkpoint", help="float checkpoint: .safetensors, .pth or .th")
    command.add_argument("--model", help="model name, where the checkpoint does not say it")
    add_key(command)
    add_data(command)
    add_plan(command)
    add_keep_float(command)
    command.add_argument("-o", "--output", required=True, metavar="RUN_DIR")
    command.add_argument("--resume", action="store_true", help="go on with the run in RUN_DIR")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    file = checkpoint.read(args.checkpoint, args.key)
    train, test = datasets.load(args.data, args.data_dir, "both")
    net, info = open_network(file, args.model, train)
    plan, sgd = plan_of(args, net)
    train, test = datasets.adapted(train, info), datasets.adapted(test, info)
    plan = kept_float(args, plan, net, train)
    batches = Batches(train, args.batch_size, augment=datasets.default_augment(train), seed=args.seed)
    config = {k: getattr(args, k) for k in ("checkpoint", "data", "batch_size", "seed", "keep_float")}
    config |= {"model": info.model, "plan": plan.to_json(), "lr": sgd.lr}
    result = carry_out(
        Run(args.output, net, batches, plan, sgd, test=test, info=info, config=config), resume=args.resume
    )
    result["at_chance"] = at_chance(result["correct"], test)
    text = result_text(result, f"{info.model} on {test.name}, {plan.levels}", plan.method)
    if result["at_chance"]:
        text += (
            f"\n{AT_CHANCE}: a smaller --lr than {sgd.lr:g} or more --epochs may help; elq eval judges the checkpoint"
        )
    return result, text, 0
