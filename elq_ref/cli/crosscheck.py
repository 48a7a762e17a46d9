"""elq crosscheck: traces of a run, ours and anybody's, compared in order of computation."""

from __future__ import annotations

import argparse
from itertools import chain

import numpy as np

from .. import checkpoint, crosscheck, datasets
from ..crosscheck.trace import files
from ..datasets import Batches
from ..files import check_target
from .data import add_data
from .networks import open_network
from .output import Commands, Result, add_key
from .plan_options import add_plan, plan_of
from .trainable import usual_batch_size


def add(commands: Commands) -> None:
    command = commands.add_parser("crosscheck", help="check another implementation against this one")
    actions = command.add_subparsers(dest="action", required=True, metavar="record | compare | schema")
    schema = actions.add_parser("schema", help="what a trace holds, for who writes one")
    schema.set_defaults(run=run_schema)
    compare = actions.add_parser("compare", help="compare two traces; exit code 1 when they differ")
    compare.add_argument("ours", help="trace (.safetensors) whose stated bounds count")
    compare.add_argument("theirs", help="trace to be checked")
    compare.add_argument("--all", action="store_true", help="a line for every tensor")
    compare.set_defaults(run=run_compare)
    record = actions.add_parser("record", help="record the first steps of a quantization of our own")
    record.add_argument("checkpoint", help="float checkpoint: .safetensors, .pth or .th")
    record.add_argument("--model", help="model name, where the checkpoint does not say it")
    add_key(record)
    add_data(record)
    add_plan(record)
    record.add_argument("--steps", type=int, default=10, help="how many steps to record (default 10)")
    record.add_argument("--dtype", choices=("float64", "float32"), default="float64")
    record.add_argument(
        "--break-ties", action="store_true", help="decide by rule where rounding would: every machine alike"
    )
    record.add_argument("-o", "--output", required=True, metavar="TRACE", help="TRACE.safetensors and TRACE.json")
    record.set_defaults(run=run_record)
    for action in (schema, compare, record):
        # also accepted behind the action; not set there, so that `elq crosscheck --json compare` counts too
        action.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def run_schema(args: argparse.Namespace) -> Result:
    text = crosscheck.schema()
    return {"schema": text}, text, 0


def run_compare(args: argparse.Namespace) -> Result:
    found = crosscheck.compare(args.ours, args.theirs)
    result = {
        "ok": found.ok,
        "tensors": len(found.findings),
        "differing": sum(not f.ok for f in found.findings),
        "first": None if found.first is None else str(found.first),
        "only_ours": found.only_ours,
        "only_theirs": found.only_theirs,
    }
    text = "\n".join(chain([found.table()] if args.all else [], [str(found)]))
    return result, text, 0 if found.ok else 1


def run_record(args: argparse.Namespace) -> Result:
    if args.steps < 1:
        raise ValueError(f"--steps is {args.steps}, wanted at least 1")
    for file in files(args.output):
        check_target(file)
    train = datasets.load(args.data, args.data_dir, "train")
    net, info = open_network(checkpoint.read(args.checkpoint, args.key), args.model, train)
    size = args.batch_size or usual_batch_size(train)
    plan, sgd = plan_of(args, net, size)
    train, dtype = datasets.adapted(train, info), np.dtype(args.dtype)
    batches = Batches(train, size, augment=datasets.default_augment(train), seed=args.seed, dtype=dtype)
    trace = crosscheck.record(
        net.astype(dtype), batches, plan, sgd, path=args.output, steps=args.steps, break_ties=args.break_ties
    )
    path = files(args.output)[0]
    result = {"file": str(path), "steps": len(trace.meta["groups"]), "tensors": len(trace.tensors)}
    return result, f"{result['steps']} steps, {result['tensors']} tensors\n{path}", 0
