"""Calibration: histograms against sorting, limits against a search over the values, errors by their ratio."""

import json
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image
from runtime_nets import network, normalized, random_pictures, small, weighted

from elq_ref import datasets
from elq_ref.cli import main
from elq_ref.deploy import calibrate, derive
from elq_ref.deploy.calibration import BATCH, BINS, RULES, Histogram, histograms, scale, value_errors
from elq_ref.deploy.derive import scaled_values
from elq_ref.runtime import Node, PackedNetwork, interpret_int8
from elq_ref.runtime.interpreter import values

pytestmark = pytest.mark.kernels


def heavy_tailed(seed, count=20_000):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(count) * np.exp(rng.standard_normal(count))).astype(np.float32)


@pytest.mark.parametrize("seed", range(3))
def test_a_histogram_counts_and_does_not_know_how_it_was_divided(seed):
    x = heavy_tailed(seed) * np.float32(10.0 ** (3 * seed - 3))
    whole = Histogram.of(x)
    assert whole.largest == np.abs(x).max()
    assert whole.width * BINS / 2 <= whole.largest < whole.width * BINS
    edges = np.arange(BINS + 1) * whole.width
    wanted = [np.count_nonzero((np.abs(x) >= a) & (np.abs(x) < b)) for a, b in pairwise(edges)]
    assert whole.counts.tolist() == wanted
    for order in (np.arange(4), np.array([2, 0, 3, 1])):
        sizes = np.array([0.001, 1, 30, 0.1])  # so that the parts have very different ranges
        arrays = [np.float64(part) * s for part, s in zip(np.array_split(x, 4), sizes, strict=True)]
        parts = [Histogram.of(array) for array in arrays]
        joined = parts[order[0]]
        for k in order[1:]:
            joined = joined.joined(parts[k])
        together = Histogram.of(np.concatenate(arrays))
        assert (joined.exponent, joined.largest) == (together.exponent, together.largest)
        assert joined.counts.tolist() == together.counts.tolist()


def test_the_histogram_of_zeros_joins_any_other():
    zeros, other = Histogram.of(np.zeros(5)), Histogram.of(np.array([3.0, -1e-20]))
    for joined in (zeros.joined(other), other.joined(zeros)):
        assert (joined.counts.sum(), joined.counts[0], joined.largest, joined.exponent) == (7, 6, 3.0, 2)
    with pytest.raises(ValueError, match="not finite"):
        Histogram.of(np.array([1.0, np.nan]))


@pytest.mark.parametrize("seed", range(3))
def test_the_scales_that_the_methods_choose(seed):
    x = heavy_tailed(seed, 200_000)
    size, h = np.sort(np.abs(x)).astype(np.float64), Histogram.of(x)
    assert scale(h, "min-max") == size[-1] / 127

    limit = scale(h, "percentile") * 127
    exact = size[int(np.ceil(0.9999 * len(size))) - 1]
    assert exact <= limit <= exact + h.width

    def error(limit):
        step = limit / 127
        return np.square(size - step * np.minimum(np.round(size / step), 127)).mean()

    best = min(error(limit) for limit in size[-1] * np.linspace(0.02, 1, 800))
    assert error(scale(h, "mse") * 127) <= 1.02 * best
    assert error(scale(h, "mse") * 127) < 0.7 * error(size[-1])  # so that the choice matters

    for method in RULES:  # in other units it is another number for the same
        assert scale(Histogram.of(x * np.float32(2.0**-30)), method) == pytest.approx(scale(h, method) * 2.0**-30)


def test_what_is_always_0_has_a_scale_and_another_method_is_named():
    for method in RULES:
        assert scale(Histogram.of(np.zeros(3)), method) == 1 / 127
    with pytest.raises(ValueError, match="'entropy', wanted one of min-max, percentile, mse"):
        scale(Histogram.of(np.ones(3)), "entropy")


def test_histograms_of_a_network_are_those_of_its_values():
    rng = np.random.default_rng(70)
    net = small(rng)
    pictures = random_pictures(rng, net, BATCH + 7)
    found = histograms(net, pictures)
    assert list(found) == scaled_values(net)
    known = values(net.graph, normalized(net, pictures))
    for name, h in found.items():
        assert h.counts.sum() == known[name].size
        assert h.largest == pytest.approx(np.abs(known[name]).max(), rel=1e-5)


@pytest.mark.parametrize("method", RULES)
def test_a_calibrated_network_is_near_the_float_one(method):
    rng = np.random.default_rng(71)
    net = small(rng)
    pictures = random_pictures(rng, net, 40)
    calibrated = calibrate(net, pictures, method)
    assert calibrated.int8.calibration["method"] == method
    assert calibrated.int8.calibration["pictures"] == 40
    float_logits = values(net.graph, normalized(net, pictures))[net.graph.output]
    logits = interpret_int8(calibrated.int8, pictures).logits
    ratio = np.square(float_logits).sum() / np.square(float_logits - logits).sum()
    assert ratio > 10**2.5
    assert value_errors(calibrated, pictures)[-1].total == pytest.approx(10 * np.log10(ratio), abs=0.05)


def test_the_report_against_the_values_themselves():
    rng = np.random.default_rng(72)
    net = small(rng)
    pictures = random_pictures(rng, net, BATCH + 5)
    known = values(net.graph, normalized(net, pictures))
    narrow = {name: float(np.abs(known[name]).max()) / 200 for name in scaled_values(net)}  # so that all saturate
    calibrated = replace(net, int8=derive(net, narrow))
    found = {error.name: error for error in value_errors(calibrated, pictures)}
    assert list(found) == [*scaled_values(net), "logits"]
    int8 = interpret_int8(calibrated.int8, pictures).values
    for name, step in narrow.items():
        v, error = known[name].astype(np.float64), found[name]
        own = step * np.clip(np.floor(v / step + 0.5), -128, 127)
        for value, got in ((own, error.own), (step * int8[name], error.total)):
            assert got == pytest.approx(10 * np.log10(np.square(v).sum() / np.square(v - value).sum()), abs=1e-3)
        steps = np.floor(v / step + 0.5)
        assert error.saturated == pytest.approx(np.mean((steps > 127) | (steps < -128)), abs=1e-4)
        assert error.saturated > 0
        assert error.scale == step


def test_pictures_of_another_shape_or_none_are_named():
    rng = np.random.default_rng(73)
    net = small(rng)
    for shape, dtype in (((1, 3, 7, 6), np.uint8), ((1, 2, 7, 6), np.float32), ((0, 2, 7, 6), np.uint8)):
        with pytest.raises(ValueError, match=r"wanted uint8 \(N, 2, 7, 6\) with N >= 1"):
            calibrate(net, np.zeros(shape, dtype))
    with pytest.raises(ValueError, match="not calibrated"):
        value_errors(net, random_pictures(rng, net))


@pytest.fixture
def packed(tmp_path):
    """A network on grey pictures (1, 7, 6) in a file."""
    rng = np.random.default_rng(74)
    conv = weighted(rng, "conv", "c", "input", "ternary", (3, 1, 3, 3))
    nodes = [conv, Node("relu", "r", ("c",)), Node("global_avg_pool", "g", ("r",))]
    network(nodes, (1, 7, 6), 3).save(tmp_path / "net.elq")
    return tmp_path / "net.elq"


def test_the_command_calibrates_from_pictures(packed, tmp_path, capsys):
    rng = np.random.default_rng(75)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for k in range(5):
        Image.fromarray(rng.integers(0, 256, (7, 6)).astype(np.uint8)).save(folder / f"{k}.png")
    out = tmp_path / "int8.elq"
    args = ["calibrate", str(packed), "--pictures", str(folder), "--method", "min-max", "--count", "4", "-o", str(out)]
    assert main(args) == 0
    text = capsys.readouterr().out
    assert [line.split()[0] for line in text.splitlines()] == ["value", "input", "r", "g", "logits", str(out)]
    assert main([*args, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    net = PackedNetwork.load(out)
    assert net.int8.calibration == {"method": "min-max", "pictures": 4}
    assert (result["pictures"], [v["name"] for v in result["values"]]) == (4, ["input", "r", "g", "logits"])
    assert result["values"][1]["scale"] == net.int8.scales["r"]


def test_the_command_calibrates_from_a_data_set(tmp_path, capsys):
    rng = np.random.default_rng(76)
    nodes = [Node("flatten", "f", ("input",)), weighted(rng, "linear", "fc", "f", "ternary", (10, 64))]
    network(nodes, (1, 8, 8), 10).save(tmp_path / "net.elq")
    out = tmp_path / "int8.elq"
    assert main(["calibrate", str(tmp_path / "net.elq"), "--data", "digits", "--count", "30", "-o", str(out)]) == 0
    capsys.readouterr()
    int8 = PackedNetwork.load(out).int8
    assert int8.calibration == {"method": "mse", "pictures": 30}
    train = datasets.load("digits", None, "train")
    chosen = np.arange(30) * len(train) // 30
    assert int8.scales == calibrate(PackedNetwork.load(out), train.images[chosen]).int8.scales

    assert main(["eval", str(out), "--data", "digits", "--activations", "int8", "--json"]) == 0
    test = datasets.load("digits", None, "test")
    correct = int((interpret_int8(int8, test.images).logits.argmax(1) == test.labels).sum())
    assert json.loads(capsys.readouterr().out)["correct"] == correct
    assert main(["eval", str(tmp_path / "net.elq"), "--data", "digits", "--activations", "int8"]) == 2
    assert "calibrate" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--pictures", "none.png"], "no picture none.png"),
        (["--pictures", "x", "--count", "0"], "--count is 0, wanted at least 1"),
        (["--data", "digits"], r"reads pictures \(1, 7, 6\), digits has \(1, 8, 8\)"),
    ],
)
def test_bad_input_is_one_line(more, words, packed, tmp_path, capsys):
    assert main(["calibrate", str(packed), *more, "-o", str(tmp_path / "out.elq")]) == 2
    error = capsys.readouterr().err
    assert re.search(words, error)
    assert error.count("\n") == 1
    assert not (tmp_path / "out.elq").exists()


def test_what_runs_on_floats_alone_is_named_before_anything_runs(monkeypatch, tmp_path, capsys):
    lrn = Node("lrn", "norm1", ("input",), {"size": 5, "alpha": 1e-4, "beta": 0.75, "bias": 1.0})
    net = network([lrn, Node("global_avg_pool", "g", ("norm1",))], (3, 4, 4), 3)
    monkeypatch.setattr("elq_ref.deploy.calibration.OrderedNetwork", None)  # calling it fails
    message = "node 'norm1': lrn runs on float activations only, int8 has no such op"
    with pytest.raises(ValueError, match=message):
        calibrate(net, np.zeros((1, 3, 4, 4), np.uint8))
    net.save(tmp_path / "net.elq")
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "a.png")
    command = ["calibrate", str(tmp_path / "net.elq"), "--pictures", str(tmp_path), "-o", str(tmp_path / "out.elq")]
    assert main(command) == 2
    assert message in capsys.readouterr().err
