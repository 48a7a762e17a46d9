"""elq quantize: a trained checkpoint to ternary or binary weights, stage by stage, and to a packed file."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from .. import datasets
from ..datasets import Batches, Dataset
from ..elq.plan import Plan
from ..nn import Module
from ..runs.folder import RunFolder
from ..runs.quantizing import finish, run_stages, stage_line, written
from ..training.sgd import SGD
from ..training.stages import stage_steps
from .common import Result, add_data, load_network, progress, with_normalization
from .plan_options import add_plan, plan_of


def add(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("quantize", help="quantize a trained checkpoint, with ELQ or a rival, and pack it")
    command.add_argument("checkpoint", help="float checkpoint: .safetensors, .pth or .th")
    command.add_argument("--model", help="model name, where the checkpoint does not say it")
    add_data(command)
    add_plan(command)
    command.add_argument("-o", "--output", required=True, metavar="RUN_DIR")
    command.add_argument("--resume", action="store_true", help="go on with the run in RUN_DIR")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    train, test = datasets.load(args.data, args.data_dir, "both")
    net, metadata = load_network(args.checkpoint, args.model, train)
    plan, sgd = plan_of(args, net)
    train, test = with_normalization(train, metadata), with_normalization(test, metadata)
    batches = Batches(train, args.batch_size, augment=datasets.default_augment(train), seed=args.seed)
    folder = RunFolder(args.output)
    config = {k: getattr(args, k) for k in ("checkpoint", "data", "batch_size", "seed")}
    config |= {"model": metadata["model"], "plan": plan.to_json(), "lr": sgd.lr}
    result = carry_out(net, metadata, batches, test, test, plan, sgd, folder, config, resume=args.resume)
    return result, result_text(result, f"{metadata['model']} on {test.name}, {plan.levels}", plan.method), 0


def carry_out(
    net: Module,
    metadata: dict[str, Any],
    batches: Batches,
    judge: Dataset,
    test: Dataset,
    plan: Plan,
    sgd: SGD,
    folder: RunFolder,
    config: dict[str, Any],
    *,
    resume: bool,
    every_pass: bool = False,
) -> dict[str, Any]:
    """Start or resume the run of `folder` and finish it: its stages are measured on `judge`, its packed file on `test`.

    A run that is finished already is only read.
    """
    total = sum(stage_steps(plan, batches))
    if resume:
        folder.check(config)
        if done := folder.result():
            return done | written(folder)
    else:
        folder.start(config)
    with folder.held():
        state = folder.resume(net) if resume else None
        for difference in state.differences if state else []:
            print(f"elq: since the run was saved, {difference}: the bits may differ", file=sys.stderr)
        left = total - (state.step if state else 0)

        def bar(steps: Any) -> Any:
            return progress(steps, left, f"{plan.levels} {plan.method}")

        for stage in run_stages(net, batches, judge, plan, sgd, folder, state=state, every_pass=every_pass, watch=bar):
            print(stage_line(stage), file=sys.stderr)
        return finish(net, batches, test, folder, metadata)


def result_text(result: dict[str, Any], what: str, method: str, kind: str = "test") -> str:
    """Two lines: how many pictures of a kind the packed network of `what` classifies, its size; and where it is."""
    right = f"{result['correct']} of {result['total']} {kind} images right ({result['top1']:.2f} %)"
    size = f"weights {result['weight_bytes']:,} bytes instead of {result['float_bytes']:,}"
    if result["packed_as_float"]:
        size += f" (two scales a layer, as {method} has them, do not fit the file's codes: packed as float32)"
    return f"{what}: {right}, {size}\n{result['packed']}"
