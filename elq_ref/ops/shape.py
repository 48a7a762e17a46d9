"""Changes of shape."""

import math
from collections.abc import Sequence

import numpy as np

from ..tensor import Tensor, record
from ._check import rank


def reshape(x: Tensor, shape: Sequence[int]) -> Tensor:
    """The same elements in NCHW order under another shape; one length may be -1.

    >>> elq.ops.reshape(elq.Tensor(np.arange(6.0)), (2, -1)).data
    array([[0., 1., 2.],
           [3., 4., 5.]])
    """
    shape = tuple(shape)
    known = math.prod(n for n in shape if n != -1)
    if shape.count(-1) > 1 or (known != x.data.size if -1 not in shape else known == 0 or x.data.size % known):
        raise ValueError(f"reshape of {x.shape} ({x.data.size} elements) to {shape}")
    return record("reshape", x.data.reshape(shape), (x,), lambda dy: (dy.reshape(x.shape),), shape=shape)


def pad(x: Tensor, before: Sequence[int], after: Sequence[int]) -> Tensor:
    """Zeros around x: `before[i]` and `after[i]` of them along axis i.

    >>> elq.ops.pad(elq.Tensor(np.ones((1, 2))), (0, 1), (1, 0)).data
    array([[0., 1., 1.],
           [0., 0., 0.]])
    """
    before, after = tuple(before), tuple(after)
    if not len(before) == len(after) == len(x.shape) or min(before + after) < 0:
        raise ValueError(f"pad of shape {x.shape} by {before} before and {after} after")
    inside = tuple(slice(b, b + n) for b, n in zip(before, x.shape, strict=True))
    y = np.zeros_like(x.data, shape=tuple(b + n + a for b, n, a in zip(before, x.shape, after, strict=True)))
    y[inside] = x.data
    return record("pad", y, (x,), lambda dy: (dy[inside],), before=before, after=after)


def subsample(x: Tensor, step: int) -> Tensor:
    """y = x[:, :, ::step, ::step] of an (N, C, H, W) tensor.

    >>> elq.ops.subsample(elq.Tensor(np.arange(16.0).reshape(1, 1, 4, 4)), 2).data[0, 0]
    array([[ 0.,  2.],
           [ 8., 10.]])
    """
    rank("subsample", x, 4, "N C H W")
    if step < 1:
        raise ValueError(f"subsample step is {step}, wanted at least 1")

    def backward(dy: np.ndarray) -> tuple[np.ndarray]:
        dx = np.zeros_like(x.data)
        dx[:, :, ::step, ::step] = dy
        return (dx,)

    return record("subsample", x.data[:, :, ::step, ::step], (x,), backward, step=step)
