"""Channels put together, taken out, reordered: of tensors (N, C, ...)."""

from collections.abc import Sequence

import numpy as np

from .. import kernels
from ..tensor import Tensor, record


def concat(values: Sequence[Tensor]) -> Tensor:
    """The channels of all `values`, in their order: (N, C_1, ...), (N, C_2, ...), ... -> (N, C_1 + C_2 + ..., ...).

    >>> a, b = elq.Tensor(np.array([[1.0]])), elq.Tensor(np.array([[2.0, 3.0]]))
    >>> elq.ops.concat([a, b]).data
    array([[1., 2., 3.]])
    """
    shapes = [value.shape for value in values]
    if not shapes or any(len(s) < 2 or s[:1] + s[2:] != shapes[0][:1] + shapes[0][2:] for s in shapes):
        raise ValueError(f"concat of shapes {', '.join(map(str, shapes))}: wanted equal axes but for the channels")
    ends = np.cumsum([shape[1] for shape in shapes])
    room = kernels.empty((shapes[0][0], *shapes[0][2:], int(ends[-1])), values[0].data.dtype)
    y = np.moveaxis(room, -1, 1)
    for value, end in zip(values, ends, strict=True):
        y[:, end - value.shape[1] : end] = value.data

    def backward(dy: np.ndarray) -> list[np.ndarray]:
        return [dy[:, end - value.shape[1] : end] for value, end in zip(values, ends, strict=True)]

    return record("concat", y, values, backward)


def channel_slice(x: Tensor, first: int, last: int) -> Tensor:
    """y = x[:, first:last], (N, C, ...) -> (N, last - first, ...); 0 <= first < last <= C.

    >>> elq.ops.channel_slice(elq.Tensor(np.array([[1.0, 2.0, 3.0]])), 1, 3).data
    array([[2., 3.]])
    """
    if len(x.shape) < 2 or not 0 <= first < last <= x.shape[1]:
        raise ValueError(f"slice of channels {first} to {last} of {x.shape}: wanted 0 <= first < last <= channels")

    def backward(dy: np.ndarray) -> tuple[np.ndarray]:
        dx = np.zeros_like(x.data)
        dx[:, first:last] = dy
        return (dx,)

    return record("slice", x.data[:, first:last], (x,), backward, first=int(first), last=int(last))


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Channels (C) as (groups, C / groups), transposed: y[:, i groups + g] = x[:, g C / groups + i]; x (N, C, ...).

    >>> elq.ops.channel_shuffle(elq.Tensor(np.arange(6.0).reshape(1, 6)), 2).data
    array([[0., 3., 1., 4., 2., 5.]])
    """
    if len(x.shape) < 2 or groups < 1 or x.shape[1] % groups:
        raise ValueError(f"shuffle of {x.shape} in {groups} group(s): wanted a divisor of the channels")
    order = np.arange(x.shape[1]).reshape(groups, -1).T.ravel()
    back = np.argsort(order)
    return record("shuffle", x.data[:, order], (x,), lambda dy: (dy[:, back],), groups=int(groups))
