"""Calibration to the last digit: its definitions carried out element by element, and values that lie on an edge."""

import math
from dataclasses import replace

import numpy as np
import pytest
from runtime_nets import network, random_pictures, small

from elq_ref.deploy import derive
from elq_ref.deploy.calibration import BINS, Histogram, scale, value_errors
from elq_ref.deploy.derive import scaled_values
from elq_ref.graph.codes import pack_codes
from elq_ref.preprocessing import Normalization
from elq_ref.runtime import Node, Weight, interpret_int8
from elq_ref.runtime.ordered import OrderedNetwork

pytestmark = pytest.mark.kernels


def test_a_histogram_of_float64_sees_float64():
    below_one = 1 - 2.0**-40  # 1.0 as a float32, which belongs to bins twice as wide
    assert (Histogram.of(np.array([below_one])).largest, Histogram.of(np.array([below_one])).exponent) == (below_one, 0)


def least_squares_limit(x):
    """The limit of `least_squares`, by its words: all 128 limits, all elements that are there, one by one."""
    largest = np.abs(x).max().astype(np.float64)
    width = 2.0 ** (math.floor(math.log2(largest)) + 1) / BINS
    middles = [(math.floor(abs(float(v)) / width) + 0.5) * width for v in x]

    def error(limit):
        step = limit / 127
        return math.fsum((m - step * min(math.floor(m / step + 0.5), 127)) ** 2 for m in middles)

    return min((largest * k for k in np.linspace(1 / 16, 1, 128)), key=error)


@pytest.mark.parametrize("seed", range(40))
def test_the_least_squares_limit_is_the_best_of_the_128(seed):
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal(80) * np.exp(rng.uniform(0.2, 2.5) * rng.standard_normal(80))).astype(np.float32)
    assert scale(Histogram.of(x), "mse") * 127 == pytest.approx(least_squares_limit(x), rel=1e-12)


def test_an_element_lies_in_the_middle_of_its_bin():
    x = np.append(np.full(400, 5.2 / BINS), 0.3).astype(np.float32)  # of bins 2^-13 wide: 400 elements in one, near 0
    assert scale(Histogram.of(x), "mse") * 127 == pytest.approx(least_squares_limit(x), rel=1e-12)


def by_sums(v, own, total):
    """Signal-to-noise ratios in dB from exact sums of squares."""
    signal, *noises = (math.fsum((part * part).ravel().tolist()) for part in (v, v - own, v - total))
    return [10 * math.log10(signal / noise) if signal > 0 and noise > 0 else None for noise in noises]


def test_the_report_is_exact():
    rng = np.random.default_rng(78)
    net = small(rng)
    pictures = random_pictures(rng, net, 9)
    x = net.metadata.normalization.apply(pictures)
    known = {k: v.astype(np.float64) for k, v in OrderedNetwork(net.graph, net.shapes).values(x).items()}
    calibrated = replace(net, int8=derive(net, {k: float(np.abs(known[k]).max()) / 127 for k in scaled_values(net)}))
    result = interpret_int8(calibrated.int8, pictures)
    *errors, logits = value_errors(calibrated, pictures)
    for error in errors:
        v, step = known[error.name], error.scale
        wanted = by_sums(v, step * np.clip(np.floor(v / step + 0.5), -128, 127), step * result.values[error.name])
        assert [error.own, error.total] == pytest.approx(wanted, rel=1e-10)
    assert logits.total == pytest.approx(by_sums(known[net.graph.output], 0, result.logits)[1], rel=1e-10)
    assert (logits.name, logits.scale, logits.own, logits.saturated) == ("logits", 1.0, None, 0.0)


def one_pixel(bias, mean, std):
    """conv(x) = x + bias on pictures of one pixel, x = (u / 255 - mean) / std, and its mean."""
    weight = Weight(
        "ternary", (1, 1, 1, 1), pack_codes(np.ones((1, 1, 1, 1), np.int8), "ternary"), np.ones(1, np.float32)
    )
    shape = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    arrays = np.ones(1, np.float32), np.array([bias], np.float32)
    nodes = [Node("conv", "c", ("input",), shape, weight, *arrays), Node("global_avg_pool", "g", ("c",))]
    net = network(nodes, (1, 1, 1), 1)
    return replace(net, metadata=replace(net.metadata, normalization=Normalization((mean,), (std,))))


@pytest.mark.parametrize(("pixel", "mean", "beyond"), [(255, 0.0, 127.5), (0, 1.0, 128.5)])
def test_the_ends_of_what_is_saturated(pixel, mean, beyond):
    """127.5 steps round to 128, which is beyond int8; -128.5 steps round to -128, which is not."""
    net = one_pixel(0.0, mean, 0.5)
    step = 2.0 / beyond
    assert beyond * step == 2.0  # so that the input lies on the edge
    calibrated = replace(net, int8=derive(net, dict.fromkeys(scaled_values(net), step)))
    first = value_errors(calibrated, np.full((1, 1, 1, 1), pixel, np.uint8))[0]
    assert (first.name, first.saturated) == ("input", float(beyond == 127.5))


@pytest.mark.parametrize(("pixel", "has_signal"), [(255, False), (128, True)])
def test_what_has_no_signal_has_no_ratio(pixel, has_signal):
    net = one_pixel(-1.0, 0.0, 1.0)  # 0 for white, exactly; int8 rounds 2.5 steps up and -2.5 up, too
    scales = dict.fromkeys(scaled_values(net), 0.01) | {"input": 0.4}
    errors = value_errors(replace(net, int8=derive(net, scales)), np.full((1, 1, 1, 1), pixel, np.uint8))
    conv = next(error for error in errors if error.name == "c")
    assert (conv.total is not None) == has_signal


def test_pictures_of_another_shape_are_named_by_the_report_too():
    rng = np.random.default_rng(79)
    net = small(rng)
    calibrated = replace(net, int8=derive(net, dict.fromkeys(scaled_values(net), 0.1)))
    with pytest.raises(ValueError, match=r"wanted uint8 \(N, 2, 7, 6\) with N >= 1"):
        value_errors(calibrated, np.zeros((1, 3, 7, 6), np.uint8))
