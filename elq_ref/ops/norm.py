"""Batch normalization, with the residual sum and the ReLU that follow it in a ResNet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import kernels
from ..tensor import Tensor, record


@dataclass(frozen=True)
class Seen:
    """What one batch_norm in training saw: mean and unbiased variance, (C), for these running arrays."""

    running_mean: np.ndarray
    running_var: np.ndarray
    mean: np.ndarray
    var: np.ndarray

    def follow(self, momentum: float) -> None:
        """running += momentum (seen - running), in place."""
        for running, seen in ((self.running_mean, self.mean), (self.running_var, self.var)):
            running += momentum * (seen - running)


_held: ContextVar[list[Seen] | None] = ContextVar("statistics_held", default=None)


@contextmanager
def statistics_held() -> Iterator[list[Seen]]:
    """Inside, running arrays stay as they are, and what they would have followed is in the list, in order."""
    held: list[Seen] = []
    token = _held.set(held)
    try:
        yield held
    finally:
        _held.reset(token)


def batch_norm(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    running_mean: np.ndarray,
    running_var: np.ndarray,
    *,
    training: bool,
    momentum: float | None = 0.1,
    eps: float = 1e-5,
    residual: Tensor | None = None,
    relu: bool = False,
) -> Tensor:
    """y = f(gamma (x - mean) / sqrt(var + eps) + beta + residual) per channel, f = max(., 0) if `relu` else identity.

    x (N, C, H, W) or (N, C), gamma, beta, running_mean, running_var (C), residual like x or None. In training, mean and
    var are those of the batch (biased), and unless `momentum` is None the running arrays are updated in place as
    PyTorch does: running += momentum (batch - running), with the unbiased variance. Otherwise they are used.

    >>> x, one, zero = elq.Tensor(np.array([[1.0], [3.0]])), elq.Tensor(np.ones(1)), elq.Tensor(np.zeros(1))
    >>> elq.ops.batch_norm(x, one, zero, np.zeros(1), np.ones(1), training=True, eps=0.0).data
    array([[-1.],
           [ 1.]])
    """
    channels = x.shape[1:2]
    for name, array in (("gamma", gamma), ("beta", beta), ("running_mean", running_mean), ("running_var", running_var)):
        if array.shape != channels:
            raise ValueError(f"batch_norm {name} has shape {array.shape}, x {x.shape} wants {channels}")
    if residual is not None and residual.shape != x.shape:
        raise ValueError(f"batch_norm residual has shape {residual.shape}, x has {x.shape}")
    count = x.data.size // channels[0]
    extra = None if residual is None else residual.data
    parents = (x, gamma, beta) if residual is None else (x, gamma, beta, residual)
    attrs = {"training": training, "eps": eps, "relu": relu, "mean": running_mean, "var": running_var}
    if not training:
        return _fixed(x, gamma, beta, running_mean, running_var, eps, residual, relu, parents, attrs)
    if count < 2:
        raise ValueError(f"batch_norm in training needs more than one value per channel, given x {x.shape}")
    y, mean, var = kernels.batch_norm(x.data, gamma.data, beta.data, eps, extra, relu)
    if momentum is not None:
        seen, held = Seen(running_mean, running_var, mean, var * (count / (count - 1))), _held.get()
        if held is None:
            seen.follow(momentum)
        else:
            held.append(seen)

    def backward(dy: np.ndarray) -> list[np.ndarray | None]:
        parts = kernels.batch_norm_backward(dy, y, x.data, gamma.data, mean, var, eps, residual is not None, relu)
        return list(parts[: len(parents)])

    return record("batch_norm", y, parents, backward, **attrs)


def scale_shift(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """y = scale_c x + shift_c; x (N, C, ...), scale, shift (C).

    >>> x, one = elq.Tensor(np.array([[1.0], [3.0]])), elq.Tensor(np.ones(1))
    >>> elq.ops.scale_shift(x, elq.Tensor(np.array([2.0])), one).data
    array([[3.],
           [7.]])
    """
    for name, part in (("scale", scale), ("shift", shift)):
        if part.shape != x.shape[1:2]:
            raise ValueError(f"scale_shift {name} has shape {part.shape}, x {x.shape} wants {x.shape[1:2]}")
    axes, column = (0, *range(2, len(x.shape))), (-1,) + (1,) * (len(x.shape) - 2)
    y = kernels.scale_shift(x.data, scale.data, shift.data, None, False)

    def backward(dy: np.ndarray) -> list[np.ndarray | None]:
        return [dy * scale.data.reshape(column), (dy * x.data).sum(axes), dy.sum(axes)]

    return record("scale_shift", y, (x, scale, shift), backward)


def _fixed(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    mean: np.ndarray,
    var: np.ndarray,
    eps: float,
    residual: Tensor | None,
    relu: bool,
    parents: tuple[Tensor, ...],
    attrs: dict[str, Any],
) -> Tensor:
    """With given statistics the operation is linear in x before the ReLU."""
    axes = (0, *range(2, len(x.shape)))
    column = (-1,) + (1,) * (len(x.shape) - 2)
    inverse = (1 / np.sqrt(var + eps)).astype(x.dtype)
    scale, shift = gamma.data * inverse, (beta.data - mean * gamma.data * inverse).astype(x.dtype)
    y = kernels.scale_shift(x.data, scale, shift, None if residual is None else residual.data, relu)
    centre = mean.astype(x.dtype).reshape(column)

    def backward(dy: np.ndarray) -> list[np.ndarray | None]:
        dz = np.where(y > 0, dy, 0) if relu else dy
        dgamma = (dz * (x.data - centre)).sum(axes) * inverse
        parts = [dz * scale.reshape(column), dgamma, dz.sum(axes)]
        return parts if residual is None else [*parts, dz]

    return record("batch_norm", y, parents, backward, **attrs)
