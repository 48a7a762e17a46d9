"""Random numbers of a training pass: functions of (seed, epoch, sample, which draw of the pass).

What draws (dropout) asks here; who trains says which pictures a pass sees, by `drawing`. A pass that is made again, in
another batch size, after a resume or at other weights, draws the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import numpy as np

from .splitmix import random_bits, stream_bits

_FIRST_PURPOSE = 1 << 32  # of `random_bits`, beyond those of batches


@dataclass
class _Pass:
    seed: int
    epoch: int
    samples: np.ndarray
    drawn: int = 0


_current: ContextVar[_Pass | None] = ContextVar("draws", default=None)


@contextmanager
def drawing(seed: int, epoch: int, samples: np.ndarray) -> Iterator[None]:
    """Inside runs one forward pass over pictures `samples` (N,), their numbers in the data set, of `epoch`.

    >>> x = elq.Tensor(np.ones((4, 3)))
    >>> with elq.drawing(0, 1, np.array([5, 7, 8, 9])):
    ...     y = elq.ops.dropout(x, 0.5)
    >>> with elq.drawing(0, 1, np.array([8, 9])):
    ...     part = elq.ops.dropout(elq.Tensor(x.data[2:]), 0.5)
    >>> bool((y.data[2:] == part.data).all())
    True
    """
    token = _current.set(_Pass(seed, epoch, np.asarray(samples)))
    try:
        yield
    finally:
        _current.reset(token)


def uniform(shape: tuple[int, ...]) -> np.ndarray:
    """float64 of `shape` (N, ...), uniform in [0, 1), a multiple of 2^-53: the next draw of this pass.

    RuntimeError outside of `drawing`, ValueError where the pass has another number of pictures.
    """
    now = _current.get()
    if now is None:
        raise RuntimeError("dropout in training draws random numbers: wanted a pass inside elq_ref.drawing(...)")
    if shape[:1] != now.samples.shape:
        raise ValueError(f"a draw for {shape[:1]} pictures in a pass over {now.samples.shape}")
    keys = random_bits(now.seed, now.epoch, _FIRST_PURPOSE + now.drawn, now.samples)
    now.drawn += 1
    each = int(np.prod(shape[1:]))
    numbers: np.ndarray = (stream_bits(keys, each) >> np.uint64(11)) * 2.0**-53
    return numbers.reshape(shape)
