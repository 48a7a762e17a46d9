"""Float training: a plan of one stage that quantizes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from .. import ops
from ..datasets import Batches
from ..elq.plan import Plan
from ..nn import Module
from ..nn.module import Loss
from .plans import named_plan
from .sgd import SGD
from .stages import Step, quantize
from .state import State


def float_plan(net: Module, epochs: float) -> Plan:
    """A plan of one stage that quantizes nothing: what is left of the algorithm is SGD on L(W)."""
    plan, _ = named_plan("comparison", "float", weights=tuple(net.quantizable()))
    return replace(plan, epochs=(epochs,))


def fit(
    net: Module,
    batches: Batches,
    epochs: float,
    sgd: SGD | None = None,
    *,
    state: State | None = None,
    loss: Loss = ops.softmax_cross_entropy,
) -> Iterator[Step]:
    """Train `net` in float for `epochs` passes over the data by `sgd` (default SGD()), yielding after every update.

    `loss(outputs, labels)` as in `quantize`. Saved and resumed as `quantize` is. ValueError if epochs is not > 0.

    >>> from elq_ref.nn import Flatten, Linear, Sequential
    >>> train, test = elq.datasets.digits()
    >>> net = Sequential(Flatten(), Linear(64, 10))
    >>> for step in elq.fit(net, elq.Batches(train, 32), epochs=4, sgd=elq.SGD(lr=0.1)):
    ...     pass
    >>> elq.accuracy(net, test) > 0.9
    True
    >>> def hinge(z, labels):  # a loss of one's own: mean max(0, 1 - z) at the label, max(0, 1 + z) elsewhere
    ...     side = np.where(np.eye(10)[labels] > 0, -1, 1).astype(z.dtype)
    ...     gap = np.maximum(0, 1 + side * z.data)
    ...     return elq.record("hinge", gap.mean(), (z,), lambda dy: [dy * side * (gap > 0) / z.dtype.type(gap.size)])
    >>> for step in elq.fit(net, elq.Batches(train, 32), epochs=1, sgd=elq.SGD(lr=0.1), loss=hinge):
    ...     pass
    """
    return quantize(net, batches, float_plan(net, epochs), sgd, state=state, loss=loss)
