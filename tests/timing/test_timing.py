"""Timing: known times come out, processes are pinned and closed, and elq bench says what it measured."""

import json
import os
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

import elq_ref
from elq_ref import models, pack, timing
from elq_ref.cli import main
from elq_ref.deploy import calibrate
from elq_ref.exchange import export_onnx
from elq_ref.machine import cpu_name, peak_memory, python_command
from elq_ref.runtime import Session, info
from elq_ref.timing.runners import int8_onnx
from elq_ref.timing.turns import processors
from elq_ref.timing.worker import pictures


@pytest.fixture(scope="module")
def network():
    net = models.digits_cnn(seed=4)
    return pack(net, {}, input_shape=(1, 8, 8), normalization=([0.3], [0.4]), classes=list("0123456789"))


@pytest.fixture(scope="module")
def file(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("net") / "net.elq"
    network.save(path)
    return str(path)


@pytest.fixture
def runners_of_the_tests(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))


def test_known_times_and_their_ratio(file, runners_of_the_tests):
    names = ["slow_runners:5 ms", "slow_runners:failing", "slow_runners:10 ms"]
    (fast, slow), failed = timing.take_turns(names, file, 1, [1, 2], 0.15, 3)
    assert failed == {"slow_runners:failing": "ValueError: this runner never works"}
    for batch in (1, 2):
        assert [len(timed.turns[batch]) for timed in (fast, slow)] == [3, 3]
        for timed, least in ((fast, 0.005), (slow, 0.01)):  # a sleep is never shorter, and on a busy machine longer
            assert batch * least <= timed.seconds(batch).min() < 2 * batch * least
        middle, low, high = fast.ratio(slow, batch)
        assert low <= middle <= high
        assert 1.3 < middle < 2.7
        assert fast.profile[batch] == [["sleep", "conv", "none", 0.005, 7]]


def test_every_runner_has_its_threads_and_processors(file, runners_of_the_tests):
    (timed,), _ = timing.take_turns(["slow_runners:5 ms"], file, 1, [1], 0.01, 1)
    assert timed.about["threads"] == 1
    assert set(timed.about["pools"].values()) == {"1"}
    if hasattr(os, "sched_getaffinity"):
        assert timed.about["cpus"] == processors(1) == sorted(os.sched_getaffinity(0))[-1:]


def test_numbers():
    seconds = np.arange(1, 102) / 1000  # 1 to 101 ms
    assert timing.percentiles(seconds) == {"p50": 0.051, "p90": 0.091, "p99": 0.1}
    assert timing.quartiles([4, 1, 2, 3, 5]) == (3, 2, 4)
    a = timing.Timed("a", {}, {1: [[1, 2, 9], [2]]})
    b = timing.Timed("b", {}, {1: [[8], [2, 2]]})
    assert a.ratio(b, 1) == (2.5, 1.75, 3.25)  # of 8 / 2 and 2 / 2


def test_multiply_adds_by_hand(network):
    assert network.macs == {
        "conv1": 8 * 8 * 32 * 1 * 9,
        "conv2": 8 * 8 * 64 * 32 * 9,
        "conv3": 4 * 4 * 64 * 64 * 9,
        "fc": 10 * 64,
    }


def test_runners_feed_the_input_that_the_session_makes_of_pictures(network):
    x = pictures((1, 8, 8), 3)
    session = Session(network)
    np.testing.assert_array_equal(session(network.metadata.normalization.apply(x)), session(x))


@pytest.mark.parametrize("activations", ["float32", "int8"])
def test_the_limit_does_the_work_that_it_is_asked_for(activations):
    infer = pytest.importorskip("elq_ref._infer", reason="the extension _infer is not built")
    wanted = {
        "avx2": ("vfmadd231ps, 256 bits", "vpmaddubsw and vpaddw, 256 bits"),
        "avx512": ("vfmadd231ps, 512 bits", "vpmaddubsw and vpaddw, 512 bits"),
        "avx512vnni": ("vfmadd231ps, 512 bits", "vpdpbusd, 512 bits"),
        "neon": ("fmla", "smlal"),
        "dotprod": ("fmla", "sdot"),
        "generic": (None, None),
    }
    assert infer.limit(activations) == wanted[infer.isa()][activations == "int8"]
    if infer.isa() == "generic":
        return

    def least(macs):
        times = []
        for _ in range(9):
            start = time.process_time()  # of all threads, and of no other process
            infer.limit(activations, macs)
            times.append(time.process_time() - start)
        return min(times)

    assert 5 < least(4e8) / least(2e7) < 40  # 20 times as long


def test_bench(file, network, capsys):
    assert main(["bench", file, "--batch", "1", "3", "--seconds", "0.1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["cpu"] == cpu_name() != ""
    assert result["macs"] == sum(network.macs.values())
    bounded = info()["kernel"] not in ("NumPy", "C generic")  # these have no limit of their own
    names = ["elq float32", "limit float32"][: 1 + bounded]
    found = {(r["runner"], r["batch"]): r for r in result["runs"]}
    assert list(found) == [(name, batch) for batch in (1, 3) for name in names]
    assert ("limit float32" in result["not_run"]) != bounded
    for r in result["runs"]:
        assert r["threads"] == 1
        assert 0 < r["p50"] <= r["p90"] <= r["p99"]
        assert r["images_per_second"] == pytest.approx(r["batch"] / r["p50"])
        assert r["gmacs"] == pytest.approx(r["images_per_second"] * result["macs"] / 1e9)
        assert (r["share_of_limit"] is None) != bounded
        if bounded:
            limit = found["limit float32", r["batch"]]
            assert r["share_of_limit"] == pytest.approx(limit["share_of_limit"] * r["gmacs"] / limit["gmacs"])
            assert 0 < limit["share_of_limit"] <= 1
        if peak_memory() is not None:
            assert 1e7 < r["memory_before_bytes"] <= r["peak_memory_bytes"] < 1e9
    assert main(["bench", file, "--batch", "1", "--seconds", "0.01"]) == 0
    assert "images/s" in capsys.readouterr().out


@pytest.mark.parametrize("activations", ["float32", "int8"])
def test_bench_names_every_step(network, activations, tmp_path, capsys):
    calibrated = calibrate(network, pictures((1, 8, 8), 4))
    calibrated.save(tmp_path / "net.elq")
    options = ["--batch", "2", "--seconds", "0.02", "--activations", activations]
    assert main(["bench", str(tmp_path / "net.elq"), *options, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    run = result["runs"][0]
    assert run["runner"] == f"elq {activations}"
    layers = {step["step"]: step for step in result["layers"]}
    work = {name: step["macs"] for name, step in layers.items() if step["macs"]}
    wanted = sorted(network.macs.values())
    whole = activations == "int8" and info()["kernel"] == "NumPy"  # the definition is one step
    assert sorted(work.values()) == ([sum(wanted)] if whole else wanted)
    assert all(step["seconds"] > 0 for step in layers.values() if step["macs"])
    assert sum(step["seconds"] for step in layers.values()) < 100 * run["p50"]
    assert main(["bench", str(tmp_path / "net.elq"), *options]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in layers)


def test_bench_beside_onnxruntime(file, capsys):
    pytest.importorskip("onnx", reason="the package onnx is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    names = ["elq float32", "onnxruntime fp32", "onnxruntime u8s8"]
    found, failed = timing.take_turns(names, file, 1, [2], 0.1, 2)
    assert failed == {}
    ours, fp32, u8s8 = (np.array(timed.about["logits"]) for timed in found)
    largest = np.abs(ours).max()
    assert np.abs(fp32 - ours).max() <= 1e-4 * largest  # float32 in another order
    assert 1e-4 * largest < np.abs(u8s8 - ours).max() <= 0.05 * largest  # 8 bits a value, 7 a weight, and really
    assert main(["bench", file, "--batch", "1", "--seconds", "0.05", "--peers"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in names)


def test_no_pair_of_products_of_the_peer_leaves_16_bits(network, tmp_path):
    """Else it computes something else on CPUs without VNNI: 0.104 of the largest logit off instead of 0.0175."""
    onnx = pytest.importorskip("onnx", reason="the package onnx is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    export_onnx(network, tmp_path / "float.onnx", floats=True)
    model = onnx.load(int8_onnx(network, tmp_path / "float.onnx"))
    arrays = [onnx.numpy_helper.to_array(array) for array in model.graph.initializer]
    weights = [w.reshape(len(w), -1).astype(int) for w in arrays if w.dtype == np.int8 and w.ndim > 1]
    assert len(weights) == len(network.layers)
    assert all(255 * 2 * np.abs(w).max() <= np.iinfo(np.int16).max for w in weights)


def test_absent_peers_are_named(file, monkeypatch, capsys):
    monkeypatch.setattr("elq_ref.cli.bench.missing", lambda name: ["onnx"] if "onnx" in name else [])
    assert main(["bench", file, "--batch", "1", "--seconds", "0.01", "--peers", "--json"]) == 0
    absent = {name: why for name, why in json.loads(capsys.readouterr().out)["not_run"].items() if "limit" not in name}
    assert absent == {"onnxruntime fp32": "not installed: onnx", "onnxruntime u8s8": "not installed: onnx"}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--threads", "1000"], "1000 threads, wanted 1 to"),
        (["--threads", "0"], "0 threads, wanted 1 to"),
        (["--batch", "0"], "--batch 0"),
        (["--seconds", "nan"], "--seconds nan"),
    ],
)
def test_wrong_numbers_are_one_line(file, args, words, capsys):
    assert main(["bench", file, *args]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) == 1


def test_another_python_imports_what_this_one_does(tmp_path):
    """Not an elq_ref that lies in the folder where it is started, as sources beside an installed package do."""
    (tmp_path / "elq_ref").mkdir()
    (tmp_path / "elq_ref" / "__init__.py").write_text("raise SystemExit('the wrong elq_ref')")
    done = subprocess.run(python_command("elq_ref", "--version"), cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, f"elq_ref {elq_ref.__version__}"), done.stderr
