"""Maximum and mean over windows: the definitions in NumPy.

Windows of KH x KW elements begin at (p * stride - top, q * stride - left); `padding` is (top, left, bottom, right), and
every window holds a pixel. Arrays are N C H W with any strides.
"""

from collections.abc import Iterator

import numpy as np

Pair = tuple[int, int]
Border = tuple[int, int, int, int]
NO_BORDER = (0, 0, 0, 0)


def pooled(size: tuple[int, ...], kernel: Pair, stride: Pair, padding: Border) -> Pair:
    """Rows and columns of the result: floor((H + top + bottom - KH) / stride) + 1."""
    rows, columns = (
        (n + padding[a] + padding[a + 2] - kernel[a]) // stride[a] + 1 for a, n in zip((0, 1), size, strict=True)
    )
    return rows, columns


def _along(n: int, tap: int, stride: int, before: int, out: int) -> tuple[slice, slice]:
    """Along one axis of n pixels: those that element `tap` of the windows sees, and the windows that see one."""
    first = max(0, -((tap - before) // stride))  # the first p with p * stride - before + tap >= 0
    last = min(out - 1, (n - 1 - tap + before) // stride)
    start = first * stride - before + tap
    count = max(0, last - first + 1)
    return slice(start, start + (count - 1) * stride + 1 if count else start, stride), slice(first, first + count)


def windows(
    size: tuple[int, ...], kernel: Pair, stride: Pair, padding: Border, out: Pair
) -> Iterator[tuple[int, tuple[slice, ...], tuple[slice, ...]]]:
    """For element k of the window, in row order: k, the index of the pixels (N, C, H, W) that it sees, and that of the
    results (N, C, P, Q) which see a pixel there."""
    every = slice(None)
    for i in range(kernel[0]):
        rows, p = _along(size[0], i, stride[0], padding[0], out[0])
        for j in range(kernel[1]):
            columns, q = _along(size[1], j, stride[1], padding[1], out[1])
            yield i * kernel[1] + j, (every, every, rows, columns), (every, every, p, q)


def _firsts(kernel: Pair, stride: Pair, padding: Border, out: Pair) -> tuple[np.ndarray, np.ndarray]:
    """Of every window's rows, and of its columns, the first that lies inside: (P, 1) and (Q)."""
    first = [np.maximum(padding[a] - stride[a] * np.arange(out[a]), 0) for a in (0, 1)]
    return first[0][:, None], first[1]


def max_pool(x: np.ndarray, kernel: Pair, stride: Pair, padding: Border = NO_BORDER) -> tuple[np.ndarray, np.ndarray]:
    """y[n,c,p,q] = max of what the window sees of x, and its place: y, place.

    An incomplete window is dropped. place counts the window's elements in row order, those in the padding too, in the
    smallest unsigned integers that can, and is the first of equals; a NaN is greater than anything before it.
    """
    size = x.shape[2:]
    out = pooled(size, kernel, stride, padding)
    row, column = _firsts(kernel, stride, padding, out)
    y = np.empty_like(x, shape=(*x.shape[:2], *out))
    place = np.empty_like(y, dtype=np.min_scalar_type(kernel[0] * kernel[1] - 1))
    p, q = np.arange(out[0])[:, None], np.arange(out[1])
    y[...] = x[:, :, p * stride[0] - padding[0] + row, q * stride[1] - padding[1] + column]
    place[...] = row * kernel[1] + column
    for k, seen, at in windows(size, kernel, stride, padding, out):
        greater = (x[seen] > y[at]) | np.isnan(x[seen])
        np.copyto(place[at], k, where=greater)
        np.copyto(y[at], x[seen], where=greater)
    return y, place


def max_pool_backward(
    dy: np.ndarray,
    place: np.ndarray,
    x_shape: tuple[int, ...],
    kernel: Pair,
    stride: Pair,
    padding: Border = NO_BORDER,
) -> np.ndarray:
    """Gradient of sum(dy * max_pool(x)) with respect to x: dy at the places of the maxima, summed in their order."""
    n, c, h, w = x_shape
    out = pooled((h, w), kernel, stride, padding)
    dx = np.zeros((n, h, w, c), dy.dtype).transpose(0, 3, 1, 2)
    for k, seen, at in windows((h, w), kernel, stride, padding, out):
        dx[seen] += np.where(place[at] == k, dy[at], 0)
    return dx


def shares(
    size: tuple[int, ...], kernel: Pair, stride: Pair, padding: Border, counted: Border, dtype: np.dtype
) -> np.ndarray:
    """1 / number of places of every window inside the picture extended by `counted` on each side: (P, Q)."""
    out = pooled(size, kernel, stride, padding)
    counts = []
    for a in (0, 1):
        start = np.arange(out[a]) * stride[a] - padding[a]
        counts.append(np.minimum(start + kernel[a], size[a] + counted[a + 2]) - np.maximum(start, -counted[a]))
    return (1 / np.outer(*counts)).astype(dtype)


def avg_pool(x: np.ndarray, kernel: Pair, stride: Pair, padding: Border, counted: Border) -> np.ndarray:
    """y[n,c,p,q] = sum of what the window sees of x, times its share (`shares`)."""
    size = x.shape[2:]
    out = pooled(size, kernel, stride, padding)
    if kernel == size and padding == NO_BORDER:
        whole: np.ndarray = x.sum((2, 3), keepdims=True) * x.dtype.type(1 / (size[0] * size[1]))
        return whole
    y = np.full_like(x, -0.0, shape=(*x.shape[:2], *out))  # -0.0 + x is x for every x
    for _, seen, at in windows(size, kernel, stride, padding, out):
        y[at] += x[seen]
    y *= shares(size, kernel, stride, padding, counted, x.dtype)
    return y


def avg_pool_backward(
    dy: np.ndarray, x: np.ndarray, kernel: Pair, stride: Pair, padding: Border, counted: Border
) -> np.ndarray:
    """Gradient of sum(dy * avg_pool(x)) with respect to x."""
    size = x.shape[2:]
    out = pooled(size, kernel, stride, padding)
    part = dy * shares(size, kernel, stride, padding, counted, x.dtype)
    dx = np.zeros_like(x)
    if kernel == size and padding == NO_BORDER:
        dx[...] = part
        return dx
    for _, seen, at in windows(size, kernel, stride, padding, out):
        dx[seen] += part[at]
    return dx
