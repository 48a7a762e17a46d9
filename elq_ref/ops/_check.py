"""Argument checks that the operations share: errors that name what was given and what was wanted."""

import numpy as np

from ..tensor import Tensor

Pair = int | tuple[int, int]
Border = int | tuple[int, int] | tuple[int, int, int, int]


def pair(name: str, value: Pair, least: int) -> tuple[int, int]:
    """`value` as (rows, columns), both at least `least`."""
    rows, columns = (value, value) if isinstance(value, int | np.integer) else value
    if rows < least or columns < least:
        raise ValueError(f"{name} is {value}, wanted at least {least}")
    return int(rows), int(columns)


def border(name: str, value: Border) -> tuple[int, int, int, int]:
    """`value`, one number, (rows, columns) or all four, as (top, left, bottom, right), each at least 0."""
    sides = (value,) * 4 if isinstance(value, int | np.integer) else tuple(value) * (2 if len(value) == 2 else 1)
    if len(sides) != 4 or min(sides) < 0:
        raise ValueError(f"{name} is {value}, wanted 1, 2 or 4 integers of at least 0")
    top, left, bottom, right = map(int, sides)
    return top, left, bottom, right


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


def pool_window(
    op: str, x: Tensor, kernel: Pair, stride: Pair | None, padding: Border, ceil_mode: bool
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int, int, int]]:
    """kernel, stride and padding of a pool over x (N, C, H, W), whose windows all hold a pixel.

    `ceil_mode` becomes padding below and right: a last window that is not whole is kept, unless it begins below or
    right of the picture.
    """
    rank(op, x, 4, "N C H W")
    kernel = pair("kernel", kernel, 1)
    stride = kernel if stride is None else pair("stride", stride, 1)
    sides = list(border("padding", padding))
    for a, n in enumerate(x.shape[2:]):
        k, s, before, after = kernel[a], stride[a], sides[a], sides[a + 2]
        beyond = n + before + after - k
        last = -(-beyond // s) if ceil_mode else beyond // s
        if last < 0:
            raise ValueError(f"{op}: a window of {kernel} does not fit an input of {x.shape[2:]} padded by {padding}")
        if ceil_mode and last * s >= n + before:
            last -= 1
        sides[a + 2] = max(after, last * s + k - n - before)
        if before >= k or last * s >= n + before:
            raise ValueError(f"{op}: a window of {kernel} sees no pixel of {x.shape[2:]} padded by {padding}")
    return kernel, stride, (sides[0], sides[1], sides[2], sides[3])
