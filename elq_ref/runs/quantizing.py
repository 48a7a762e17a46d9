"""The plan that `elq quantize` uses where none is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..elq.plan import Plan
from ..methods import usual_plan
from ..training.sgd import SGD


def recommended(levels: str | None = None, method: str = "elq", weights: Sequence[str] = ()) -> tuple[Plan, SGD]:
    """The plan and optimizer that README's figures were made with, or where another method's paper departs from it.

    levels=None: the method's own; weights: names of the network's (`Module.quantizable`).
    """
    plan = usual_plan(method, weights)
    return plan if levels is None else replace(plan, levels=levels), SGD(lr=0.03)
