"""Module: where weights live, by PyTorch's names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import numpy as np

from ..tensor import Tensor

T = TypeVar("T")
Loss = Callable[[Tensor, np.ndarray], Tensor]  # (outputs of the network, labels of the batch) -> L


class Module:
    """A part of a network: Tensors set as attributes are its parameters, Modules its children, in order of assignment.

    Modules in a list, a tuple or a dict that is an attribute are children too, named "blocks.0", "blocks.1", ... as
    those of PyTorch's ModuleList. What is there under several names is one thing: it is listed once, under its first
    name, and trained once; `state_dict` has it under all of its names, as PyTorch's has.
    `buffers` names the NumPy arrays that are saved with it but not trained. `training` decides what BatchNorm does.
    `training_only` names children that only `training_loss` computes with: they are saved and trained, not quantized,
    and no part of what is evaluated, packed or exported.

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
    training_only: tuple[str, ...] = ()
    _quantizable: tuple[str, ...] = ()  # the parameters that ELQ quantizes

    def forward(self, x: Tensor) -> Tensor:
        """Compute the output; every Module defines it."""
        raise TypeError(f"{type(self).__name__} defines no forward")

    def training_loss(self, x: Tensor, labels: np.ndarray, loss: Loss) -> Tensor:
        """L, what training makes smaller: `loss` of the output; a Module with auxiliary heads adds theirs."""
        return loss(self(x), labels)

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

    def named_modules(self, *, deployed: bool = False) -> Iterator[tuple[str, Module]]:
        """This module and all below it, each once, by its first dotted name, in PyTorch's order.

        deployed: without those that are `training_only`.
        """
        seen: set[int] = set()
        stack: list[tuple[str, Module]] = [("", self)]
        while stack:
            prefix, module = stack.pop()
            if id(module) not in seen:
                seen.add(id(module))
                yield prefix, module
                left_out = module.training_only if deployed else ()
                below = [(_dotted(prefix, name), child) for name, child in module._below() if name not in left_out]
                stack += reversed(below)

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """All parameters, each once, by its first dotted name."""
        return _each_once((_dotted(at, n), p) for at, module in self.named_modules() for n, p in module._parameters())

    def named_buffers(self) -> Iterator[tuple[str, np.ndarray]]:
        """All buffers, each once, by its first dotted name."""
        return _each_once((_dotted(at, n), b) for at, module in self.named_modules() for n, b in module._buffers())

    def quantizable(self) -> dict[str, Tensor]:
        """The weights that ELQ quantizes, by name: those of convolutions and fully connected layers.

        None of those that are `training_only`.
        """
        modules = (module for _, module in self.named_modules(deployed=True))
        weights = {id(getattr(module, name)) for module in modules for name in module._quantizable}
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
