"""Bands: which weights freeze at a stage, and what becomes of those beyond the outer levels."""

import numpy as np

TAILS = ("pull", "clip", "2alpha", "last")


def partition(
    w: np.ndarray,
    alpha: np.ndarray,
    frozen: np.ndarray,
    sigma2: float,
    levels: str,
    *,
    tail: str = "last",
    last: bool = False,
) -> np.ndarray:
    """Group 1 of a stage: a bool array of w's shape, the free weights that are frozen now.

    w float32 or float64, alpha of its dtype, broadcast over w; frozen bool of w's shape; sigma2 in [0, 1/2].
    Ternary: sigma2 alpha <= |w| < (2 sigma1 - sigma2) alpha with sigma1 = 1/2  [P: figure 1 and the patent's interval
    bound factors]: a band around the decision boundary alpha/2, so the most ambiguous weights freeze first. Binary: the
    boundary is 0 and the band |w| < (1 - 2 sigma2) alpha grows from it [C]. tail = "2alpha" adds |w| > 2 alpha [S].
    The last stage takes every free weight.

    >>> w, alpha, frozen = np.array([0.1, -0.5, 0.9]), np.array([1.0]), np.zeros(3, bool)
    >>> elq.partition(w, alpha, frozen, 0.4, "ternary")  # |w| in [0.4, 0.6)
    array([False,  True, False])
    """
    if last:
        return ~frozen
    size = np.abs(w)
    if levels == "ternary":
        band = (sigma2 * alpha <= size) & (size < (1 - sigma2) * alpha)
    else:
        band = size < (1 - 2 * sigma2) * alpha
    if tail == "2alpha":
        band |= size > 2 * alpha
    group: np.ndarray = band & ~frozen
    return group


def tail_share(tail: str, rate: float) -> float:
    """Share of its excess over alpha that a free weight loses at every step: 1 for clip, `rate` for pull, else 0."""
    return {"clip": 1.0, "pull": rate}.get(tail, 0.0)


def draw_in(w: np.ndarray, alpha: np.ndarray, free: np.ndarray, share: float) -> np.ndarray:
    """w - share (w - clip(w, -alpha, alpha)) where free: a proximal step on the distance to [-alpha, alpha]  [C].

    w (float32 or float64), free (bool) and the result have one shape, alpha broadcasts over it. Figure 1 of the paper
    shows nothing beyond +-alpha before the first freeze; this is one way to get there.
    """
    inside = np.clip(w, -alpha, alpha)
    return np.where(free & (w != inside), inside if share == 1 else w - share * (w - inside), w)
