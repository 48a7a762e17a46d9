"""elq reproduce: a published comparison's run, from the trained checkpoint to the packed file, test set read once."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import asdict, replace
from typing import Any

from .. import checkpoint, datasets
from ..datasets import Augment, Cache, Dataset, RandomResizedCrop, Reading
from ..runs.recipes import (
    COMPARED,
    EXPERIMENTS,
    HEADLINE_PASSES,
    JUDGES,
    PASSES,
    Experiment,
    Photographs,
    recipe,
)
from ..runs.run import Run
from ..training.plans import PRESETS, levels_of
from .data import batches_of
from .networks import open_network
from .output import Commands, Result, add_key, say
from .plan_options import add_settings, changed
from .processes import add_processes
from .running import carry_out, result_text


def add(commands: Commands) -> None:
    command = commands.add_parser("reproduce", help="run a recipe of the comparison, from checkpoint to packed file")
    command.add_argument("recipe", help=", ".join(EXPERIMENTS))
    command.add_argument("checkpoint", nargs="?", help="trained network (default: where it lies in the data folder)")
    add_key(command)
    command.add_argument("--levels", choices=("ternary", "binary"), help="default: ternary, or what the method has")
    command.add_argument("--method", default="elq", help=f"one of {', '.join(COMPARED)} (default: elq)")
    command.add_argument("--seed", type=int, default=0, help="of the batches")
    length = command.add_mutually_exclusive_group()
    length.add_argument("--quick", action="store_true", help="1 pass over the data, 0.01 of ImageNet's, to see it work")
    lengths = f"{PASSES:g}, or {HEADLINE_PASSES:g} with --headline"
    length.add_argument("--passes", type=float, help=f"over the data, in all (default: {lengths})")
    plans = command.add_mutually_exclusive_group()
    plans.add_argument("--headline", action="store_true", help="the plan of the longer runs")
    plans.add_argument("--preset", choices=PRESETS, help="elq by the plan of elq quantize --preset")
    command.add_argument("--first-last-float", action="store_true", help="do not quantize the first and the last layer")
    add_settings(command)
    command.add_argument("--lr", type=float, help="another learning rate at the start of stage 0")
    command.add_argument("--weight-decay", type=float, help="another weight decay")
    command.add_argument("--batch-size", type=int, help="another number of pictures a step, and the rate in proportion")
    command.add_argument("--data", metavar="DIR", help="ImageNet, train/ and val/, for the recipes that read it")
    words = "classes of a val/ without sub-folders, lines of NAME SYNSET (default: DIR/val.txt or LOC_val_solution.csv)"
    command.add_argument("--val-list", metavar="FILE", help=words)
    command.add_argument("--data-dir", help="folder of the data sets (default: the environment variable ELQ_DATA)")
    command.add_argument("-o", "--output", required=True, metavar="RUN_DIR")
    add_processes(command)
    command.add_argument("--resume", action="store_true", help="go on with the run in RUN_DIR")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    if args.recipe not in EXPERIMENTS:
        raise ValueError(f"there is no recipe {args.recipe!r}; there are: {', '.join(EXPERIMENTS)}")
    experiment, levels = EXPERIMENTS[args.recipe], levels_of("comparison", args.method, args.levels)
    passes = experiment.quick if args.quick else args.passes
    if passes is not None and not passes > 0:
        raise ValueError(f"--passes is {passes}, wanted a number > 0")
    if args.batch_size is not None and args.batch_size < 1:
        raise ValueError(f"--batch-size is {args.batch_size}, wanted at least 1")
    train, judge, test = _parts(experiment, args)
    file = checkpoint.read(experiment.find_checkpoint(args.checkpoint, args.data_dir), args.key)
    net, info = open_network(file, experiment.model, train)
    plan, sgd = recipe(
        args.method,
        levels,
        tuple(net.quantizable()),
        headline=args.headline,
        preset=args.preset,
        passes=passes,
        first_last_float=args.first_last_float,
    )
    plan = changed(plan, args.set).spread(sum(plan.epochs))  # epochs= gives proportions, not another length
    batch_size = args.batch_size or experiment.batch_size
    sgd = experiment.sgd or sgd
    sgd = replace(sgd, lr=sgd.lr * (batch_size / experiment.batch_size))
    given = {"lr": args.lr, "weight_decay": args.weight_decay}
    sgd = replace(sgd, **{k: v for k, v in given.items() if v is not None})
    train, judge, test = (datasets.adapted(part, info) for part in (train, judge, test))
    batches = batches_of(args, train, batch_size, _augment(experiment, train))
    config = {
        "recipe": args.recipe,
        "method": args.method,
        "levels": levels,
        "seed": args.seed,
        "headline": args.headline,
        **({} if args.preset is None else {"preset": args.preset}),
        "first_last_float": args.first_last_float,
        "model": experiment.model,
        "checkpoint": {"name": file.path.name, "sha256": file.sha256},
        "judge": f"{len(judge):,} {'held-out' if experiment.hold_out else 'training'} images",
        **({} if args.batch_size is None else {"batch_size": batch_size}),
        **({} if args.micro_batch is None else {"micro_batch": args.micro_batch}),
        "plan": plan.to_json(),
        "sgd": asdict(sgd),
        "command": _command(args),
    }
    result = carry_out(
        Run(args.output, net, batches, plan, sgd, test=test, judge=judge, info=info, config=config, every_pass=True),
        resume=args.resume,
    )
    what = f"{args.recipe}, {args.method if levels == 'float' else f'{levels} by {args.method}'}, seed {args.seed}"
    return result, result_text(result, what, args.method, "held-out" if experiment.hold_out else "test"), 0


def _parts(experiment: Experiment, args: argparse.Namespace) -> tuple[Dataset, Dataset, Dataset]:
    """What trains, what the run is measured on while it goes on, and what its packed file is measured on at the end."""
    if experiment.hold_out:
        train, held = datasets.hold_out(datasets.load(experiment.data, args.data_dir, "train"), experiment.hold_out)
        return train, held, held
    train, test = _photographs(experiment.photographs, args) if experiment.photographs else _load(experiment, args)
    return train, datasets.hold_out(train, min(JUDGES, len(train) // 5))[1], test


def _load(experiment: Experiment, args: argparse.Namespace) -> tuple[Dataset, Dataset]:
    """Both parts of a data set that is known by its name."""
    if word := next((word for word in ("data", "val_list") if getattr(args, word) is not None), None):
        raise ValueError(f"--{word.replace('_', '-')} is of the recipes for ImageNet: {args.recipe} reads --data-dir")
    return datasets.load(experiment.data, args.data_dir, "both")


def _photographs(how: Photographs, args: argparse.Namespace) -> tuple[Dataset, Dataset]:
    """Both parts of the folder of photographs that is given; none is kept in memory, there are too many."""
    if args.data is None:
        raise ValueError(f"{args.recipe} reads ImageNet: wanted --data DIR, the folder with its train/ and val/")
    reading = Reading(cache=Cache(0), tell=lambda line: say(f"elq: {line}"))
    return datasets.imagenet(
        args.data,
        how.input_shape,
        how.resize,
        normalization=how.normalization,
        val_list=args.val_list,
        reading=reading,
    )


def _augment(experiment: Experiment, train: Dataset) -> Augment | RandomResizedCrop | None:
    """Of the photographs of an experiment, or as is usual for its data."""
    how = experiment.photographs
    return datasets.default_augment(train) if how is None else RandomResizedCrop(how.scale)


def _command(args: argparse.Namespace) -> str:
    """The command without what differs from machine to machine."""
    words = ["elq", "reproduce", args.recipe, "--method", args.method, "--seed", args.seed]
    words += ["--levels", args.levels] if args.levels else []
    words += [f"--{name}" for name in ("quick", "headline") if getattr(args, name)]
    words += ["--first-last-float"] if args.first_last_float else []
    words += ["--preset", args.preset] if args.preset else []
    for name in ("passes", "lr", "weight_decay", "batch_size", "micro_batch"):
        value: Any = getattr(args, name)
        words += [f"--{name.replace('_', '-')}", f"{value:g}"] if value is not None else []
    return shlex.join(map(str, [*words, *(["--set", *args.set] if args.set else [])]))
