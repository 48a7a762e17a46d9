"""A plan on the command line: what `elq quantize` and `elq crosscheck record` both take."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from ..elq.plan import Plan
from ..methods import METHODS, make, plan_from_json
from ..nn import Module
from ..training.plans import PRESETS, named_plan
from ..training.sgd import SGD
from .trainable import usual_rate


def add_plan(command: argparse.ArgumentParser) -> None:
    """The options that make a plan, an SGD and batches."""
    command.add_argument("--levels", choices=("ternary", "binary"), help="default: ternary, or what the method has")
    command.add_argument("--method", default="elq", help=f"one of {', '.join(METHODS)} (default: elq)")
    about = "elq's plan nearest to its paper, or the best that is known (default: best)"
    command.add_argument("--preset", choices=PRESETS, help=about)
    command.add_argument("--epochs", type=float, help="passes over the data in all (default: the plan's own)")
    add_settings(command)
    command.add_argument("--batch-size", type=int, help="default 128, or 32 for pictures of more than 64x64")
    about = "learning rate at the start of stage 0 (default: the plan's times batch size / 128)"
    command.add_argument("--lr", type=float, help=about)
    command.add_argument("--seed", type=int, default=0, help="of the batches")


def add_settings(command: argparse.ArgumentParser) -> None:
    """--set, which `changed` reads."""
    about = "any option of the method's plan (elq_ref.Plan) but levels and method"
    command.add_argument("--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE", help=about)


def plan_of(args: argparse.Namespace, net: Module, batch_size: int) -> tuple[Plan, SGD]:
    """The plan and SGD of the method, for these levels and the network, changed by --set, --epochs and --lr."""
    plan, sgd = named_plan(args.preset or "default", args.method, args.levels, tuple(net.quantizable()))
    plan = changed(plan, args.set)
    if args.epochs is not None:
        if not args.epochs > 0:
            raise ValueError(f"--epochs is {args.epochs}, wanted a number > 0")
        plan = plan.spread(args.epochs)
    return plan, replace(sgd, lr=usual_rate(sgd.lr, batch_size) if args.lr is None else args.lr)


def changed(plan: Plan, settings: Sequence[str]) -> Plan:
    """The plan with each NAME=VALUE of `settings`; ValueError if there is no such option or the method has it not."""
    plan = plan_from_json({**plan.to_json(), **dict(_setting(text, plan) for text in settings)})
    make(plan)
    return plan


def _setting(text: str, plan: Plan) -> tuple[str, Any]:
    """NAME=VALUE with the value read as the type that the option's default has."""
    name, equals, value = text.partition("=")
    settings = [f for f in fields(plan) if f.name not in ("levels", "method")]  # these two have options of their own
    kinds: dict[str, Any] = {f.name: type(f.default) for f in settings}
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
