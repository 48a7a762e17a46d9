"""Normalization: BatchNorm2d, LocalResponseNorm."""

from __future__ import annotations

import numpy as np

from .. import ops
from ..tensor import Tensor
from .module import Module


class BatchNorm2d(Module):
    """ops.batch_norm with its parameters and running statistics.

    `momentum` None in training leaves the running statistics alone (the pass at W of an ELQ step). `frozen` True: the
    running statistics are used and left alone in training too, for batches too small to have any of their own; weight
    and bias are trained as ever.

    >>> norm = elq.nn.BatchNorm2d(1)
    >>> x = elq.Tensor(np.array([1, 3], np.float32).reshape(2, 1, 1, 1))
    >>> norm(x).data.ravel().round(3), norm.running_mean, norm.running_var  # unbiased: 1 + 0.1 (2 - 1)
    (array([-1.,  1.], dtype=float32), array([0.2], dtype=float32), array([1.1], dtype=float32))
    >>> norm.eval()(x).data.ravel().round(3)
    array([0.763, 2.67 ], dtype=float32)
    """

    buffers = ("running_mean", "running_var")

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1) -> None:
        self.weight = Tensor(np.ones(num_features, np.float32), requires_grad=True)
        self.bias = Tensor(np.zeros(num_features, np.float32), requires_grad=True)
        self.running_mean = np.zeros(num_features, np.float32)
        self.running_var = np.ones(num_features, np.float32)
        self.eps, self.momentum = eps, momentum
        self.frozen = False

    def forward(self, x: Tensor, residual: Tensor | None = None, relu: bool = False) -> Tensor:
        return ops.batch_norm(
            x,
            self.weight,
            self.bias,
            self.running_mean,
            self.running_var,
            training=self.training and not self.frozen,
            momentum=self.momentum,
            eps=self.eps,
            residual=residual,
            relu=relu,
        )


def freeze_statistics(net: Module, frozen: bool = True) -> None:
    """Set `frozen` of every BatchNorm2d of `net`: it is then trained with the running statistics that it has.

    >>> net = elq.models.digits_cnn()
    >>> elq.nn.freeze_statistics(net)
    >>> net.bn1.frozen
    True
    """
    for _, module in net.named_modules():
        if isinstance(module, BatchNorm2d):
            module.frozen = frozen


class LocalResponseNorm(Module):
    """ops.local_response_norm; `k` is its bias.

    >>> elq.nn.LocalResponseNorm(1, alpha=1.0, beta=1.0, k=0.0)(elq.Tensor(np.array([[1.0, 2.0]]))).data
    array([[1. , 0.5]])
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x: Tensor) -> Tensor:
        return ops.local_response_norm(x, self.size, self.alpha, self.beta, self.k)
