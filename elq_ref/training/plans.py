"""The named plans: what the commands run unless they are told otherwise. One table, from which all of them come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from ..elq.plan import Plan
from ..methods import plan_for
from .sgd import SGD


class Choice(NamedTuple):
    """A plan and its optimizer. keeps: which weights of a network stay float: "none", the two "ends" or "all"."""

    plan: Plan
    sgd: SGD
    keeps: str = "none"


def _of_elq(plan: Plan, lr: float) -> dict[tuple[str, str], Choice]:
    return {("elq", levels): Choice(replace(plan, levels=levels), SGD(lr=lr)) for levels in ("ternary", "binary")}


_BEST = _of_elq(Plan(epochs=(5.5, 0.125, 0.125, 0.125, 0.125), restart=0.3), 0.01)  # trials: docs/which-parts-matter.md
_LONG = Plan(epochs=(8.0, 1.0, 1.0, 1.0, 1.0), restart=0.3)  # trials: benchmarks/accuracy/headline_trials.py
_PAPER = Plan(a2=0.2, a2_rise=(0.1, 0.33), tail="pull")  # docs/method.md, Presets; trials: benchmarks/accuracy/parts.py
_DEMO = Plan(sign="computed", a1=1.0, a2=1e-4, epochs=(8, 4, 4, 4, 4))
_ONE = (6.0,)  # for a method that freezes nothing
_FOUR = (0.0, 1.5, 1.5, 1.5, 1.5)

# Every method in 6 passes, at the best of six rates (benchmarks/accuracy/tuning.py); order at elq's.
_TUNED = {
    ("elq", "ternary"): Choice(Plan(), SGD(lr=0.01)),
    ("elq", "binary"): Choice(Plan("binary"), SGD(lr=0.01)),
    ("bwn", "binary"): Choice(plan_for("bwn", epochs=_ONE), SGD(lr=0.01)),
    ("twn", "ternary"): Choice(plan_for("twn", epochs=_ONE), SGD(lr=0.01)),
    ("ttq", "ternary"): Choice(plan_for("ttq", epochs=_ONE), SGD(lr=0.003)),
    ("inq", "ternary"): Choice(plan_for("inq", epochs=_FOUR), SGD(lr=0.1)),
    ("lab", "binary"): Choice(plan_for("lab", epochs=_ONE), SGD(lr=0.01)),
    ("lat", "ternary"): Choice(plan_for("lat", epochs=_ONE), SGD(lr=0.01)),
    ("order", "ternary"): Choice(plan_for("order"), SGD(lr=0.01)),
    ("order", "binary"): Choice(plan_for("order", levels="binary"), SGD(lr=0.01)),
    ("binaryrelax", "ternary"): Choice(plan_for("binaryrelax"), SGD(lr=0.03)),
    ("binaryrelax", "binary"): Choice(plan_for("binaryrelax", levels="binary"), SGD(lr=0.03)),
    ("parq", "ternary"): Choice(plan_for("parq"), SGD(lr=0.03)),
    ("parq", "binary"): Choice(plan_for("parq", levels="binary"), SGD(lr=0.03)),
}


# name -> method, levels -> plan. Where a method's paper departs from its default plan: docs/methods.md.
PLANS: dict[str, dict[tuple[str, str], Choice]] = {
    "default": {  # elq quantize, elq crosscheck record: of ELQ the best that is known
        **_TUNED,
        **_BEST,
        ("ttq", "ternary"): _TUNED["ttq", "ternary"]._replace(keeps="ends"),
    },
    "comparison": {  # elq reproduce
        **_TUNED,
        ("float", "float"): Choice(Plan(sigma2=(), epochs=_ONE), SGD(lr=0.01), keeps="all"),
    },
    "headline": _of_elq(_LONG, 0.01),  # elq reproduce --headline
    "paper": _of_elq(_PAPER, 0.01),  # elq quantize --preset paper
    "demo": _of_elq(_DEMO, 0.05),  # elq demo
    "best": _BEST,  # elq quantize --preset best
}

PRESETS = ("paper", "best")


def methods_of(name: str) -> tuple[str, ...]:
    """The methods that have a plan of this name, in the order of the table."""
    return tuple(dict.fromkeys(method for method, _ in PLANS[name]))


def levels_of(name: str, method: str, levels: str | None = None) -> str:
    """`levels`, or those that the method has first; ValueError if it has no plan of this name, or none for them."""
    has = [there for known, there in PLANS[name] if known == method]
    if not has or (levels or has[0]) not in has:
        wanted = f"method {method!r}" + (f" with {levels} levels" if has else "")
        there = ", ".join(" ".join(key) for key in PLANS[name])
        raise ValueError(f"there is no {name} plan for {wanted}; there are: {there}")
    return levels or has[0]


def named_plan(
    name: str, method: str = "elq", levels: str | None = None, weights: Sequence[str] = ()
) -> tuple[Plan, SGD]:
    """The plan of a method by its name in PLANS, with its optimizer for batches of 128; any length: `Plan.spread`.

    "default"; "paper", the nearest to ELQ's paper (docs/method.md); "best", the best known of ELQ, its default too;
    "comparison", "headline", "demo" of the commands. levels None: those the method has first. weights: names of the
    network's (`Module.quantizable`), from input to output; a plan that keeps some in float names them.
    ValueError as of `levels_of`.

    >>> plan, sgd = elq.named_plan("best", levels="binary")
    >>> plan.spread(72).epochs, plan.restart, sgd.lr
    ((66.0, 1.5, 1.5, 1.5, 1.5), 0.3, 0.01)
    """
    plan, sgd, keeps = PLANS[name][method, levels_of(name, method, levels)]
    return replace(plan, keep_float=kept(keeps, weights)), sgd


def kept(keeps: str, weights: Sequence[str]) -> tuple[str, ...]:
    """Of `weights` those that stay float: "none", the first and the last ("ends"), or "all"."""
    return {"none": (), "ends": tuple(dict.fromkeys([*weights[:1], *weights[-1:]])), "all": tuple(weights)}[keeps]
