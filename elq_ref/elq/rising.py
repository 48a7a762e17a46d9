"""Weights of J's terms that rise over a run: a1 from soft to hard quantization, a2 to dampen oscillations."""

from __future__ import annotations

import math
from dataclasses import replace

from .plan import Plan


def weighed(plan: Plan, stage: int, share: float) -> Plan:
    """The plan with a1 and a2 as they weigh when `share` (0 to 1) of the steps of `stage` is done.

    With t = the share of the run's passes over the data that is done and (b, e) = a1_rise, a1 weighs
    a1 (1 - cos(pi u)) / 2, u = (t - b) / (e - b) cut to [0, 1]; likewise a2. From e on that is a1 to the bit.
    """
    if not (plan.a1_rise or plan.a2_rise):
        return plan
    done = (sum(plan.epochs[:stage]) + share * plan.epochs[stage]) / sum(plan.epochs)
    return replace(plan, a1=plan.a1 * risen(plan.a1_rise, done), a2=plan.a2 * risen(plan.a2_rise, done))


def risen(ends: tuple[float, ...], done: float) -> float:
    """The factor, 0 to 1, that has risen by a cosine between the two ends; 1 without ends."""
    if not ends:
        return 1.0
    begin, end = ends
    return (1 - math.cos(math.pi * min(1.0, max(0.0, (done - begin) / (end - begin))))) / 2
