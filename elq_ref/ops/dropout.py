"""Dropout."""

import numpy as np

from ..draws import uniform
from ..tensor import Tensor, record


def dropout(x: Tensor, rate: float = 0.5, *, training: bool = True) -> Tensor:
    """y = x / (1 - rate) where a uniform number >= rate was drawn for the element, else 0; x (N, ...). y = x where not
    `training`.

    The numbers are functions of (seed, epoch, sample, which dropout of the pass, element): `elq_ref.drawing` says them,
    RuntimeError where nobody does. ValueError unless 0 <= rate <= 1.

    >>> x = elq.Tensor(np.ones((2, 4)))
    >>> with elq.drawing(seed=0, epoch=0, samples=np.arange(2)):
    ...     print(elq.ops.dropout(x, 0.5).data)
    [[0. 2. 2. 0.]
     [2. 2. 0. 0.]]
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"dropout rate is {rate}, wanted 0 to 1")
    if not training:
        return record("dropout", x.data, (x,), lambda dy: (dy,), rate=float(rate))
    scale = 1 / (1 - rate) if rate < 1 else 0.0
    factor = np.where(uniform(x.shape) >= rate, scale, 0.0).astype(x.dtype)
    return record("dropout", x.data * factor, (x,), lambda dy: (dy * factor,), rate=float(rate))
