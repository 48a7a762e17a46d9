"""Float training: a plan of one stage that quantizes nothing."""

from __future__ import annotations

from collections.abc import Iterator

from ..datasets import Batches
from ..elq.plan import Plan
from ..nn import Module
from .sgd import SGD
from .stages import Step, quantize
from .state import State


def float_plan(net: Module, epochs: float) -> Plan:
    """A plan of one stage that quantizes nothing: what is left of the algorithm is SGD on L(W)."""
    return Plan(sigma2=(), epochs=(epochs,), keep_float=tuple(net.quantizable()))


def fit(
    net: Module, batches: Batches, epochs: float, sgd: SGD | None = None, *, state: State | None = None
) -> Iterator[Step]:
    """Train `net` in float for `epochs` passes over the data by `sgd` (default SGD()), yielding after every update.

    Saved and resumed as `quantize` is.

    >>> from elq_ref.nn import Flatten, Linear, Sequential
    >>> train, test = elq.datasets.digits()
    >>> net = Sequential(Flatten(), Linear(64, 10))
    >>> for step in elq.fit(net, elq.Batches(train, 32), epochs=4, sgd=elq.SGD(lr=0.1)):
    ...     pass
    >>> elq.accuracy(net, test) > 0.9
    True
    """
    return quantize(net, batches, float_plan(net, epochs), sgd, state=state)
