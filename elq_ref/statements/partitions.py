"""Statement 6 on arrays: bands and freezes of random and adversarial weights."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..elq.bands import TAILS, draw_in, partition, tail_share
from ..elq.levels import dequantize, nearest_codes, scale
from .arrays import adversarial
from .line import EPS, TINY, Compared, Line
from .subject import LEVEL_SET

SIGMAS = (0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.05, 0.0)


def lines() -> Iterator[Line]:
    """Bands, their nesting, what a freeze leaves alone, tails."""
    cases = [
        (w, levels, per_channel)
        for w in adversarial().values()
        for levels in LEVEL_SET
        for per_channel in (False, True)
    ]
    wrong = {"band": 0, "nested": 0, "frozen": 0, "w_hat": 0, "fixed": 0, "end": 0}
    for w, levels, per_channel in cases:
        alpha = scale(w, levels, per_channel=per_channel)
        none = np.zeros(w.shape, bool)
        for tail in TAILS:
            before, frozen, v = none, none, w
            for number, sigma2 in enumerate(SIGMAS):
                last = number == len(SIGMAS) - 1
                band = partition(w, alpha, none, sigma2, levels, tail=tail)
                wrong["band"] += int((band != band_of_each(w, alpha, sigma2, levels, tail)).sum())
                wrong["nested"] += int((before & ~band).sum())
                before = band
                group = partition(v, alpha, frozen, sigma2, levels, tail=tail, last=last)
                wrong["frozen"] += int((group & frozen).sum())
                w_hat = dequantize(nearest_codes(v, alpha, levels), alpha)
                v = np.where(group, w_hat, v)
                wrong["w_hat"] += not same_bits(w_hat, dequantize(nearest_codes(v, alpha, levels), alpha))
                frozen = frozen | group
            wrong["end"] += int((~frozen).sum())
            allowed = np.stack([np.broadcast_to(alpha * c + 0.0, w.shape) for c in LEVEL_SET[levels]])
            wrong["end"] += int((~(allowed == v).any(0)).sum())
            wrong["fixed"] += sum(
                not same_bits(np.broadcast_to(a, w.shape) + 0.0, dequantize(nearest_codes(a, alpha, levels), alpha))
                for a in allowed
            )
    many = f"{len(cases)} cases of random and adversarial weights x {len(TAILS)} tails x {len(SIGMAS)} stages"
    for key, statement, equation, ways in (
        (
            "band",
            "6 the band of a stage",
            "sigma2 alpha <= |w| < (1 - sigma2) alpha; binary |w| < (1 - 2 sigma2) alpha",
            "partition against one decision after the other",
        ),
        (
            "nested",
            "6 bands are nested",
            "sigma2 falls: the band contains the one before",
            "weights in an earlier band that are not in a later one",
        ),
        ("frozen", "6 group 1 is disjoint from what is frozen", "partition & frozen = {}", "weights in both"),
        (
            "w_hat",
            "6 a freeze leaves W_hat",
            "Q(W with group 1 on its levels) = Q(W)",
            "bits of W_hat before and after",
        ),
        (
            "end",
            "6 the last stage leaves no weight off its levels",
            "w in alpha {-1, 0, 1} or alpha {-1, 1}",
            "weights that equal none of the levels, or are free",
        ),
        (
            "fixed",
            "6 levels are fixed points",
            "Q(alpha c) = alpha c, zeros +0.0",
            "bits of every level and of its nearest level",
        ),
    ):
        yield Line(statement, equation, f"{ways}, {many}", float(wrong[key]), 0.0, "a count")
    tails = Compared()
    for w in adversarial().values():
        for tail in TAILS:
            _tail(tails, w, tail)
    yield tails.line(
        "6 tails are drawn in",
        "w - rate (|w| - alpha) sign(w) beyond alpha, else w",
        "draw_in against a loop over Python numbers, free and frozen",
        4 * EPS,
        "three roundings, relative",
    )


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal bit for bit."""
    return a.shape == b.shape and a.tobytes() == b.tobytes()


def band_of_each(w: np.ndarray, alpha: np.ndarray, sigma2: float, levels: str, tail: str) -> np.ndarray:
    """The band, decided for one weight after the other."""
    out = np.zeros(w.shape, bool)
    for index in np.ndindex(w.shape):
        a, size = float(alpha[index[0] % len(alpha), 0]), abs(float(w[index]))
        low, high = (sigma2 * a, (1 - sigma2) * a) if levels == "ternary" else (0.0, (1 - 2 * sigma2) * a)
        out[index] = low <= size < high or (tail == "2alpha" and size > 2 * a)
    return out


def _tail(seen: Compared, w: np.ndarray, tail: str) -> None:
    alpha, rate = scale(w, "ternary"), 0.25
    free = np.arange(w.size).reshape(w.shape) % 3 > 0
    got = draw_in(w, alpha, free, tail_share(tail, rate))
    for index in np.ndindex(w.shape):
        value, top = float(w[index]), float(alpha[0, 0])
        excess = abs(value) - top
        share = {"pull": rate, "clip": 1.0}.get(tail, 0.0) if free[index] and excess > 0 else 0.0
        want = np.copysign(top, value) if share == 1 else value - share * np.copysign(excess, value)
        seen.see(got[index], want, max(abs(want), TINY))
