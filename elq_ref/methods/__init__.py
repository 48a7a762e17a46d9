"""Methods that quantize a network step by step, by name: the interface is base.Method.

A new method is a file here and its line in METHODS; elq_ref.training.plans gives it a plan that the commands run.
"""

from dataclasses import fields
from typing import Any

from ..elq.plan import Plan
from .base import Descent, Method, Moment, QuantizedWeight
from .binaryrelax import BinaryRelax
from .bwn import BWN
from .elq import ELQ
from .inq import INQ
from .lab import LAB
from .lat import LAT
from .order import Order, OrderPlan
from .parq import PARQ, PARQPlan
from .relaxed import RelaxedPlan
from .ttq import TTQ
from .twn import TWN

METHODS: dict[str, type[Method]] = {
    "elq": ELQ,
    "bwn": BWN,
    "twn": TWN,
    "ttq": TTQ,
    "inq": INQ,
    "lab": LAB,
    "lat": LAT,
    "order": Order,
    "binaryrelax": BinaryRelax,
    "parq": PARQ,
}


def by_name(name: str) -> type[Method]:
    """The method of that name; ValueError lists those there are."""
    if name not in METHODS:
        raise ValueError(f"there is no method {name!r}; there are: {', '.join(METHODS)}")
    return METHODS[name]


def plan_for(name: str, **options: Any) -> Plan:
    """A plan of the method `name` with these options, those that it has no choice of as it needs them."""
    method = by_name(name)
    return method.plan_type(**{"method": name, **method.fixed, **options})


def plan_from_json(values: dict[str, Any]) -> Plan:
    """The plan of a dict that `Plan.to_json` made, of the class that its method has.

    ValueError names a method or an option that does not exist, or what is wrong with its value.
    """
    return by_name(values.get("method", "elq")).plan_type.from_json(values)


def make(plan: Plan) -> Method:
    """The method that `plan` names; ValueError if the plan sets an option that this method does not have."""
    method = by_name(plan.method)
    if type(plan) is not method.plan_type:
        wanted, given = method.plan_type.__name__, type(plan).__name__
        raise ValueError(f"method {plan.method} has plans of {wanted}, given a {given}")
    for option in fields(plan):
        given, fixed = getattr(plan, option.name), method.fixed.get(option.name, option.default)
        if option.name not in method.options and given != fixed:
            raise ValueError(f"method {plan.method} has no choice of {option.name}: wanted {fixed!r}, given {given!r}")
    return method(plan)


__all__ = ["BWN", "ELQ", "INQ", "LAB", "LAT", "METHODS", "PARQ", "TTQ", "TWN", "BinaryRelax", "Order"]
__all__ += ["OrderPlan", "PARQPlan", "RelaxedPlan"]
__all__ += ["Descent", "Method", "Moment", "QuantizedWeight", "by_name", "make", "plan_for", "plan_from_json"]
