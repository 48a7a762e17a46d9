"""relu."""

from .. import kernels
from ..tensor import Tensor, record


def relu(x: Tensor) -> Tensor:
    """y = max(x, 0), any shape. Convention: relu'(0) = 0."""
    y = kernels.relu(x.data)
    return record("relu", y, (x,), lambda dy: (kernels.relu_backward(dy, y),))
