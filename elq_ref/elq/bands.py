"""Bands: which weights freeze at a stage, and what becomes of those beyond the outer levels."""

import zlib

import numpy as np

from ..splitmix import random_bits

PARTITIONS = ("interval", "magnitude", "random")
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
    return band & ~frozen


def first_in_order(key: np.ndarray, frozen: np.ndarray, share: float) -> np.ndarray:
    """Group 1 where a stage freezes a share and not a band: bool array of key's shape.

    The free weights with the least key, of equal ones the first, until round(share n) of all n are frozen. With key =
    -|w| that is INQ's pruning-inspired partition, the largest first  [S].
    """
    order = np.argsort(key, axis=None, kind="stable")
    free = order[~frozen.ravel()[order]]
    chosen = np.zeros(key.size, bool)
    chosen[free[: max(0, round(share * key.size) - (key.size - len(free)))]] = True
    return chosen.reshape(key.shape)


def random_order(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """uint64 keys for `first_in_order`: a random order of the weights of the layer `name`, the same at every stage."""
    samples = np.arange(np.prod(shape, dtype=int))
    return random_bits(seed, 0, zlib.crc32(name.encode()), samples).reshape(shape)


def tail_share(tail: str, rate: float) -> float:
    """Share of its excess over alpha that a free weight loses at every step: 1 for clip, `rate` for pull, else 0."""
    return {"clip": 1.0, "pull": rate}.get(tail, 0.0)


def draw_in(w: np.ndarray, alpha: np.ndarray, free: np.ndarray, share: float) -> np.ndarray:
    """w - share (w - clip(w, -alpha, alpha)) where free: a proximal step on the distance to [-alpha, alpha]  [C].

    Figure 1 of the paper shows nothing beyond +-alpha before the first freeze; this is one way to get there.
    """
    inside = np.clip(w, -alpha, alpha)
    return np.where(free & (w != inside), inside if share == 1 else w - share * (w - inside), w)
