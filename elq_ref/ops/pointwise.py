"""What all functions of one number share: the kernel of a name, recorded under it."""

from .. import kernels
from ..tensor import Tensor, record


def pointwise(name: str, x: Tensor, **parameters: float) -> Tensor:
    """y = f(x) of `kernels.pointwise`, any shape; `parameters` in the kernel's order are the operation's attributes."""
    values = tuple(parameters.values())
    y = kernels.pointwise(name, x.data, *values)
    return record(name, y, (x,), lambda dy: (kernels.pointwise_backward(name, dy, x.data, *values),), **parameters)
