"""Methods that quantize a network step by step, by name: the interface is base.Method."""

from .base import Layer, Method
from .elq import ELQ

METHODS: dict[str, type[Method]] = {"elq": ELQ}


def make(plan) -> Method:
    """The method that `plan` names."""
    if plan.method not in METHODS:
        raise ValueError(f"there is no method {plan.method!r}; there are: {', '.join(METHODS)}")
    return METHODS[plan.method](plan)


__all__ = ["ELQ", "METHODS", "Layer", "Method", "make"]
