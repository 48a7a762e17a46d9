"""relu."""

from .. import kernels
from ..tensor import Tensor, record


def relu(x: Tensor) -> Tensor:
    """y = max(x, 0), any shape. Convention: relu'(0) = 0.

    >>> x = elq.Tensor(np.array([-1.0, 0.0, 2.0]), requires_grad=True)
    >>> elq.ops.relu(x).backward(np.ones(3))
    >>> x.grad
    array([0., 0., 1.])
    """
    y = kernels.relu(x.data)
    return record("relu", y, (x,), lambda dy: (kernels.relu_backward(dy, y),))
