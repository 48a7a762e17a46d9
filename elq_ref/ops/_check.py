"""Argument checks that the operations share: errors that name what was given and what was wanted."""

import numpy as np

from ..tensor import Tensor

Pair = int | tuple[int, int]


def pair(name: str, value: Pair, least: int) -> tuple[int, int]:
    """`value` as (rows, columns), both at least `least`."""
    rows, columns = (value, value) if isinstance(value, int | np.integer) else value
    if rows < least or columns < least:
        raise ValueError(f"{name} is {value}, wanted at least {least}")
    return int(rows), int(columns)


def rank(op: str, x: Tensor, wanted: int, axes: str) -> None:
    """Refuse a tensor that has not `wanted` axes."""
    if len(x.shape) != wanted:
        raise ValueError(f"{op} wants {axes} ({wanted} axes), given shape {x.shape}")


def window(
    op: str,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int] = (1, 1),
) -> tuple[int, int]:
    """Output rows and columns: P = floor((H + 2 padding - dilation (KH - 1) - 1) / stride) + 1."""
    out = tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
    )
    if min(out) < 1:
        raise ValueError(
            f"{op}: a window of {kernel} (dilation {dilation}) does not fit an input of {size} padded by {padding}"
        )
    return out  # type: ignore[return-value]
