"""Modules that compute nothing themselves: other shapes, other orders, other modules in a row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import overload

from .. import ops
from ..tensor import Tensor
from .module import Module


class Identity(Module):
    """y = x.

    >>> elq.nn.Identity()(elq.Tensor(np.ones(2))).data
    array([1., 1.])
    """

    def forward(self, x: Tensor) -> Tensor:
        return x


class Flatten(Module):
    """(N, ...) -> (N, everything else).

    >>> elq.nn.Flatten()(elq.Tensor(np.ones((2, 3, 4, 4)))).shape
    (2, 48)
    """

    def forward(self, x: Tensor) -> Tensor:
        return ops.reshape(x, (x.shape[0], -1))


class ChannelShuffle(Module):
    """ops.channel_shuffle.

    >>> elq.nn.ChannelShuffle(2)(elq.Tensor(np.arange(4.0).reshape(1, 4))).data
    array([[0., 2., 1., 3.]])
    """

    def __init__(self, groups: int) -> None:
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        return ops.channel_shuffle(x, self.groups)


class Sequential(Module):
    """Modules one after the other, named "0", "1", ...; it has a length, an order and places, as a list has.

    >>> from elq_ref.nn import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential
    >>> net = Sequential(Conv2d(1, 8, 3, padding=1), ReLU(), MaxPool2d(2), Flatten(), Linear(8 * 4 * 4, 10))
    >>> net(elq.Tensor(np.ones((2, 1, 8, 8), np.float32))).shape
    (2, 10)
    >>> len(net), net[-1].weight.shape, [name for name, _ in net.named_parameters()]
    (5, (10, 128), ['0.weight', '0.bias', '4.weight', '4.bias'])
    """

    def __init__(self, *modules: Module) -> None:
        for position, module in enumerate(modules):
            setattr(self, str(position), module)

    def forward(self, x: Tensor) -> Tensor:
        for module in self:
            x = module(x)
        return x

    def __iter__(self) -> Iterator[Module]:
        return (module for _, module in self._below())  # one that stands at two places runs twice

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @overload
    def __getitem__(self, place: int) -> Module: ...
    @overload
    def __getitem__(self, place: slice) -> Sequential: ...
    def __getitem__(self, place: int | slice) -> Module:
        """The module at `place`; of a slice, a Sequential of the very same modules."""
        modules = list(self)
        return Sequential(*modules[place]) if isinstance(place, slice) else modules[place]
