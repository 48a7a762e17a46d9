"""softmax_cross_entropy."""

import numpy as np

from ..tensor import Tensor, record
from ._check import rank


def softmax_cross_entropy(logits: Tensor, labels: np.ndarray) -> Tensor:
    """L = mean_n( log sum_k exp(z[n,k]) - z[n, labels[n]] ): logits z (N, K), integer labels (N) in 0..K-1 -> ().

    >>> loss = elq.ops.softmax_cross_entropy(elq.Tensor(np.zeros((2, 4))), np.array([0, 3]))
    >>> round(loss.item(), 6) == round(float(np.log(4)), 6)
    True
    """
    rank("softmax_cross_entropy", logits, 2, "N K")
    z, labels = logits.data, np.asarray(labels)
    if labels.shape != z.shape[:1] or not np.issubdtype(labels.dtype, np.integer) or labels.size == 0:
        raise ValueError(f"labels are {labels.dtype} {labels.shape}, logits {z.shape} want integers ({z.shape[0]},)")
    if labels.min() < 0 or labels.max() >= z.shape[1]:
        raise ValueError(f"labels run from {labels.min()} to {labels.max()}, wanted 0 to {z.shape[1] - 1}")
    rows = np.arange(len(labels))
    shifted = z - z.max(1, keepdims=True)
    exps = np.exp(shifted)
    sums = exps.sum(1, keepdims=True)
    loss = np.mean(np.log(sums[:, 0]) - shifted[rows, labels])

    def backward(dy: np.ndarray) -> tuple[np.ndarray]:
        dz = exps / sums
        dz[rows, labels] -= 1
        return (dz * (dy / z.dtype.type(len(labels))),)

    return record("softmax_cross_entropy", loss, (logits,), backward)
