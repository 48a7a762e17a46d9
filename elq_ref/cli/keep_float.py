"""--keep-float of elq quantize: which weights it leaves in float."""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import cache
from typing import TypeVar

from ..datasets import Batches
from ..elq.plan import Plan
from ..nn import Module
from ..runs.folder import RunFolder
from ..training.keeping import WORDS, weights_kept
from ..training.layer_costs import Sensitivity
from .output import say
from .sensitivity import measure

P = TypeVar("P", bound=Plan)


def add_keep_float(command: argparse.ArgumentParser) -> None:
    """The option, which `kept_float` reads."""
    about = f"weights that stay float32: {WORDS}"
    command.add_argument("--keep-float", nargs="+", action="extend", default=[], metavar="WHICH", help=about)


def kept_float(args: argparse.Namespace, plan: P, net: Module, batches: Batches) -> P:
    """The plan, which keeps what --keep-float says besides its own. A run that is resumed keeps what it kept before:
    what is sensitive is measured once."""
    words = args.keep_float
    if not words:
        return plan
    if args.resume:
        saved = RunFolder(args.output).config()
        same = saved.get("keep_float") == words and isinstance(saved.get("plan"), dict)
        return replace(plan, keep_float=tuple(saved["plan"].get("keep_float", ()))) if same else plan

    @cache
    def measured() -> Sensitivity:
        return measure(net, batches, plan)[0]

    kept = {*plan.keep_float, *weights_kept(words, net, batches.dataset.input_shape, measured)}
    names = tuple(name for name in net.quantizable() if name in kept)
    say(f"{len(names)} of {len(net.quantizable())} weights stay float: {', '.join(names)}")
    return replace(plan, keep_float=names)
