"""Calibration: the scale of every int8 value, chosen from what a network's float values are on pictures.

pictures -> histograms -> scales -> derive -> the same network with an IntegerNetwork
value_errors: what that adds to the error of every value
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..runtime.integer_constants import HIGH, LOW, to_int8
from ..runtime.integer_interpreter import interpret_int8
from ..runtime.ordered import OrderedNetwork
from ..runtime.packed import PackedNetwork
from .derive import derive, scaled_values

BINS = 4096
BATCH = 32
RULES = ("min-max", "percentile", "mse")
PERCENTILE = 99.99
Watch = Callable[[Sequence[int]], Iterable[int]]  # over the batches' first pictures: a progress bar, say


@dataclass(frozen=True, eq=False)
class Histogram:
    """How often |x| of one value lay in each of BINS equal bins of [0, 2^exponent), and the largest |x|.

    2^exponent is the smallest power of two above the largest |x|, so the same elements give the same histogram
    however they are divided over calls of `of` and `joined`.
    """

    counts: np.ndarray
    exponent: int
    largest: float

    @classmethod
    def of(cls, x: np.ndarray) -> Histogram:
        """The histogram of all elements of x. ValueError if one is not finite."""
        size = np.abs(x.astype(np.float64)).ravel()
        largest = float(size.max(initial=0.0))
        if not math.isfinite(largest):
            raise ValueError("it is not finite")
        exponent = math.frexp(largest)[1]
        bins = np.ldexp(size, 12 - exponent).astype(np.intp)  # BINS = 2^12; exact: a power of two times a number
        return cls(np.bincount(bins, minlength=BINS), exponent, largest)

    def joined(self, other: Histogram) -> Histogram:
        """The histogram of the elements of both."""
        small, large = sorted((self, other), key=lambda h: h.exponent)
        return Histogram(
            small._coarser(large.exponent).counts + large.counts, large.exponent, max(self.largest, other.largest)
        )

    def _coarser(self, exponent: int) -> Histogram:
        """The same in bins 2^(exponent - self.exponent) times as wide."""
        group = 1 << min(exponent - self.exponent, 12)
        counts = np.zeros_like(self.counts)
        counts[: BINS // group] = self.counts.reshape(-1, group).sum(1)
        return Histogram(counts, exponent, self.largest)

    @property
    def width(self) -> float:
        """Of one bin."""
        return 2.0**self.exponent / BINS


def min_max(h: Histogram) -> float:
    """The largest |x| that was seen."""
    return h.largest


def percentile(h: Histogram, share: float = PERCENTILE) -> float:
    """The upper edge of the bin that brings the share (per cent) of all elements together."""
    below = np.cumsum(h.counts)
    last = int(np.searchsorted(below, share / 100 * below[-1]))
    return min((last + 1) * h.width, h.largest)


def least_squares(h: Histogram) -> float:
    """The limit T with the least mean squared error of quantizing to 127 steps of T / 127 and saturating there,
    each element taken to lie in the middle of its bin; of 128 limits from largest / 16 up.
    """
    middle = (np.arange(BINS) + 0.5) * h.width
    limits = h.largest * np.linspace(1 / 16, 1, 128)

    def error(limit: float) -> float:
        step = limit / HIGH
        return _sum(h.counts * np.square(middle - step * np.minimum(np.floor(middle / step + 0.5), HIGH)))

    return float(min(limits, key=error))


_CHOOSE: dict[str, Callable[[Histogram], float]] = {"min-max": min_max, "percentile": percentile, "mse": least_squares}


def scale(h: Histogram, method: str) -> float:
    """The scale of a value: limit / 127; 1 / 127 for one that was always 0."""
    if method not in RULES:
        raise ValueError(f"the method is {method!r}, wanted one of {', '.join(RULES)}")
    return (_CHOOSE[method](h) if h.largest > 0 else 1.0) / HIGH


def histograms(network: PackedNetwork, pictures: np.ndarray, watch: Watch = iter) -> dict[str, Histogram]:
    """A histogram of every scaled value of `network`, in float32, over pictures uint8 (N, C, H, W)."""
    found: dict[str, Histogram] = {}
    ordered = OrderedNetwork(network.graph, network.shapes)
    for x in _batches(network, pictures, watch):
        known = ordered.values(x)
        for name in scaled_values(network):
            try:
                here = Histogram.of(known[name])
            except ValueError as error:
                raise ValueError(f"value {name!r} on the pictures: {error}") from None
            found[name] = found[name].joined(here) if name in found else here
    return found


def calibrate(
    network: PackedNetwork,
    pictures: np.ndarray,
    method: str = "mse",
    watch: Watch = iter,
) -> PackedNetwork:
    """`network` with an IntegerNetwork whose scales are chosen by `method` on pictures uint8 (N, C, H, W).

    Pictures like those that the network was trained on; no labels are wanted. watch: wraps the iterator over
    batches, to show progress. Raises ValueError for a wrong shape, dtype or method, and where `derive` does.
    """
    _check(network, pictures)
    found = histograms(network, pictures, watch)
    scales = {name: scale(h, method) for name, h in found.items()}
    how = {"method": method, "pictures": len(pictures)} | ({"percentile": PERCENTILE} if method == "percentile" else {})
    return replace(network, int8=derive(network, scales, how))


@dataclass(frozen=True)
class ErrorOfValue:
    """The error that int8 adds to one value: signal-to-noise ratios in dB, 10 log10(sum x^2 / sum (x - x8)^2) with x
    the float value; None where there is no error or no signal.

    own: of x itself rounded to int8; total: of the value that the int8 network computes. saturated: share of the
    elements x beyond -128.5 .. 127.5 steps.
    """

    name: str
    op: str
    scale: float
    own: float | None
    total: float | None
    saturated: float


def value_errors(network: PackedNetwork, pictures: np.ndarray, watch: Watch = iter) -> list[ErrorOfValue]:
    """The errors of every scaled value of a calibrated network, and of its logits (named "logits", scale 1), on
    pictures uint8 (N, C, H, W).
    """
    _check(network, pictures)
    int8 = network.int8
    if int8 is None:
        raise ValueError("the network is not calibrated for int8 activations")
    sums: dict[str, np.ndarray] = {}
    ops = {network.graph.input: "input"} | {node.name: node.op for node in int8.nodes}
    ordered = OrderedNetwork(network.graph, network.shapes)
    first = 0
    for x in _batches(network, pictures, watch):
        known = ordered.values(x)
        result = interpret_int8(int8, pictures[first : first + len(x)])
        first += len(x)
        for name, step in int8.scales.items():
            v = known[name].astype(np.float64)
            own = v - step * to_int8(v, step)
            total = v - step * result.values[name]
            beyond = np.count_nonzero((v >= (HIGH + 0.5) * step) | (v < (LOW - 0.5) * step))
            row = [*(_sum(np.square(part)) for part in (v, own, total)), beyond, v.size]
            sums[name] = sums.get(name, 0) + np.array(row, np.float64)
        logits = known[network.graph.output].astype(np.float64)
        row = [_sum(np.square(logits)), 0, _sum(np.square(logits - result.logits)), 0, logits.size]
        sums["logits"] = sums.get("logits", 0) + np.array(row, np.float64)
    return [
        ErrorOfValue(
            name,
            ops.get(name, "output"),
            int8.scales.get(name, 1.0),
            _decibels(signal, own),
            _decibels(signal, total),
            float(beyond / size),
        )
        for name, (signal, own, total, beyond, size) in sums.items()
    ]


def _sum(x: np.ndarray) -> float:
    """The sum of all elements, one after the other: running sums leave no order to choose."""
    return float(np.cumsum(x)[-1])


def _decibels(signal: float, noise: float) -> float | None:
    return 10 * math.log10(signal / noise) if signal > 0 and noise > 0 else None


def _batches(network: PackedNetwork, pictures: np.ndarray, watch: Watch) -> Iterator[np.ndarray]:
    """The network's float32 input for BATCH pictures at a time."""
    for first in watch(range(0, len(pictures), BATCH)):
        yield network.metadata.normalization.apply(pictures[first : first + BATCH])


def _check(network: PackedNetwork, pictures: np.ndarray) -> None:
    wanted = network.graph.input_shape
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[1:] != wanted or not len(pictures):
        shape = f"(N, {', '.join(map(str, wanted))})"
        raise ValueError(f"the pictures are {pictures.dtype} {pictures.shape}, wanted uint8 {shape} with N >= 1")
