"""relu."""

import numpy as np

from ..tensor import Tensor, record


def relu(x: Tensor) -> Tensor:
    """y = max(x, 0), any shape. Convention: relu'(0) = 0."""
    y = np.maximum(x.data, 0)
    return record("relu", y, (x,), lambda dy: (np.where(y > 0, dy, 0),))
