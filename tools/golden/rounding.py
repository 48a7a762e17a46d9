"""How far float32 may stray: Monte Carlo arithmetic (Parker 1997) on the operations of a trace, in float64.

Every result of an operation, forward and backward, is disturbed by a uniform random amount up to the a-priori
bound of its rounding error: for a sum of n terms in any order, min(n, 4 sqrt(n)) u sum|terms| with u = 2^-24.
n u is the bound that always holds (Higham 2002, section 3.1), 4 sqrt(n) u the one that fails with a
probability below 2 exp(-8) (Higham and Mary 2019, theorem 2.4). Running the same computation many times so
shows how these errors travel through what follows, BatchNorm's division included. Two float32 implementations
may be that far from the exact result on either side, hence the factor 2 in `bounds`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

U = 2.0**-24
RUNS = 32


class Noise:
    """Random disturbances within given sizes."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, value: Tensor, terms: int, size: Tensor) -> Tensor:
        """value + uniform(-1, 1) * min(terms, 4 sqrt(terms)) * u * size."""
        uniform = torch.rand(value.shape, generator=self.generator, dtype=torch.float64) * 2 - 1
        return value + uniform * (min(terms, 4 * terms**0.5) * U) * size


class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, b, noise, geometry):
        ctx.save_for_backward(x, w)
        ctx.noise, ctx.geometry, ctx.bias = noise, geometry, b is not None
        y = F.conv2d(x, w, b, **geometry)
        return noise(y, w[0].numel() + 1, F.conv2d(x.abs(), w.abs(), None if b is None else b.abs(), **geometry))

    @staticmethod
    def backward(ctx, dy):
        (x, w), noise, g = ctx.saved_tensors, ctx.noise, ctx.geometry
        terms = w.shape[0] // g.get("groups", 1) * w[0, 0].numel()
        dx = torch.nn.grad.conv2d_input(x.shape, w, dy, **g)
        dx = noise(dx, terms, torch.nn.grad.conv2d_input(x.shape, w.abs(), dy.abs(), **g))
        dw = torch.nn.grad.conv2d_weight(x, w.shape, dy, **g)
        terms = dy.numel() // dy.shape[1]
        dw = noise(dw, terms, torch.nn.grad.conv2d_weight(x.abs(), w.shape, dy.abs(), **g))
        db = noise(dy.sum((0, 2, 3)), terms, dy.abs().sum((0, 2, 3))) if ctx.bias else None
        return dx, dw, db, None, None


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, b, noise):
        ctx.save_for_backward(x, w)
        ctx.noise, ctx.bias = noise, b is not None
        return noise(F.linear(x, w, b), w.shape[1] + 1, F.linear(x.abs(), w.abs(), None if b is None else b.abs()))

    @staticmethod
    def backward(ctx, dy):
        (x, w), noise = ctx.saved_tensors, ctx.noise
        dx = noise(dy @ w, w.shape[0], dy.abs() @ w.abs())
        dw = noise(dy.T @ x, x.shape[0], dy.abs().T @ x.abs())
        return dx, dw, noise(dy.sum(0), x.shape[0], dy.abs().sum(0)) if ctx.bias else None, None


class _BatchNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, gamma, beta, running_mean, running_var, noise, training):
        axes, column = (0, *range(2, x.dim())), (1, -1, *[1] * (x.dim() - 2))
        n = x.numel() // x.shape[1]
        if training:
            mean = noise(x.mean(axes), n, x.abs().mean(axes))
            var = ((x - mean.view(column)) ** 2).mean(axes)
            var = noise(var, n + 3, var)
            unbiased = var * (n / (n - 1))
            running_mean.copy_(noise(0.9 * running_mean + 0.1 * mean, 3, running_mean.abs() + mean.abs()))
            running_var.copy_(noise(0.9 * running_var + 0.1 * unbiased, 4, running_var + unbiased))
        else:
            mean, var = running_mean, running_var
        inverse = noise((var + 1e-5).rsqrt(), 4, (var + 1e-5).rsqrt())
        # An implementation may fold mean, gamma and beta into one scale and shift: their sizes add up.
        x_hat = (x - mean.view(column)) * inverse.view(column)
        x_hat = noise(x_hat, 4, (x.abs() + mean.abs().view(column)) * inverse.view(column))
        ctx.save_for_backward(x_hat, gamma, inverse)
        ctx.noise, ctx.axes, ctx.column, ctx.n, ctx.training = noise, axes, column, n, training
        y = x_hat * gamma.view(column) + beta.view(column)
        return noise(y, 3, (x_hat * gamma.view(column)).abs() + beta.abs().view(column))

    @staticmethod
    def backward(ctx, dy):
        (x_hat, gamma, inverse), noise, axes, n = ctx.saved_tensors, ctx.noise, ctx.axes, ctx.n
        dbeta = noise(dy.sum(axes), n, dy.abs().sum(axes))
        dgamma = noise((dy * x_hat).sum(axes), n + 2, (dy * x_hat).abs().sum(axes))
        factor = (gamma * inverse).view(ctx.column)
        if not ctx.training:
            return noise(dy * factor, 3, (dy * factor).abs()), dgamma, dbeta, None, None, None, None
        first, second = dbeta.view(ctx.column) / n, x_hat * dgamma.view(ctx.column) / n
        dx = factor * (dy - first - second)
        dx = noise(dx, 6, factor.abs() * (dy.abs() + first.abs() + second.abs()))
        return dx, dgamma, dbeta, None, None, None, None


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z, labels, noise):
        n, k = z.shape
        shifted = z - z.amax(1, keepdim=True)
        total = shifted.exp().sum(1)
        rows = total.log() - shifted.gather(1, labels[:, None])[:, 0]
        rows = noise(rows, k + 6, 1 + total.log().abs() + shifted.abs().amax(1))
        ctx.save_for_backward(shifted.exp() / total[:, None], F.one_hot(labels, k).to(z.dtype), shifted.abs())
        ctx.noise, ctx.k = noise, k
        return noise(rows.mean(), n, rows.abs().mean())

    @staticmethod
    def backward(ctx, dy):
        p, hot, size = ctx.saved_tensors
        # exp has the condition number |argument|; the sum has k terms
        dz = ctx.noise((p - hot) * dy / len(p), ctx.k + 6, (p * (1 + size) + hot) * dy.abs() / len(p))
        return dz, None, None


class _AvgPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, kernel, stride, noise):
        ctx.save_for_backward(x)
        ctx.args, ctx.noise = (kernel, stride), noise
        terms = kernel[0] * kernel[1]
        return noise(F.avg_pool2d(x, kernel, stride), terms + 1, F.avg_pool2d(x.abs(), kernel, stride))

    @staticmethod
    def backward(ctx, dy):
        (x,), (kernel, stride) = ctx.saved_tensors, ctx.args

        def spread(d: Tensor) -> Tensor:
            with torch.enable_grad():
                leaf = torch.zeros_like(x, requires_grad=True)
                return torch.autograd.grad(F.avg_pool2d(leaf, kernel, stride), leaf, d)[0]

        return ctx.noise(spread(dy), kernel[0] * kernel[1] + 1, spread(dy.abs())), None, None, None


class NoisyOps:
    """The operations of reference.PlainOps and of the operation traces, each with its rounding error."""

    def __init__(self, seed: int) -> None:
        self.noise = Noise(seed)

    def conv2d(self, x: Tensor, w: Tensor, b: Tensor | None = None, **geometry) -> Tensor:
        return _Conv.apply(x, w, b, self.noise, geometry)

    def linear(self, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
        return _Linear.apply(x, w, b, self.noise)

    def batch_norm(self, x, running_mean, running_var, gamma, beta, training: bool = True) -> Tensor:
        return _BatchNorm.apply(x, gamma, beta, running_mean, running_var, self.noise, training)

    def cross_entropy(self, z: Tensor, labels: Tensor) -> Tensor:
        return _CrossEntropy.apply(z, labels, self.noise)

    def avg_pool2d(self, x: Tensor, kernel: tuple[int, int], stride: tuple[int, int]) -> Tensor:
        return _AvgPool.apply(x, kernel, stride, self.noise)


def bounds(compute: Callable[[NoisyOps | None], dict[str, Tensor]]) -> dict[str, float]:
    """Largest difference, by name of result, that float32 rounding explains between two implementations.

    compute(None) gives the exact results (in float64), compute(ops) those with rounding errors. To the spread
    over RUNS runs come 16 u of the largest value: a few elementwise operations on the results and their
    storage.
    """
    exact = compute(None)
    spread = dict.fromkeys(exact, 0.0)
    for seed in range(RUNS):
        for name, value in compute(NoisyOps(seed)).items():
            if value.numel():
                spread[name] = max(spread[name], float((value.double() - exact[name].double()).abs().max()))
    return {
        name: 2 * (spread[name] + 16 * U * float(value.double().abs().max())) if value.numel() else 0.0
        for name, value in exact.items()
    }
