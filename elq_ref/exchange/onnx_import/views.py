"""How the axes of an ONNX value lie in the value (N, C, H, W) or (N, C) of the graph: transposes and reshapes compute
nothing, they only say where an axis is.

An axis is a sequence of digits, the highest first. A digit counts `size` steps of `stride` along one of the axes N, C,
H, W: an axis that was split into (2, 58) has the digits (C, 58, 2) and (C, 1, 58). An axis of size 1 has none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Digit:
    label: str  # N, C, H or W
    stride: int
    size: int


Axis = tuple[Digit, ...]


@dataclass(frozen=True)
class View:
    """The axes of a value in ONNX's order."""

    axes: tuple[Axis, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(math.prod(digit.size for digit in axis) for axis in self.axes)

    @property
    def digits(self) -> Axis:
        """All digits in the order in which the elements follow each other."""
        return _joined([digit for axis in self.axes for digit in axis])

    def transposed(self, order: tuple[int, ...]) -> View:
        """Axis k of the result is axis order[k]; ValueError where `order` is no permutation."""
        if sorted(order) != list(range(len(self.axes))):
            raise ValueError(f"transposes {len(self.axes)} axes by {str(order)[:60]}")
        return View(tuple(self.axes[k] for k in order))

    def reshaped(self, shape: tuple[int, ...]) -> View:
        """The same elements in the same order, as `shape`; ValueError where an axis would begin inside of a digit."""
        if math.prod(shape) != math.prod(self.shape):
            raise ValueError(f"reshapes {self.shape} to {str(shape)[:80]}")
        left = list(reversed(self.digits))
        axes: list[Axis] = []
        for size in shape:
            axis: list[Digit] = []
            if left and left[-1].label == "N" and left[-1].size == size == 1:  # a batch of one is an axis all the same
                axes.append((left.pop(),))
                continue
            while size > 1:
                while left[-1].size == 1:
                    axis.append(left.pop())
                digit = left.pop()
                if size % digit.size == 0:
                    axis.append(digit)
                    size //= digit.size
                elif digit.size % size == 0:
                    low = digit.size // size
                    axis.append(Digit(digit.label, digit.stride * low, size))
                    left.append(Digit(digit.label, digit.stride, low))
                    size = 1
                else:
                    raise ValueError(f"reshapes {self.shape} to {str(shape)[:80]}, which mixes channels, rows, columns")
            axes.append(_joined(axis))
        if left and axes:  # a batch of one behind all others
            axes[-1] = (*axes[-1], *reversed(left))
        return View(tuple(axes))

    def labels(self) -> tuple[str, ...] | None:
        """The label of every axis, "" for one of size 1; None where one is a part or a mixture of axes."""
        whole = {digit.label: digit for digit in _joined(sorted(self.digits, key=lambda d: (d.label, -d.stride)))}
        found = []
        for axis in self.axes:
            if len(axis) > 1 or (axis and axis[0] != whole[axis[0].label]):
                return None
            found.append(axis[0].label if axis else "")
        return tuple(found)


def _joined(digits: list[Digit]) -> Axis:
    """Neighbours of which one continues the other, as one."""
    done: list[Digit] = []
    for digit in digits:
        if digit.size == 1 and digit.label != "N":
            continue
        if done and done[-1].label == digit.label and done[-1].stride == digit.stride * digit.size:
            digit = Digit(digit.label, digit.stride, digit.size * done.pop().size)
        done.append(digit)
    return tuple(done)


def whole(label: str, size: int) -> Axis:
    """An axis of the graph as an axis of a view."""
    return (Digit(label, 1, size),) if size > 1 or label == "N" else ()


def plain(batch: int, shape: tuple[int, ...]) -> View:
    """The view of a value (C, H, W) or (C) of the graph as ONNX has it: (N, C, H, W) or (N, C)."""
    return View((whole("N", batch), *(whole(label, size) for label, size in zip("CHW", shape, strict=False))))


def filled(labels: tuple[str, ...]) -> tuple[str, ...]:
    """The labels of all axes, those of size 1 too: (N, C, H, W), (N, H, W, C), or (N, 1, C, H, W) whose 1 has none."""
    for order in (("N", "C", "H", "W"), ("N", "H", "W", "C"), ("N", "", "C", "H", "W")):
        if len(labels) == len(order) and all(a in ("", b) for a, b in zip(labels, order, strict=True)):
            return order
    raise ValueError("reads a value whose axes are not (N, C, H, W)")


def positions(digits: Axis, shape: tuple[int, ...]) -> np.ndarray:
    """Where the elements that `digits` count, in their order, lie in a value of `shape`: indices into its flat form."""
    weights = {"N": 0, "C": math.prod(shape[1:]), "H": math.prod(shape[2:]), "W": 1}
    found = np.zeros(1, np.int64)
    for digit in digits:
        steps = np.arange(digit.size) * digit.stride * weights[digit.label]
        found = (found[:, None] + steps).reshape(-1)
    return found
