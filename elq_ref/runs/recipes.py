"""Recipes: for a network, a method and its levels, the plan and the optimizer that `elq reproduce` runs.

Every method, and plain float fine-tuning beside them, gets `PASSES` passes over the data. The choices are made on the
exploration network, which never meets the test set (docs/reproduce.md).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..elq.plan import Plan
from ..methods import usual_plan
from ..training.sgd import SGD

PASSES, QUICK_PASSES, HEADLINE_PASSES = 12.0, 1.0, 72.0
METHODS = ("elq", "bwn", "twn", "ttq", "inq", "lab", "lat", "float")
JUDGES = 2000  # training pictures on which a run is measured while it goes on


@dataclass(frozen=True)
class Subject:
    """A trained network and what it is quantized with.

    checkpoint: where it lies below the folder of the data sets; None if its path must be given. hold_out: so many of
    the training images train nothing and stand in for the test set, which is not read then.
    """

    model: str
    data: str
    batch_size: int
    checkpoint: str | None = None
    hold_out: int = 0

    def find_checkpoint(self, given: str | None, data_dir: str | None) -> Path:
        """The path of the checkpoint: the given one, or where it lies; FileNotFoundError says what was looked for."""
        if given is not None:
            return Path(given)
        root = data_dir if data_dir is not None else os.environ.get("ELQ_DATA")
        if self.checkpoint is None or not root:
            raise FileNotFoundError(f"no checkpoint of {self.model} is given: name its file")
        if not (path := Path(root, self.checkpoint)).is_file():
            raise FileNotFoundError(f"there is no checkpoint {path}: name its file")
        return path


SUBJECTS = {
    "cifar10-resnet20": Subject("resnet20", "cifar10", 128, "weights/resnet20-12fca82f.th"),
    "cifar10-resnet20-exploration": Subject("resnet20", "cifar10", 128, hold_out=5000),
    "digits": Subject("digits_cnn", "digits", 64),
}

_STAGED = Plan(sigma2=(0.4, 0.3, 0.2, 0.0), epochs=(4.0, 2.0, 2.0, 2.0, 2.0))
_FLOAT = Plan(sigma2=(), epochs=(PASSES,))  # every weight stays float
_CHOICES: dict[tuple[str, str], tuple[Plan, SGD]] = {
    ("elq", "ternary"): (_STAGED, SGD(lr=0.01)),
    ("elq", "binary"): (replace(_STAGED, levels="binary"), SGD(lr=0.01)),
    ("twn", "ternary"): (usual_plan("twn"), SGD(lr=0.01)),
    ("bwn", "binary"): (usual_plan("bwn"), SGD(lr=0.01)),
    ("ttq", "ternary"): (usual_plan("ttq"), SGD(lr=0.003)),
    ("inq", "ternary"): (usual_plan("inq"), SGD(lr=0.1)),
    ("lab", "binary"): (usual_plan("lab"), SGD(lr=0.01)),
    ("lat", "ternary"): (usual_plan("lat"), SGD(lr=0.01)),
    ("float", "float"): (_FLOAT, SGD(lr=0.01)),
}
_LONG = Plan(sigma2=(0.4, 0.3, 0.2, 0.0), epochs=(8.0, 1.0, 1.0, 1.0, 1.0), restart=0.3)
_HEADLINES = {  # more trials went into these (benchmarks/headline_trials.py)
    ("elq", "ternary"): (_LONG, SGD(lr=0.01)),
    ("elq", "binary"): (replace(_LONG, levels="binary"), SGD(lr=0.01)),
}


def levels_of(method: str, levels: str | None = None) -> str:
    """`levels`, or those the method has first; ValueError if it is not a method here or has not these levels."""
    has = [level for name, level in _CHOICES if name == method]
    if not has:
        raise ValueError(f"there is no recipe for method {method!r}; there are: {', '.join(METHODS)}")
    if levels is not None and levels not in has:
        raise ValueError(f"there is no {levels} recipe for method {method}, only {', '.join(has)}")
    return levels or has[0]


def recipe(
    method: str,
    levels: str,
    weights: Sequence[str],
    *,
    headline: bool = False,
    passes: float | None = None,
    first_last_float: bool = False,
) -> tuple[Plan, SGD]:
    """The plan and optimizer for a network with these weights (`Module.quantizable`), in `passes` over the data.

    headline: those of the longer runs; `passes` is HEADLINE_PASSES then, and otherwise PASSES, unless it is given.
    Every layer is quantized, whatever the method's paper does, unless first_last_float keeps the first and the last
    in float for all methods alike.
    """
    key = method, levels_of(method, levels)
    if headline and key not in _HEADLINES:
        there = ", ".join(" ".join(found) for found in _HEADLINES)
        raise ValueError(f"there is no plan of a longer run for {method}; there are: {there}")
    plan, sgd = (_HEADLINES if headline else _CHOICES)[key]
    if passes is None:
        passes = HEADLINE_PASSES if headline else PASSES
    kept = (weights[0], weights[-1]) if first_last_float else ()
    if method == "float":
        kept = tuple(weights)
    return replace(plan.spread(passes), keep_float=kept), sgd
