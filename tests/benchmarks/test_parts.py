"""The driver that measures what each part of ELQ does: flips and wrong freezes counted by hand, and a small run."""

import importlib.util
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import children
import numpy as np
import pytest
from PIL import Image

from elq_ref import models
from elq_ref.cli import main
from elq_ref.elq.levels import nearest_codes
from elq_ref.runs.recipes import EXPERIMENTS, Experiment

ROOT = Path(__file__).parents[2]
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("benchmarks/ is not here (tests run from a copy)", allow_module_level=True)
sys.path.append(str(ROOT))  # at the end: an elq_ref that is installed goes before the checkout's

from benchmarks.accuracy import parts, plots  # noqa: E402


def test_flips_and_what_freezes_on_a_level_where_it_seldom_was():
    weight = SimpleNamespace(w=np.array([0.9, 0.6, 0.1], np.float32), alpha=np.float32(1), frozen=np.zeros(3, bool))
    method = SimpleNamespace(codes=lambda weight: nearest_codes(weight.w, weight.alpha, "ternary"))
    state = SimpleNamespace(weights={"a": weight}, method=method, plan=SimpleNamespace(levels="ternary"))
    watch, step = parts.Watch(), SimpleNamespace(state=state)
    assert watch.see(step) == ({"a": 0}, 0, 0)
    for _ in range(3):  # the second weight is on 1 for three steps more, then on 0, where it freezes with the first
        assert watch.see(step) == ({"a": 0}, 0, 0)
    weight.w = np.array([0.9, 0.4, 0.1], np.float32)
    assert watch.see(step) == ({"a": 1}, 0, 0)
    weight.frozen = np.array([True, True, False])
    weight.w = np.array([1.0, 0.0, -0.7], np.float32)
    assert watch.see(step) == ({"a": 1}, 2, 1)  # the third flips, the second froze on 0 though it was mostly on 1
    weight.frozen = np.ones(3, bool)
    assert watch.see(step) == ({"a": 0}, 1, 1)  # the third had been on -1 for one step alone


def test_parts_of_a_small_run_and_their_table(tmp_path, monkeypatch, capsys):
    for name, value in children.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(EXPERIMENTS, "digits-held", Experiment("digits_cnn", "digits", 64, hold_out=300))
    network, runs, output = tmp_path / "float.safetensors", tmp_path / "runs", tmp_path / "parts.txt"
    assert main(["train", "--model", "digits_cnn", "--data", "digits", "--epochs", "1", "-o", str(network)]) == 0
    words = ["--recipe", "digits-held", "--network", network, "--runs", runs, "--output", output, "--passes", "1"]
    monkeypatch.setattr(sys, "argv", ["parts", "loss", "largest", *map(str, words)])
    capsys.readouterr()
    parts.main()
    assert output.read_text() in capsys.readouterr().out
    found = json.loads(output.with_suffix(".json").read_text())
    assert list(found) == ["loss", "largest"]
    for name, one in found.items():
        first, *freezes = one["stages"]
        weights = sum(stage["froze"] for stage in freezes)  # every one freezes, once
        shares = np.cumsum([stage["froze"] for stage in one["stages"]]) / weights
        np.testing.assert_allclose(shares, [stage["share frozen"] for stage in one["stages"]], rtol=1e-12)
        assert first["froze"] == 0
        assert sum(one["shape"]["free"]) == weights
        assert 0 < one["flips"] == pytest.approx(_weighted(one["layers"]), rel=1e-3)
        (row,) = (line.split() for line in output.read_text().splitlines() if line.startswith(f"{name} "))
        assert row[-1] == f"{freezes[-1]['top1_hat']:.2f}"
        assert row[1] == f"{one['flips']:.2f}"
    if importlib.util.find_spec("matplotlib"):
        pictures = plots.drawn_of_parts(found)
        assert list(pictures) == ["parts-weights.png", "parts-flips.png"]
        assert all(Image.open(io.BytesIO(png)).size > (300, 300) for png in pictures.values())
    kept = (runs / "loss.json").stat().st_mtime_ns
    parts.main()
    assert (runs / "loss.json").stat().st_mtime_ns == kept


def _weighted(layers: dict[str, float]) -> float:
    sizes = {name: p.data.size for name, p in models.digits_cnn().quantizable().items()}
    return sum(layers[name] * size for name, size in sizes.items()) / sum(sizes.values())
