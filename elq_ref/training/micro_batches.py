"""A batch cut into micro-batches: what one process computes of it, and the whole that all of them come to.

Micro-batch k of n_k pictures, of a batch of n, is normalized by its own statistics, as in an accumulation of gradients:

    L = sum_k n_k / n L_k        dL = sum_k n_k / n dL_k

along one fixed tree over k (elq_ref.parallel.tree), and running averages follow micro-batch 0, 1, 2, ... one after the
other. So the bits of a step do not depend on how many processes share the micro-batches. Of a loss of one's own L_k is
taken to be a mean over pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from .. import kernels
from ..datasets import Batches
from ..elq.gradients import Evaluated
from ..nn import BatchNorm2d, Module
from ..ops.norm import Seen, statistics_held
from ..parallel import ALONE, World, tree
from .put_off import Gradients, PutOffPass


@dataclass(frozen=True)
class Share:
    """What a process computes of a batch: pictures and labels, which are numbers `samples` of `epoch` by `seed`.

    sizes: pictures of every micro-batch of the batch; run: those of them, first .. last-1, that are here.
    """

    x: np.ndarray
    labels: np.ndarray
    seed: int
    epoch: int
    samples: np.ndarray
    sizes: tuple[int, ...]
    run: tree.Span

    @property
    def whole(self) -> bool:
        """Whether this is a batch that is no more than one micro-batch."""
        return len(self.sizes) == 1 and len(self.x) == self.sizes[0]

    def micro(self, k: int) -> Share:
        """Micro-batch k of those that are here."""
        start = sum(self.sizes[self.run[0] : k])
        own = slice(start, start + self.sizes[k])
        return replace(self, x=self.x[own], labels=self.labels[own], samples=self.samples[own])


def shares(batches: Batches, start: int) -> Iterator[Share]:
    """What this process computes of batch number start, start + 1, ... of the endless sequence of epochs."""
    world = world_of(batches)
    epoch, first = divmod(start, len(batches))
    while True:
        order = batches.order(epoch)[first * batches.batch_size :]
        if world.size == 1:
            parts = batches.epoch(epoch, first)
        else:
            parts = batches.epoch(epoch, first, lambda samples: samples[_own(batches, len(samples))[2]])
        for x, labels in parts:
            count = len(x) if world.size == 1 else min(batches.batch_size, len(order))
            sizes, run, own = _own(batches, count)
            yield Share(x, labels, batches.seed, epoch, order[:count][own], sizes, run)
            order = order[count:]
        epoch, first = epoch + 1, 0


def world_of(batches: Batches) -> World:
    """The processes that share the batches; batches of one's own need not know of any."""
    return getattr(batches, "world", ALONE)


def micro_sizes(batches: Batches, count: int) -> tuple[int, ...]:
    """Pictures of each micro-batch of a batch of `count`."""
    size = getattr(batches, "micro_batch", None) or max(count, 1)
    return tuple(min(size, count - start) for start in range(0, count, size))


def _own(batches: Batches, count: int) -> tuple[tuple[int, ...], tree.Span, slice]:
    """Of a batch of `count` pictures: the sizes of its micro-batches, the run of this process, its pictures."""
    sizes = micro_sizes(batches, count)
    run = world_of(batches).run(len(sizes))
    return sizes, run, slice(sum(sizes[: run[0]]), sum(sizes[: run[1]]))


class SharedPass(PutOffPass):
    """A pass over a batch by micro-batches: sums of all processes.

    one(k, part): the pass over micro-batch k whose gradients are those of `part` times its loss. free: for every
    quantized weight which elements are; the gradients of the others are 0 here, and no process sends them. shared: the
    shapes of the other gradients. at_once: make the backward pass of each micro-batch right behind its forward pass,
    so that one tape is held at a time; otherwise when a gradient is first asked for.
    """

    def __init__(
        self,
        world: World,
        sizes: Sequence[int],
        one: Callable[[int, float], Evaluated],
        free: Sequence[np.ndarray],
        shared: Sequence[tuple[int, ...]],
        dtype: np.dtype,
        *,
        at_once: bool,
    ) -> None:
        self._world, self._count, self._free, self._shared, self._dtype = world, len(sizes), free, shared, dtype
        parts = [size / sum(sizes) for size in sizes]
        passes: dict[int, Evaluated] = {}
        losses = []

        def begun(k: int) -> Evaluated:
            at = one(k, parts[k])
            losses.append(at.loss)
            return at

        self._leaf: Callable[[int], np.ndarray] = lambda k: self._flat(passes.pop(k))
        if at_once:
            self._leaf = lambda k: self._flat(begun(k))
            _ = self.weights
        else:
            passes.update((k, begun(k)) for k in range(*world.run(self._count)))
        each = world.joined(np.array(losses, np.float64)) * parts
        self.loss = float(tree.summed((0, self._count), lambda k: each[k : k + 1].copy())[0])

    def _flat(self, at: Evaluated) -> np.ndarray:
        """All gradients that are wanted, one behind the other."""
        weights = [dw.ravel() if free.all() else dw[free] for dw, free in zip(at.weights, self._free, strict=True)]
        parts = [np.empty(0, self._dtype), *weights, *(d.ravel() for d in at.shared)]
        return np.concatenate(parts, out=kernels.empty((sum(part.size for part in parts),), self._dtype))

    def gradients(self) -> Gradients:
        counts = [int(free.sum()) for free in self._free] + [int(np.prod(shape)) for shape in self._shared]
        total = self._world.total(self._leaf, self._count, sum(counts), self._dtype)
        parts = np.split(total, np.cumsum(counts)[:-1]) if counts else []
        dw = [_placed(part, free) for part, free in zip(parts, self._free, strict=False)]
        rest = parts[len(dw) :]
        return dw, [part.reshape(shape) for part, shape in zip(rest, self._shared, strict=True)]


def _placed(part: np.ndarray, free: np.ndarray) -> np.ndarray:
    """The gradient of a weight from that of its free elements, which is all of it while none is frozen."""
    if part.size == free.size:
        return part.reshape(free.shape)
    dw = np.zeros(free.shape, part.dtype)
    dw[free] = part
    return dw


class Statistics:
    """What BatchNorm sees in the micro-batches of a batch, and the running averages that follow all of it in order."""

    def __init__(self, net: Module, world: World) -> None:
        self._norms = [m for _, m in net.named_modules() if isinstance(m, BatchNorm2d)]
        self._world = world
        self._seen: list[tuple[int, Seen]] = []

    @contextmanager
    def of(self, k: int) -> Iterator[None]:
        """Inside runs the pass over micro-batch k of this process; no running average moves."""
        with statistics_held() as held:
            yield
        self._seen += [(k, seen) for seen in held]

    def follow(self, momenta: Sequence[float] | None = None) -> None:
        """Let the running averages follow micro-batch 0, 1, ... of all processes, by their momentum or momenta[k]."""
        number = {id(module.running_mean): i for i, module in enumerate(self._norms)}
        if not number:
            return
        dtype = self._norms[0].running_mean.dtype
        places = np.array([(k, number[id(seen.running_mean)]) for k, seen in self._seen], np.int64).reshape(-1, 2)
        values = [value for _, seen in self._seen for value in (seen.mean, seen.var)]
        left = self._world.joined(np.concatenate([np.empty(0, dtype), *values]))
        for k, i in self._world.joined(places).tolist():
            module = self._norms[i]
            mean, var, left = np.split(left, [len(module.running_mean), 2 * len(module.running_mean)])
            by = module.momentum if momenta is None else momenta[k]
            assert by is not None
            Seen(module.running_mean, module.running_var, mean, var).follow(by)
