"""Float training: a plan of one stage that quantizes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..datasets import Batches
from ..elq.plan import Plan
from ..nn import Module
from .plans import named_plan
from .sgd import SGD
from .stages import Step, quantize
from .state import State


def float_plan(net: Module, epochs: float) -> Plan:
    """A plan of one stage that quantizes nothing: what is left of the algorithm is SGD on L(W)."""
    plan, _ = named_plan("comparison", "float", weights=tuple(net.quantizable()))
    return replace(plan, epochs=(epochs,))


def fit(
    net: Module, batches: Batches, epochs: float, sgd: SGD | None = None, *, state: State | None = None
) -> Iterator[Step]:
    """Train `net` in float for `epochs` passes over the data by `sgd` (default SGD()), yielding after every update.

    Saved and resumed as `quantize` is. ValueError if epochs is not > 0.

    >>> from elq_ref.nn import Flatten, Linear, Sequential
    >>> train, test = elq.datasets.digits()
    >>> net = Sequential(Flatten(), Linear(64, 10))
    >>> for step in elq.fit(net, elq.Batches(train, 32), epochs=4, sgd=elq.SGD(lr=0.1)):
    ...     pass
    >>> elq.accuracy(net, test) > 0.9
    True
    """
    return quantize(net, batches, float_plan(net, epochs), sgd, state=state)
