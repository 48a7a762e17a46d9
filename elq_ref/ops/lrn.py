"""Local response normalization, across channels."""

import numpy as np

from ..tensor import Tensor, record


def local_response_norm(x: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0) -> Tensor:
    """y_c = x_c / (bias + alpha / size sum_d x_d^2)^beta, d = c - size // 2 .. c + (size - 1) // 2; x (N, C, ...).

    Channels outside are zeros and counted, as in torch.nn.LocalResponseNorm.

    >>> elq.ops.local_response_norm(elq.Tensor(np.array([[1.0, 2.0]])), 1, alpha=1.0, beta=1.0, bias=0.0).data
    array([[1. , 0.5]])
    """
    if len(x.shape) < 2 or size < 1:
        raise ValueError(f"local_response_norm of {x.shape} over {size} channels: wanted N C ... and a size >= 1")
    before, after = size // 2, (size - 1) // 2
    share = alpha / size
    base = bias + share * _sums(x.data * x.data, before, after)
    factor = base ** (-beta)

    def backward(dy: np.ndarray) -> tuple[np.ndarray]:
        # y_c depends on x_d through base_c for every c whose window holds d: c = d - after .. d + before
        through = _sums(dy * x.data * factor / base, after, before)
        return (dy * factor - 2 * beta * share * x.data * through,)

    attributes = {"size": int(size), "alpha": float(alpha), "beta": float(beta), "bias": float(bias)}
    return record("lrn", x.data * factor, (x,), backward, **attributes)


def _sums(x: np.ndarray, before: int, after: int) -> np.ndarray:
    """sum of x over channels c - before .. c + after."""
    channels = x.shape[1]
    sums = np.zeros_like(x)
    for shift in range(-min(before, channels - 1), min(after, channels - 1) + 1):
        to = slice(max(0, -shift), channels - max(0, shift))
        of = slice(max(0, shift), channels - max(0, -shift))
        sums[:, to] += x[:, of]
    return sums
