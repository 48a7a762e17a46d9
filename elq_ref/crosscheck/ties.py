"""Decisions that rounding takes: which element of a pooling window is the largest, whether a ReLU lets pass.

Where two elements of a window are equal, or an operand of a ReLU is 0, up to rounding, the gradient jumps: two sound
implementations may differ by far more than rounding. At W_hat on 8-bit pictures sums lie on a lattice, so that this
happens in every step. For every gradient of a pass a **slack** is found: |ours - theirs| <= slack, element by element,
however such ties are decided. It is carried through the tape beside the gradient, from the ties down: through an
operation that is linear in it by the absolute values of its factors,

    slack_in = |J|^T slack_out,    and at a tie |dy| + slack_out on everything that dy could go to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from .. import ops
from ..kernels.numpy_pool import windows
from ..tensor import Backward, Tensor, watched, wrap_backward

# Two values are tied when they differ by no more than this share of the largest |value| of their tensor: what rounding
# makes of the same sum in another order, in nets as deep as a ResNet
TIED = {"float64": 1e-10, "float32": 1e-5}

Parts = list[np.ndarray | None]
_LINEAR: dict[str, Callable[..., Tensor]] = {
    name: getattr(ops, name)
    for name in ("conv2d", "linear", "add", "mul", "global_avg_pool", "reshape", "pad", "subsample")
}
_LINEAR["avg_pool"] = lambda x, counted, **attributes: ops.avg_pool(x, **attributes, count_include_pad=counted)


class Ties:
    """The tied decisions of one pass: `counts` by operation, and the slack of every gradient once it was formed."""

    def __init__(self, broken: bool) -> None:
        self.broken = broken
        self.counts: Counter[str] = Counter()
        self._slacks: dict[int, np.ndarray] = {}  # by id of the tensor
        self._alive: list[Tensor] = []  # a tensor that is gone could leave its id to another

    def slack(self, leaf: Tensor) -> np.ndarray | None:
        """What the gradient of `leaf` may change by, of its shape; None: by nothing but rounding."""
        return self._slacks.get(id(leaf))

    def see(self, op: str, operands: tuple[Tensor, ...], result: Tensor, attributes: dict[str, Any]) -> None:
        """A watcher (tensor.watched): follows one operation, forward and, later, backward."""
        tie = _tie(op, operands, result, attributes)
        if tie.any():
            self.counts[op] += int(tie.sum())
        self._alive += [*operands, result]

        def wrap(backward: Backward) -> Backward:
            def both(dy: np.ndarray) -> Sequence[np.ndarray | None]:
                slack = self._slacks.pop(id(result), None)
                if slack is not None or tie.any():
                    slack = np.zeros_like(dy) if slack is None else slack
                    with np.errstate(invalid="ignore"):  # inf * 0, of an operation that nothing is known of
                        parts = _slack_parts(op, operands, result, attributes, dy, slack, tie)
                    for operand, part in zip(operands, parts, strict=True):
                        if part is not None and operand.requires_grad:
                            part = np.nan_to_num(part, nan=np.inf, posinf=np.inf)
                            self._slacks[id(operand)] = part + self._slacks.get(id(operand), 0)
                if not self.broken or not tie.any():
                    return backward(dy)
                if op == "max_pool":
                    return [_to_first(operands[0].data, result.data, dy, attributes)]
                return backward(np.where(tie, 0, dy).astype(dy.dtype))

            return both

        wrap_backward(result, wrap)


@contextmanager
def seen(broken: bool = False) -> Iterator[Ties]:
    """Inside, passes are watched for ties. broken: they are decided by rule, not by rounding: the gradient goes to the
    first element of a window that is tied for the largest, and through no ReLU whose operand is tied with 0.
    """
    found = Ties(broken)
    with watched(found.see):
        yield found


def _near(x: np.ndarray) -> float:
    """How far apart two values of x may be and count as tied."""
    return TIED[str(x.dtype)] * float(np.abs(x).max(initial=0))


def _tie(op: str, operands: tuple[Tensor, ...], result: Tensor, attributes: dict[str, Any]) -> np.ndarray:
    """bool in the shape of the result: where a decision is within rounding of a tie."""
    if op == "relu":
        x = operands[0].data
    elif op == "batch_norm" and attributes["relu"]:
        x = _before_relu(operands, attributes)
    elif op == "max_pool":
        near = sum((part.astype(np.int32) for part in _tied(operands[0].data, result.data, attributes)), start=0)
        return np.asarray(near > 1)
    else:
        return np.zeros(1, bool)
    return np.asarray(np.abs(x) <= _near(x))


def _places(x: np.ndarray, y: np.ndarray, attributes: dict[str, Any]) -> list[tuple[Any, Any]]:
    """For every place in the windows of a max_pool: what they see of x there, and which of y see something."""
    kernel, stride, padding = (attributes[key] for key in ("kernel", "stride", "padding"))
    return [(place, at) for _, place, at in windows(x.shape[2:], kernel, stride, padding, y.shape[2:])]


def _tied(x: np.ndarray, y: np.ndarray, attributes: dict[str, Any]) -> list[np.ndarray]:
    """For every place in the window, bool (N, C, P, Q): its element is tied for the largest."""
    near, found = _near(x), []
    for place, at in _places(x, y, attributes):
        found.append(np.zeros(y.shape, bool))
        found[-1][at] = x[place] >= y[at] - near
    return found


def _to_first(x: np.ndarray, y: np.ndarray, dy: np.ndarray, attributes: dict[str, Any]) -> np.ndarray:
    """The gradient of max pooling that goes to the first tied element of every window."""
    dx, left = np.zeros_like(x), np.ones(y.shape, bool)
    for (place, at), tied in zip(_places(x, y, attributes), _tied(x, y, attributes), strict=True):
        dx[place] += np.where(left & tied, dy, 0)[at]
        left &= ~tied
    return dx


def _standardized(operands: tuple[Tensor, ...], attributes: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """((x - mean) / sqrt(var + eps), gamma / sqrt(var + eps)) of a batch_norm, the latter to broadcast over x."""
    x, gamma = operands[0].data, operands[1].data
    axes, column = (0, *range(2, x.ndim)), (-1, *(1,) * (x.ndim - 2))
    training = attributes["training"]
    mean, var = (x.mean(axes), x.var(axes)) if training else (attributes["mean"], attributes["var"])
    inverse = (1 / np.sqrt(var + attributes["eps"])).reshape(column)
    return (x - mean.reshape(column)) * inverse, gamma.reshape(column) * inverse


def _before_relu(operands: tuple[Tensor, ...], attributes: dict[str, Any]) -> np.ndarray:
    """What the ReLU inside a batch_norm reads."""
    x, gamma, beta, *residual = (operand.data for operand in operands)
    column = (-1, *(1,) * (x.ndim - 2))
    y = gamma.reshape(column) * _standardized(operands, attributes)[0] + beta.reshape(column)
    return np.asarray(y + residual[0] if residual else y).astype(x.dtype)


def _slack_parts(
    op: str,
    operands: tuple[Tensor, ...],
    result: Tensor,
    attributes: dict[str, Any],
    dy: np.ndarray,
    slack: np.ndarray,
    tie: np.ndarray,
) -> Parts:
    """Slack of every operand's gradient, given that of the result's; dy is the gradient itself."""
    if op in _LINEAR:
        leaves = [Tensor(np.abs(operand.data), operand.requires_grad) for operand in operands]
        _LINEAR[op](*leaves, **attributes).backward(slack)
        return [leaf.grad for leaf in leaves]
    reach = slack + np.where(tie, np.abs(dy), 0)
    if op == "relu":
        return [np.where(tie | (result.data > 0), reach, 0)]
    if op == "max_pool":
        x, y = operands[0].data, result.data
        part = np.zeros_like(x)
        for (place, at), tied in zip(_places(x, y, attributes), _tied(x, y, attributes), strict=True):
            part[place] += np.where(tied, reach, 0)[at]
        return [part]
    if op == "batch_norm":
        if attributes["relu"]:
            reach = np.where(tie | (result.data > 0), reach, 0)
        return _batch_norm_parts(operands, attributes, reach)
    return [np.full_like(operand.data, np.inf) for operand in operands]  # an operation of one's own


def _batch_norm_parts(operands: tuple[Tensor, ...], attributes: dict[str, Any], reach: np.ndarray) -> Parts:
    """dx = gamma / sqrt(var + eps) (dy - mean(dy) - x_hat mean(dy x_hat)) with absolute values; without the means where
    the statistics are fixed."""
    size, factor = (np.abs(part) for part in _standardized(operands, attributes))
    axes = (0, *range(2, size.ndim))
    of_x = reach
    if attributes["training"]:
        of_x = reach + reach.mean(axes, keepdims=True) + size * (reach * size).mean(axes, keepdims=True)
    return [factor * of_x, (reach * size).sum(axes), reach.sum(axes), reach][: len(operands)]
