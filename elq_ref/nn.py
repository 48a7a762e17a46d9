"""Modules: where weights live. Names, order and shapes of parameters are PyTorch's, and so are the arguments.

A layer draws its weights from the generator `rng`. One that is given none has a stream of its own: layer k of a process
(k counts the layers that were given none) draws stream k, so that no two start equal and the same program always
starts with the same weights. What else the program built before counts too: where a network must start equal wherever
it is built, give its layers one generator, as elq_ref.models does from `seed`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any, TypeVar, overload

import numpy as np

from . import ops
from .tensor import Tensor

Pair = int | tuple[int, int]
T = TypeVar("T")
_streams = count()  # one number for every layer that was given no generator


class Module:
    """A part of a network: Tensors set as attributes are its parameters, Modules its children, in order of assignment.

    Modules in a list, a tuple or a dict that is an attribute are children too, named "blocks.0", "blocks.1", ... as
    those of PyTorch's ModuleList. What is there under several names is one thing: it is listed once, under its first
    name, and trained once; `state_dict` has it under all of its names, as PyTorch's has.
    `buffers` names the NumPy arrays that are saved with it but not trained. `training` decides what BatchNorm does.

    >>> class Doubled(elq.nn.Module):
    ...     def __init__(self):
    ...         self.fc = elq.nn.Linear(3, 2)
    ...     def forward(self, x):
    ...         y = self.fc(x)
    ...         return y + y
    >>> net = Doubled()
    >>> net(elq.Tensor(np.ones((5, 3), np.float32))).shape, list(net.quantizable())
    ((5, 2), ['fc.weight'])
    >>> print(net.summary())
    fc.weight  2x3  6
    fc.bias      2  2
    total           8
    """

    buffers: tuple[str, ...] = ()
    training: bool = True

    def forward(self, x: Tensor) -> Tensor:
        """Compute the output; every Module defines it."""
        raise TypeError(f"{type(self).__name__} defines no forward")

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        for given in args:
            if isinstance(given, np.ndarray):
                name, array = type(self).__name__, f"{given.dtype} {given.shape}"
                raise TypeError(f"{name} reads Tensors, given an array {array}: wrap it, elq_ref.Tensor(x)")
        return self.forward(*args, **kwargs)

    def children(self) -> Iterator[tuple[str, Module]]:
        """Direct children by name, each once."""
        seen: set[int] = set()
        for name, child in self._below():
            if id(child) not in seen:
                seen.add(id(child))
                yield name, child

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """This module and all below it, each once, by its first dotted name, in PyTorch's order."""
        seen: set[int] = set()
        stack: list[tuple[str, Module]] = [("", self)]
        while stack:
            prefix, module = stack.pop()
            if id(module) not in seen:
                seen.add(id(module))
                yield prefix, module
                stack += reversed([(_dotted(prefix, name), child) for name, child in module._below()])

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """All parameters, each once, by its first dotted name."""
        return _each_once((_dotted(at, n), p) for at, module in self.named_modules() for n, p in module._parameters())

    def named_buffers(self) -> Iterator[tuple[str, np.ndarray]]:
        """All buffers, each once, by its first dotted name."""
        return _each_once((_dotted(at, n), b) for at, module in self.named_modules() for n, b in module._buffers())

    def quantizable(self) -> dict[str, Tensor]:
        """The weights that ELQ quantizes, by name: those of convolutions and fully connected layers."""
        weights = {id(module.weight) for _, module in self.named_modules() if isinstance(module, Conv2d | Linear)}
        return {name: parameter for name, parameter in self.named_parameters() if id(parameter) in weights}

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all parameters and buffers, by each of their names, in PyTorch's order."""
        return {name: _values(of).copy() for name, of in self._everywhere()}

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        """Assign all parameters and buffers; names and shapes must be exactly those of `state_dict`.

        Of what has several names one is enough. Raises ValueError that lists what is missing, unexpected, of another
        shape or different under two names of one thing; then nothing was assigned.
        """
        own = dict(self._everywhere())
        names: dict[int, list[str]] = {}  # of each thing, those that are given
        for name, of in own.items():
            names.setdefault(id(of), [])
            if name in state:
                names[id(of)].append(name)
        problems = {
            "missing": [f"{n} {of.shape}" for n, of in own.items() if not names[id(of)]],
            "unexpected": [f"{n} {np.shape(state[n])}" for n in sorted(state) if n not in own],
            "of another shape": [
                f"{n} {np.shape(state[n])} instead of {of.shape}"
                for n, of in own.items()
                if n in state and np.shape(state[n]) != of.shape
            ],
            "one thing here, but different": [
                f"{given[0]} and {other}"
                for given in names.values()
                for other in given[1:]
                if not np.array_equal(state[given[0]], state[other], equal_nan=True)
            ],
        }
        if any(problems.values()):
            said = "; ".join(f"{kind}: {_shortened(names)}" for kind, names in problems.items() if names)
            raise ValueError(f"the tensors do not fit {type(self).__name__}: {said}")
        for name, of in _each_once((n, of) for n, of in own.items() if n in state):
            if isinstance(of, Tensor):
                of.data = np.array(state[name], dtype=of.dtype)
            else:
                of[...] = state[name]

    def _below(self) -> Iterator[tuple[str, Module]]:
        """Direct children, under every name."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value
            elif isinstance(value, list | tuple | dict):
                places = value.items() if isinstance(value, dict) else enumerate(value)
                yield from ((f"{name}.{place}", part) for place, part in places if isinstance(part, Module))

    def _parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Parameters of this module itself."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                yield name, value
            elif isinstance(value, list | tuple | dict):
                parts = value.values() if isinstance(value, dict) else value
                if any(isinstance(part, Tensor) and part.is_leaf and part.requires_grad for part in parts):
                    kind = type(value).__name__
                    raise TypeError(f"{type(self).__name__}.{name} is a {kind} of Tensors: make each an attribute")

    def _buffers(self) -> Iterator[tuple[str, np.ndarray]]:
        """Buffers of this module itself."""
        return ((name, getattr(self, name)) for name in self.buffers)

    def _everywhere(
        self, prefix: str = "", above: tuple[Module, ...] = ()
    ) -> Iterator[tuple[str, Tensor | np.ndarray]]:
        """All parameters and buffers, under every name."""
        if any(module is self for module in above):
            raise ValueError(f"{prefix} is a module that it lies in")
        own: list[tuple[str, Tensor | np.ndarray]] = [*self._parameters(), *self._buffers()]
        for name, of in own:
            yield _dotted(prefix, name), of
        for name, child in self._below():
            yield from child._everywhere(_dotted(prefix, name), (*above, self))

    def train(self, mode: bool = True) -> Module:
        """Set training mode here and below; returns self."""
        for _, module in self.named_modules():
            module.training = mode
        return self

    def eval(self) -> Module:
        """Set evaluation mode here and below; returns self."""
        return self.train(False)

    def astype(self, dtype: Any) -> Module:
        """Convert all parameters and buffers to float32 or float64; returns self."""
        made: dict[int, Tensor | np.ndarray] = {}  # what several modules share stays shared
        for _, module in self.named_modules():
            own: list[tuple[str, Tensor | np.ndarray]] = [*module._parameters(), *module._buffers()]
            for name, value in own:
                if id(value) not in made:
                    array = _values(value).astype(dtype)
                    made[id(value)] = array
                    if isinstance(value, Tensor):
                        made[id(value)] = Tensor(array, requires_grad=value.requires_grad)
                setattr(module, name, made[id(value)])
        return self

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for _, parameter in self.named_parameters():
            parameter.grad = None

    def summary(self) -> str:
        """A table: name, shape and count of every parameter, and the total."""
        rows = [(name, "x".join(map(str, p.shape)), f"{p.data.size:,}") for name, p in self.named_parameters()]
        rows.append(("total", "", f"{sum(p.data.size for _, p in self.named_parameters()):,}"))
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        return "\n".join(f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows)


def _dotted(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _values(of: Tensor | np.ndarray) -> np.ndarray:
    return of.data if isinstance(of, Tensor) else of


def _each_once(named: Iterable[tuple[str, T]]) -> Iterator[tuple[str, T]]:
    """The first of every thing that is there under several names."""
    seen: set[int] = set()
    for name, thing in named:
        if id(thing) not in seen:
            seen.add(id(thing))
            yield name, thing


def _shortened(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _kaiming(rng: np.random.Generator | None, shape: tuple[int, ...]) -> Tensor:
    """Normal with variance 2 / fan_in (He et al. 2015), which keeps the variance of activations through ReLUs."""
    if rng is None:
        rng = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(next(_streams),)))
    std = np.sqrt(2 / np.prod(shape[1:]))
    return Tensor((rng.standard_normal(shape) * std).astype(np.float32), requires_grad=True)


def _zeros(outputs: int) -> Tensor:
    return Tensor(np.zeros(outputs, np.float32), requires_grad=True)


class Conv2d(Module):
    """ops.conv2d with a weight (O, C/groups, KH, KW), drawn from `rng`, and a bias (O) of zeros or none.

    ValueError unless `groups` divides both numbers of channels.

    >>> layer = elq.nn.Conv2d(3, 16, 3, padding=1, rng=np.random.default_rng(0))
    >>> layer.weight.shape, layer(elq.Tensor(np.ones((1, 3, 8, 8), np.float32))).shape
    ((16, 3, 3, 3), (1, 16, 8, 8))
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        rng: np.random.Generator | None = None,
    ) -> None:
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(f"{groups} groups of {in_channels} to {out_channels} channels: wanted a divisor of both")
        size = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
        self.weight = _kaiming(rng, (out_channels, in_channels // groups, *size))
        self.bias = _zeros(out_channels) if bias else None
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups

    def forward(self, x: Tensor) -> Tensor:
        window = {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}
        return ops.conv2d(x, self.weight, self.bias, groups=self.groups, **window)


class Linear(Module):
    """ops.linear with a weight (O, C), drawn from `rng`, and a bias (O) of zeros or none.

    >>> layer = elq.nn.Linear(64, 10, bias=False)
    >>> layer.weight.shape, layer.bias is None
    ((10, 64), True)
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *, rng: np.random.Generator | None = None
    ) -> None:
        self.weight = _kaiming(rng, (out_features, in_features))
        self.bias = _zeros(out_features) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return ops.linear(x, self.weight, self.bias)


class BatchNorm2d(Module):
    """ops.batch_norm with its parameters and running statistics.

    `momentum` None in training leaves the running statistics alone (the pass at W of an ELQ step).

    >>> norm = elq.nn.BatchNorm2d(1)
    >>> x = elq.Tensor(np.array([1, 3], np.float32).reshape(2, 1, 1, 1))
    >>> norm(x).data.ravel().round(3), norm.running_mean, norm.running_var  # unbiased: 1 + 0.1 (2 - 1)
    (array([-1.,  1.], dtype=float32), array([0.2], dtype=float32), array([1.1], dtype=float32))
    >>> norm.eval()(x).data.ravel().round(3)
    array([0.763, 2.67 ], dtype=float32)
    """

    buffers = ("running_mean", "running_var")

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1) -> None:
        self.weight = Tensor(np.ones(num_features, np.float32), requires_grad=True)
        self.bias = _zeros(num_features)
        self.running_mean = np.zeros(num_features, np.float32)
        self.running_var = np.ones(num_features, np.float32)
        self.eps, self.momentum = eps, momentum

    def forward(self, x: Tensor, residual: Tensor | None = None, relu: bool = False) -> Tensor:
        return ops.batch_norm(
            x,
            self.weight,
            self.bias,
            self.running_mean,
            self.running_var,
            training=self.training,
            momentum=self.momentum,
            eps=self.eps,
            residual=residual,
            relu=relu,
        )


class ReLU(Module):
    """ops.relu.

    >>> elq.nn.ReLU()(elq.Tensor(np.array([-1.0, 2.0]))).data
    array([0., 2.])
    """

    def forward(self, x: Tensor) -> Tensor:
        return ops.relu(x)


class MaxPool2d(Module):
    """ops.max_pool; `stride` None is the window's size.

    >>> elq.nn.MaxPool2d(2)(elq.Tensor(np.arange(16.0).reshape(1, 1, 4, 4))).data[0, 0]
    array([[ 5.,  7.],
           [13., 15.]])
    """

    def __init__(self, kernel_size: Pair, stride: Pair | None = None) -> None:
        self.kernel_size, self.stride = kernel_size, stride

    def forward(self, x: Tensor) -> Tensor:
        return ops.max_pool(x, self.kernel_size, self.stride)


class AvgPool2d(Module):
    """ops.avg_pool; `stride` None is the window's size.

    >>> elq.nn.AvgPool2d(2)(elq.Tensor(np.arange(16.0).reshape(1, 1, 4, 4))).data[0, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]])
    """

    def __init__(self, kernel_size: Pair, stride: Pair | None = None) -> None:
        self.kernel_size, self.stride = kernel_size, stride

    def forward(self, x: Tensor) -> Tensor:
        return ops.avg_pool(x, self.kernel_size, self.stride)


class AdaptiveAvgPool2d(Module):
    """The mean of every channel as a picture of one pixel, (N, C, H, W) -> (N, C, 1, 1); no other `output_size`.

    >>> elq.nn.AdaptiveAvgPool2d(1)(elq.Tensor(np.arange(16.0).reshape(1, 1, 4, 4))).data
    array([[[[7.5]]]])
    """

    def __init__(self, output_size: Pair) -> None:
        if output_size not in (1, (1, 1)):
            raise ValueError(f"output_size is {output_size}, wanted 1: other sizes are not here")

    def forward(self, x: Tensor) -> Tensor:
        return ops.avg_pool(x, (x.shape[2], x.shape[3]))


class GlobalAvgPool(Module):
    """ops.global_avg_pool: (N, C, H, W) -> (N, C), what AdaptiveAvgPool2d(1) and Flatten() are together.

    >>> elq.nn.GlobalAvgPool()(elq.Tensor(np.arange(16.0).reshape(1, 1, 4, 4))).data
    array([[7.5]])
    """

    def forward(self, x: Tensor) -> Tensor:
        return ops.global_avg_pool(x)


class Flatten(Module):
    """(N, ...) -> (N, everything else).

    >>> elq.nn.Flatten()(elq.Tensor(np.ones((2, 3, 4, 4)))).shape
    (2, 48)
    """

    def forward(self, x: Tensor) -> Tensor:
        return ops.reshape(x, (x.shape[0], -1))


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
