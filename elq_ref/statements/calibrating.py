"""Chapter "integers": the scales that calibration chooses, against what docs/arithmetic.md says of each rule."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np

from ..deploy.calibration import RULES, Histogram, calibrate, histograms, scale, value_errors
from . import loops
from .folding import fractions
from .integers import of_picture
from .line import Compared, Counted, Line
from .networks import Case, cases

BINS = 4096


def lines() -> Iterator[Line]:
    """Bins, the three rules, the scales of a whole network."""
    yield _bins()
    chosen, squares = Counted(), Compared()
    for x in samples():
        histogram, own = Histogram.of(x), bins(x)
        counts, exponent = own
        width, largest = 2.0**exponent / BINS, max(map(abs, x.tolist()))
        chosen.see(scale(histogram, "min-max"), largest / 127)
        chosen.see(scale(histogram, "percentile"), percentile(counts, width, largest) / 127)
        best = min(error(counts, width, largest * t) for t in limits())
        squares.see(error(counts, width, 127 * scale(histogram, "mse")), best, best)
        limit = 127 * scale(histogram, "mse")
        squares.see(limit, largest * limits()[round((limit / largest - 1 / 16) * 127 * 16 / 15)], largest)
    chosen.see(scale(Histogram.of(np.zeros(3)), "mse"), 1 / 127)
    yield chosen.line(
        "integers calibration, limits by count",
        "T = max|x|, or the first edge with 99.99 % of all |x| below; scale = T / 127",
        "{count} scales of heavy-tailed samples, and of one that is always 0, against counting",
    )
    yield squares.line(
        "integers calibration, least squares",
        "T = argmin sum (|x| - s min(floor(|x|/s + 1/2), 127))^2, s = T/127, of 128 values of T from max|x|/16 up",
        "the squared error at the chosen T, and T itself, against the best of all 128 by loops",
        1e-9,
        "rounding of sums of 4,096 terms, relative",
    )
    yield _network()
    yield _errors()


def samples() -> Iterator[np.ndarray]:
    """Float32 numbers of different tails and ranges; one whose few outliers every rule but min-max leaves out."""
    rng = np.random.default_rng(21)
    for size, tail in ((1e-3, 1.0), (1.0, 0.3), (40.0, 1.5)):
        yield (size * rng.standard_normal(20000) * np.exp(tail * rng.standard_normal(20000))).astype(np.float32)
    yield np.concatenate([np.full(9999, 0.5), np.full(1, -4.0)]).astype(np.float32)
    yield np.concatenate([np.full(9998, 0.5), np.full(2, -4.0)]).astype(np.float32)


def bins(x: np.ndarray) -> tuple[list[int], int]:
    """(counts of 4,096 bins up to the power of two above the largest |x|, its exponent), one number after the other."""
    size = [abs(v) for v in x.astype(np.float64).ravel().tolist()]
    exponent = 0
    while Fraction(2) ** exponent > max(size):
        exponent -= 1
    while Fraction(2) ** exponent <= max(size):
        exponent += 1
    counts = [0] * BINS
    for v in size:
        counts[int(v * 2.0 ** (12 - exponent))] += 1
    return counts, exponent


def percentile(counts: list[int], width: float, largest: float) -> float:
    """The first edge below which 99.99 % of all lie, or the largest."""
    below = 0
    for number, count in enumerate(counts, 1):
        below += count
        if below * 10000 >= 9999 * sum(counts):
            return min(number * width, largest)
    return largest


def limits() -> list[float]:
    """128 shares of the largest from 1/16 to 1."""
    return [1 / 16 + k * (15 / 16) / 127 for k in range(128)]


def error(counts: list[int], width: float, limit: float) -> float:
    """Squared error of rounding the middles of the bins to steps of limit / 127 and saturating there."""
    step = limit / 127
    middles = ((count, (k + 0.5) * width) for k, count in enumerate(counts) if count)
    return math.fsum(count * (m - step * min(math.floor(m / step + 0.5), 127)) ** 2 for count, m in middles)


def _bins() -> Line:
    seen = Counted()
    for x in samples():
        counts, exponent = bins(x)
        whole = Histogram.of(x)
        seen.see(whole.counts, counts)
        seen.see([whole.exponent, whole.largest], [exponent, float(np.abs(x).max())])
        parts = [Histogram.of(part) for part in np.split(np.sort(x), [100, 5000])]
        joined = parts[1].joined(parts[0]).joined(parts[2])
        seen.see(joined.counts, counts)
        seen.see([joined.exponent, joined.largest], [exponent, float(np.abs(x).max())])
    return seen.line(
        "integers calibration, histograms",
        "4096 bins of |x| up to the power of two above the largest",
        "{count} bins, whole and joined from parts, against counting",
    )


def _whole() -> tuple[Case, ...]:
    """The networks of every op."""
    return (*cases()[:4], cases()[-1])


def _network() -> Line:
    """min-max scales of networks against their values in fractions, and each rule against its histogram."""
    seen = Compared()
    two_batches = np.random.default_rng(8).integers(0, 256, (40, 2, 3, 3), np.uint8)
    two_batches[32:] //= 4  # the largest are in the first
    for case, pictures in [*((case, case.pictures) for case in _whole()), (cases()[4], two_batches)]:
        plain = replace(case.network, int8=None)
        made = calibrate(plain, pictures, "min-max").int8
        assert made is not None
        largest: dict[str, float] = {}
        for picture in case.network.metadata.normalization.apply(pictures):
            for name, value in loops.real_values(case.file, fractions(picture)).items():
                largest[name] = max([largest.get(name, 0.0), *(abs(float(v)) for v in loops.flat(value))])
        seen.see(list(made.scales.values()), [largest[name] / 127 for name in made.scales], 2.0**-24)
        found = histograms(plain, pictures)
        for method in RULES:
            chosen = calibrate(plain, pictures, method).int8
            assert chosen is not None
            wanted = [scale(found[name], method) for name in chosen.scales]
            seen.see(list(chosen.scales.values()), wanted, 2.0**-24)
    return seen.line(
        "integers calibration of a network",
        "scale of a value = T / 127, T of all its elements on all pictures",
        f"{seen.count} scales against values in fractions (min-max) and against the rules on the value's histogram",
        50.0,
        "roundings of a float32 value, in units of 2^-24",
    )


def _errors() -> Line:
    """The ratios that `elq calibrate` prints, from values in fractions and int8 by loops."""
    seen = Compared()
    for case in _whole():
        sums: dict[str, list[float]] = {}
        for picture, real in zip(case.pictures, case.network.metadata.normalization.apply(case.pictures), strict=True):
            exact = loops.real_values(case.file, fractions(real))
            whole, raw = loops.integer_values(case.file, of_picture(case.file, picture))
            for name, step in case.int8.scales.items():
                for v, q in zip(map(float, loops.flat(exact[name])), loops.flat(whole[name]), strict=True):
                    steps = math.floor(v / step + 0.5)
                    own, beyond = v - step * loops.clamp(steps), float(not -128 <= steps <= 127)
                    _add_to(sums, name, [v**2, own**2, (v - step * q) ** 2, beyond, 1.0])
            logits = [float(f) * v for f, v in zip(case.file.factor, raw, strict=True)]
            for v, logit in zip(map(float, exact[case.file.text["output"]]), logits, strict=True):
                _add_to(sums, "logits", [v**2, 0.0, (v - logit) ** 2, 0.0, 1.0])
        for row in value_errors(case.network, case.pictures):
            signal, own, total, beyond, count = sums[row.name]
            for got, noise in ((row.own, own), (row.total, total)):
                if got is not None or noise > 0:
                    seen.see(np.nan if got is None else got, 10 * math.log10(signal / noise))
            seen.see(row.saturated, beyond / count)
    return seen.line(
        "integers the error that int8 adds",
        "10 log(sum x^2 / sum (x - s x_8)^2), of x rounded and of the network's x_8; the share beyond -128 .. 127",
        f"{seen.count} ratios in dB and shares of every value and of the logits against loops",
        1e-4,
        "float32 values, whose rounding the differences hold, relative to 1 + |dB|",
    )


def _add_to(sums: dict[str, list[float]], name: str, row: list[float]) -> None:
    sums[name] = [a + b for a, b in zip(sums.get(name, [0.0] * len(row)), row, strict=True)]
