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


_FREEZES = (4.0, 2.0, 2.0, 2.0, 2.0)
_LONG = Plan(epochs=(8.0, 1.0, 1.0, 1.0, 1.0), restart=0.3)  # trials: benchmarks/headline_trials.py
_PAPER = Plan(gradient="taylor-elementwise", sign="computed", norm="absolute", a2=1e-5, tail="pull")  # docs/method.md
_DEMO = Plan(sign="computed", a1=1.0, a2=1e-4, epochs=(8, 4, 4, 4, 4))
_ONE = (6.0,)  # for a method that freezes nothing
_FOUR = (0.0, 1.5, 1.5, 1.5, 1.5)

# name -> method, levels -> plan. Where a method's paper departs from its default plan: docs/methods.md.
PLANS: dict[str, dict[tuple[str, str], Choice]] = {
    "default": {  # elq quantize, elq crosscheck record
        ("elq", "ternary"): Choice(Plan(), SGD(lr=0.03)),
        ("elq", "binary"): Choice(Plan("binary"), SGD(lr=0.03)),
        ("bwn", "binary"): Choice(plan_for("bwn", epochs=_ONE), SGD(lr=0.03)),
        ("twn", "ternary"): Choice(plan_for("twn", epochs=_ONE), SGD(lr=0.03)),
        ("ttq", "ternary"): Choice(plan_for("ttq", epochs=_ONE), SGD(lr=0.03), keeps="ends"),
        ("inq", "ternary"): Choice(plan_for("inq", epochs=_FOUR), SGD(lr=0.03)),
        ("lab", "binary"): Choice(plan_for("lab", epochs=_ONE), SGD(lr=0.03)),
        ("lat", "ternary"): Choice(plan_for("lat", epochs=_ONE), SGD(lr=0.03)),
        ("order", "ternary"): Choice(plan_for("order"), SGD(lr=0.03)),
        ("order", "binary"): Choice(plan_for("order", levels="binary"), SGD(lr=0.03)),
        ("binaryrelax", "ternary"): Choice(plan_for("binaryrelax"), SGD(lr=0.03)),
        ("binaryrelax", "binary"): Choice(plan_for("binaryrelax", levels="binary"), SGD(lr=0.03)),
        ("parq", "ternary"): Choice(plan_for("parq"), SGD(lr=0.03)),
        ("parq", "binary"): Choice(plan_for("parq", levels="binary"), SGD(lr=0.03)),
    },
    "comparison": {  # elq reproduce: every method in as many passes, at the best of six rates (benchmarks/tuning.py)
        ("elq", "ternary"): Choice(Plan(epochs=_FREEZES), SGD(lr=0.01)),
        ("elq", "binary"): Choice(Plan("binary", epochs=_FREEZES), SGD(lr=0.01)),
        ("bwn", "binary"): Choice(plan_for("bwn", epochs=_ONE), SGD(lr=0.01)),
        ("twn", "ternary"): Choice(plan_for("twn", epochs=_ONE), SGD(lr=0.01)),
        ("ttq", "ternary"): Choice(plan_for("ttq", epochs=_ONE), SGD(lr=0.003)),
        ("inq", "ternary"): Choice(plan_for("inq", epochs=_FOUR), SGD(lr=0.1)),
        ("lab", "binary"): Choice(plan_for("lab", epochs=_ONE), SGD(lr=0.01)),
        ("lat", "ternary"): Choice(plan_for("lat", epochs=_ONE), SGD(lr=0.01)),
        ("order", "ternary"): Choice(plan_for("order", epochs=_FREEZES), SGD(lr=0.01)),  # at elq's rate, untuned
        ("order", "binary"): Choice(plan_for("order", levels="binary", epochs=_FREEZES), SGD(lr=0.01)),
        ("binaryrelax", "ternary"): Choice(plan_for("binaryrelax"), SGD(lr=0.01)),  # untuned, these four
        ("binaryrelax", "binary"): Choice(plan_for("binaryrelax", levels="binary"), SGD(lr=0.01)),
        ("parq", "ternary"): Choice(plan_for("parq"), SGD(lr=0.01)),
        ("parq", "binary"): Choice(plan_for("parq", levels="binary"), SGD(lr=0.01)),
        ("float", "float"): Choice(Plan(sigma2=(), epochs=(12.0,)), SGD(lr=0.01), keeps="all"),
    },
    "headline": {  # elq reproduce --headline
        ("elq", "ternary"): Choice(_LONG, SGD(lr=0.01)),
        ("elq", "binary"): Choice(replace(_LONG, levels="binary"), SGD(lr=0.01)),
    },
    "paper": {  # elq quantize --preset paper
        ("elq", "ternary"): Choice(_PAPER, SGD(lr=0.03)),
        ("elq", "binary"): Choice(replace(_PAPER, levels="binary"), SGD(lr=0.03)),
    },
    "demo": {  # elq demo
        ("elq", "ternary"): Choice(_DEMO, SGD(lr=0.05)),
        ("elq", "binary"): Choice(replace(_DEMO, levels="binary"), SGD(lr=0.05)),
    },
}

PLANS["best"] = PLANS["headline"]  # elq quantize --preset best
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

    "default"; "paper", the nearest to ELQ's paper (docs/method.md); "best", the best known of ELQ, with which the long
    runs were made; "comparison", "headline", "demo" of the commands. levels None: those the method has first. weights:
    names of the network's (`Module.quantizable`), from input to output; a plan that keeps some in float names them.
    ValueError as of `levels_of`.

    >>> plan, sgd = elq.named_plan("best", levels="binary")
    >>> plan.spread(72).epochs, plan.restart, sgd.lr
    ((48.0, 6.0, 6.0, 6.0, 6.0), 0.3, 0.01)
    """
    plan, sgd, keeps = PLANS[name][method, levels_of(name, method, levels)]
    return replace(plan, keep_float=kept(keeps, weights)), sgd


def kept(keeps: str, weights: Sequence[str]) -> tuple[str, ...]:
    """Of `weights` those that stay float: "none", the first and the last ("ends"), or "all"."""
    return {"none": (), "ends": tuple(dict.fromkeys([*weights[:1], *weights[-1:]])), "all": tuple(weights)}[keeps]
