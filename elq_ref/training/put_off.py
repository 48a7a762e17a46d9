"""Passes whose gradients wait until they are asked for: an objective does not want all of every pass."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from ..tensor import Tensor

Gradients = tuple[list[np.ndarray], list[np.ndarray]]  # of the quantized weights, of all other parameters


class PutOffPass(ABC):
    """A pass (elq_ref.elq.gradients.Evaluated) that makes its gradients once, when one is first asked for."""

    loss: float
    # no functools.cached_property: before Python 3.12 it has one lock for all passes of a process, on which trainings
    # in two threads wait for each other, and a child forked meanwhile for ever
    _found: Gradients | None = None

    @abstractmethod
    def gradients(self) -> Gradients:
        """Make them."""

    @property
    def weights(self) -> list[np.ndarray]:
        return self._once()[0]

    @property
    def shared(self) -> list[np.ndarray]:
        return self._once()[1]

    def _once(self) -> Gradients:
        if self._found is None:
            self._found = self.gradients()
        return self._found


class LazyPass(PutOffPass):
    """A forward pass on a tape, and its backward pass.

    part: the gradients are those of so much of the loss (default: of all of it).
    """

    def __init__(self, loss: Tensor, weights: list[Tensor], shared: list[Tensor], part: float | None = None) -> None:
        self.loss = loss.item()
        self._dy = None if part is None else np.full_like(loss.data, part)
        self.leaves = weights, shared  # Tensors that the gradients are of
        self._tape = loss

    def gradients(self) -> Gradients:
        for parameter in self.leaves[1]:  # they are leaves of every pass
            parameter.grad = None
        if self._tape.requires_grad:  # of all the weights none may be free
            self._tape.backward(self._dy)
        del self._tape
        dw, shared = ([np.zeros_like(p.data) if p.grad is None else p.grad for p in part] for part in self.leaves)
        return dw, shared
