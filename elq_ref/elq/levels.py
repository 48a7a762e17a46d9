"""Levels: the scale alpha of a layer and the codes of its weights.

W_hat = alpha * codes with codes in {-1, 0, +1} (ternary) or {-1, +1} (binary). A scale is kept with all axes of the
weight, (1, 1, 1, 1) for a layer or (O, 1, 1, 1) per output channel, so that it broadcasts.
"""

import numpy as np

from .. import kernels

LEVELS = ("ternary", "binary")
SCALES = ("elq", "twn", "l2")


def scale(w: np.ndarray, levels: str, rule: str = "elq", per_channel: bool = False) -> np.ndarray:
    """alpha >= 0 of weights w (O, ...), float32 or float64, in w's dtype: (1, 1, ...), or (O, 1, ...) per channel.

    | rule | ternary | binary |
    |---|---|---|
    | elq | mean abs(w) + 0.05 max abs(w)  [S] | mean abs(w)  [C: least squares] |
    | twn | mean of abs(w) > 0.7 mean abs(w) | - |
    | l2 | S_k / k with k = argmax S_k^2 / k | mean abs(w) |

    S_k is the sum of the k largest |w|: l2 minimises ||w - alpha codes||^2 over alpha and codes exactly; of equals
    it is the one with the least k. Sums are taken in float64. ValueError for levels or a rule not in this table.
    """
    if levels not in LEVELS or rule not in SCALES or (levels == "binary" and rule == "twn"):
        raise ValueError(
            f"no scale rule {rule!r} for {levels!r} levels; there are {SCALES} for {LEVELS} (twn: ternary only)"
        )
    rows = np.abs(w.reshape(len(w) if per_channel else 1, -1), dtype=np.float64)
    alpha: np.ndarray
    if levels == "binary":
        alpha = rows.mean(1)
    elif rule == "elq":
        alpha = rows.mean(1) + 0.05 * rows.max(1)
    elif rule == "twn":
        above = rows > 0.7 * rows.mean(1, keepdims=True)
        alpha = (rows * above).sum(1) / np.maximum(above.sum(1), 1)
    else:
        sums = np.cumsum(-np.sort(-rows, axis=1), axis=1)
        counts = np.arange(1, rows.shape[1] + 1)
        best = np.argmax(sums**2 / counts, axis=1)
        alpha = sums[np.arange(len(rows)), best] / counts[best]
    return alpha.reshape(-1, *(1,) * (w.ndim - 1)).astype(w.dtype)


def scale_slope(w: np.ndarray, levels: str, rule: str = "elq", per_channel: bool = False) -> np.ndarray:
    """d alpha / d w, the codes fixed: array of w's shape.

    elq: sign(w) / n, and for ternary levels + 0.05 sign(w) at the first largest |w|  [D]. For the others
    sign(w) / k on the k weights of the support, 0 elsewhere. n, k per layer or per channel.
    """
    rows = w.reshape(len(w) if per_channel else 1, -1)
    signs, size = np.sign(rows), np.abs(rows)
    slope: np.ndarray
    if levels == "binary" or rule == "elq":
        slope = signs / rows.shape[1]
        if levels == "ternary":
            line, top = np.arange(len(rows)), size.argmax(1)
            slope[line, top] += w.dtype.type(0.05) * signs[line, top]
    else:
        if rule == "twn":
            support = size > 0.7 * size.mean(1, keepdims=True)
        else:
            support = size > scale(w, levels, rule, per_channel).reshape(-1, 1) / 2
        slope = np.where(support, signs / np.maximum(support.sum(1, keepdims=True), 1), 0)
    return slope.reshape(w.shape).astype(w.dtype)


def nearest_codes(w: np.ndarray, alpha: np.ndarray, levels: str) -> np.ndarray:
    """int8 codes of the nearest level, of w's shape; w float32 or float64, alpha of its dtype, broadcast over it.

    Ternary: +1 if w > alpha/2, -1 if w < -alpha/2, else 0 [S]; binary: +1 if w >= 0, else -1 [C]. That is exact, also
    where alpha is 0 or denormal (python tools/exhaustive.py). A NaN is on level 0, binary on -1.
    """
    if levels == "binary":
        return np.where(w >= 0, np.int8(1), np.int8(-1))
    half = kernels.half_of(alpha)
    codes: np.ndarray = (w > half).astype(np.int8) - (w < -half).astype(np.int8)
    return codes


def dequantize(codes: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """W_hat = alpha * codes in alpha's dtype, of the shape of the codes (any integers); every zero is +0.0."""
    w_hat: np.ndarray = alpha * codes.astype(alpha.dtype) + alpha.dtype.type(0)
    return w_hat


def nearest_level(w: np.ndarray, alpha: np.ndarray, levels: str) -> np.ndarray:
    """W_hat = dequantize(nearest_codes(w, alpha, levels), alpha), to the bit, in one sweep (elq_ref.kernels)."""
    w_hat: np.ndarray = kernels.nearest_level(w, alpha, levels == "ternary")
    return w_hat


def ternarize(w: np.ndarray, rule: str = "elq", per_channel: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """(codes int8 in {-1, 0, 1}, alpha) of weights w (O, ...), nearest levels at the scale of `rule` (see `scale`).

    w float32 or float64; codes have w's shape, alpha w's dtype and shape (1, 1, ...), or (O, 1, ...) per channel.
    ValueError for an unknown rule.

    >>> codes, alpha = elq.ternarize(np.array([[2.0, -1.0, 0.5, 0.5]]))
    >>> codes, alpha  # alpha = mean|w| + 0.05 max|w|
    (array([[ 1, -1,  0,  0]], dtype=int8), array([[1.1]]))
    """
    alpha = scale(w, "ternary", rule, per_channel)
    return nearest_codes(w, alpha, "ternary"), alpha


def binarize(w: np.ndarray, per_channel: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """(codes int8 in {-1, 1}, alpha = mean|w|) of weights w; shapes and dtypes as of `ternarize`.

    >>> elq.binarize(np.array([[1.0, -3.0]]))
    (array([[ 1, -1]], dtype=int8), array([[2.]]))
    """
    alpha = scale(w, "binary", "elq", per_channel)
    return nearest_codes(w, alpha, "binary"), alpha
