"""elq quantize: a trained checkpoint to ternary or binary weights, stage by stage, and to a packed file."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields, replace
from typing import Any

from .. import datasets
from ..datasets import Batches
from ..elq.plan import Plan
from ..elq.stages import stage_steps
from ..optim import SGD
from ..quantizing import finish, recommended, run_stages, stage_line
from ..run_folder import RunFolder
from .common import Result, add_data, load_network, progress, with_normalization


def add(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("quantize", help="quantize a trained checkpoint with ELQ and pack it")
    command.add_argument("checkpoint", help="float checkpoint: .safetensors, .pth or .th")
    command.add_argument("--model", help="model name, where the checkpoint does not say it")
    add_data(command)
    command.add_argument("--levels", choices=("ternary", "binary"), default="ternary")
    command.add_argument("--method", default="elq")
    command.add_argument("--epochs", type=float, help="passes over the data in all (default: the plan's own)")
    command.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="any option of elq_ref.Plan")
    command.add_argument("--batch-size", type=int, default=128)
    command.add_argument("--lr", type=float, help="learning rate at the start of each stage")
    command.add_argument("--seed", type=int, default=0, help="of the batches")
    command.add_argument("-o", "--output", required=True, metavar="RUN_DIR")
    command.add_argument("--resume", action="store_true", help="go on with the run in RUN_DIR")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    plan, sgd = plan_of(args)
    train, test = datasets.load(args.data, args.data_dir, "both")
    net, metadata = load_network(args.checkpoint, args.model, train)
    train, test = with_normalization(train, metadata), with_normalization(test, metadata)
    batches = Batches(train, args.batch_size, augment=datasets.default_augment(train), seed=args.seed)
    folder = RunFolder(args.output)
    config = {k: getattr(args, k) for k in ("checkpoint", "data", "batch_size", "seed")}
    config |= {"model": metadata["model"], "plan": plan.to_json(), "lr": sgd.lr}
    state = None
    if args.resume:
        state = folder.resume(net, config)
        for difference in state.differences if state else []:
            print(f"elq: since the run was saved, {difference}: the bits may differ", file=sys.stderr)
    else:
        folder.start(config)
    total = sum(stage_steps(plan, batches)) - (state.step if state else 0)

    def bar(steps: Any) -> Any:
        return progress(steps, total, f"{plan.levels} {plan.method}")

    for stage in run_stages(net, batches, test, plan, sgd, folder, state=state, watch=bar):
        print(stage_line(stage), file=sys.stderr)
    result = finish(net, batches, test, folder, metadata)
    right = f"{result['correct']} of {result['total']} test images right ({result['top1']:.2f} %)"
    size = f"weights {result['weight_bytes']:,} bytes instead of {result['float_bytes']:,}"
    text = f"{metadata['model']} on {test.name}, {plan.levels}: {right}, {size}\n{result['packed']}"
    return result, text, 0


def plan_of(args: argparse.Namespace) -> tuple[Plan, SGD]:
    """The recommended plan and SGD for the levels, changed by --set, --epochs and --lr."""
    plan, sgd = recommended(args.levels)
    values = {"method": args.method, **dict(_setting(text) for text in args.set)}
    plan = Plan.from_json({**plan.to_json(), **values})
    if args.epochs is not None:
        if not args.epochs > 0:
            raise ValueError(f"--epochs is {args.epochs}, wanted a number > 0")
        plan = plan.spread(args.epochs)
    return plan, replace(sgd, lr=args.lr) if args.lr is not None else sgd


def _setting(text: str) -> tuple[str, Any]:
    """NAME=VALUE with the value read as the type that the option's default has."""
    name, equals, value = text.partition("=")
    kinds = {f.name: type(f.default) for f in fields(Plan)}
    if not equals or name not in kinds:
        raise ValueError(f"--set {text}: wanted NAME=VALUE with NAME one of {', '.join(kinds)}")
    kind = kinds[name]
    try:
        if kind is tuple:
            parts = [part for part in value.split(",") if part]
            return name, tuple(parts if name == "keep_float" else map(float, parts))
        if kind is bool:
            return name, {"true": True, "false": False}[value.lower()]
        return name, kind(value)
    except (ValueError, KeyError):
        raise ValueError(f"--set {text}: {value!r} is no {kind.__name__}") from None
