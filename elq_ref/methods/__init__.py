"""Methods that quantize a network step by step, by name: the interface is base.Method."""

from collections.abc import Sequence
from dataclasses import fields

from ..elq.plan import Plan
from .base import Descent, Layer, Method
from .bwn import BWN
from .elq import ELQ
from .inq import INQ
from .lab import LAB
from .lat import LAT
from .ttq import TTQ
from .twn import TWN

METHODS: dict[str, type[Method]] = {"elq": ELQ, "bwn": BWN, "twn": TWN, "ttq": TTQ, "inq": INQ, "lab": LAB, "lat": LAT}


def named(name: str) -> type[Method]:
    """The method of that name; ValueError lists those there are."""
    if name not in METHODS:
        raise ValueError(f"there is no method {name!r}; there are: {', '.join(METHODS)}")
    return METHODS[name]


def usual_plan(name: str, weights: Sequence[str] = ()) -> Plan:
    """The default plan of a method for a network with these weights (`Module.quantizable`); docs/methods.md says where
    it departs from the method's paper."""
    method = named(name)
    return Plan(method=name, **{"keep_float": method.keep_float(tuple(weights)), **method.usual})


def make(plan: Plan) -> Method:
    """The method that `plan` names; ValueError if the plan sets an option that this method does not have."""
    method = named(plan.method)
    read = method.options - ({"sigma2", "portions"} - {plan.freezes})
    if plan.partition != "random":
        read -= {"partition_seed"}
    for option in fields(Plan):
        given, fixed = getattr(plan, option.name), method.usual.get(option.name, option.default)
        if option.name not in read and given != fixed:
            raise ValueError(f"method {plan.method} has no choice of {option.name}: wanted {fixed!r}, given {given!r}")
    return method(plan)


__all__ = ["BWN", "ELQ", "INQ", "LAB", "LAT", "METHODS", "TTQ", "TWN"]
__all__ += ["Descent", "Layer", "Method", "make", "named", "usual_plan"]
