"""The driver that holds networks to onnxruntime: what it keeps, what it judges anew, and what it says failed."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from theirs import mobile

import elq_ref as elq

pytest.importorskip("onnx", reason="the package onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("PIL", reason="Pillow is not installed")
ROOT = Path(__file__).parents[2]
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("benchmarks/ is not here (tests run from a copy)", allow_module_level=True)
sys.path.append(str(ROOT))  # at the end: an elq_ref that is installed goes before the checkout's

from benchmarks import vision  # noqa: E402
from benchmarks.accuracy import onnx_measured, onnx_networks  # noqa: E402
from benchmarks.accuracy.rounding_bound import deviations, quantile  # noqa: E402


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A small network in the place of torchvision's, noise in the place of photographs."""
    pictures = np.random.default_rng(0).standard_normal((20, 3, 24, 24)).astype(np.float32)
    monkeypatch.setattr(onnx_measured, "FOLDER", tmp_path)
    noise = pictures, np.zeros(20, int)
    monkeypatch.setattr(vision, "photographs", lambda network, split, each: [part[: 10 * each] for part in noise])
    mobile(tmp_path / "mine-script.onnx", classes=30)
    return tmp_path


def call(monkeypatch, *words):
    """Of the small network alone."""
    given = ["onnx_networks", "--networks", "mine", "--exporters", "script", "--photographs", "20", *words]
    monkeypatch.setattr(sys, "argv", given)
    onnx_networks.main()


def test_a_network_is_within_the_bound_and_nothing_is_run_twice(folder, monkeypatch, capsys):
    call(monkeypatch, "-o", str(folder / "first.txt"))
    said = capsys.readouterr().out
    (figures,) = json.loads((folder / "first.json").read_text())["figures"]
    for part, kinds in onnx_measured.MADE_OF.items():
        one, sigmas = figures[part], [figures["sigmas"][kind]["sigma"] for kind in kinds]
        assert one["bound"] == pytest.approx(quantile(onnx_networks.logits_of_all(20)) * np.hypot(*sigmas))
        assert one["difference"] <= one["bound"]
        assert (one["wrong"], one["photographs"]) == (0, 2 if part == "packed" else 20)
    assert figures["imported"]["difference"] > 1e-4 * figures["imported"]["bound"]
    assert f"{figures['imported']['difference']:8.1e} {figures['imported']['bound']:8.1e}   0+0 of 20" in said
    for name in ("answers", "logits", "deviations"):
        monkeypatch.delattr(onnx_measured, name)
    call(monkeypatch, "-o", str(folder / "second.txt"))
    assert json.loads((folder / "second.json").read_text())["figures"] == [figures]


def test_differences_and_bounds_are_made_apart(folder, monkeypatch, capsys):
    call(monkeypatch, "--parts", "imported", "exported", "packed")
    assert "e-" in capsys.readouterr().out
    assert not list(folder.glob("*sigmas*"))
    monkeypatch.delattr(onnx_measured, "logits")
    call(monkeypatch, "--parts", "bound")
    assert "0+0 of 20" in capsys.readouterr().out


def test_what_is_beyond_the_bound_or_of_another_class_fails(folder, monkeypatch, capsys):
    call(monkeypatch)
    kept = folder / "mine-script-20-imported.npy"
    pair = np.load(kept)
    first = pair[0, 3].argmax()
    pair[1, 3, first] -= 10
    np.save(kept, pair)
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch)
    assert ended.value.code == 1
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAILED")]
    assert [line.split(", bound")[0] for line in said] == [
        "FAILED mine script: imported: a difference of 10",
        "FAILED mine script: imported: 1 photographs of another class",
    ]


def test_the_photograph_with_the_largest_logits_is_among_those_of_the_bound(folder, monkeypatch):
    pictures = vision.photographs("mine", "val", 2)[0]
    pictures[13] *= 50
    call(monkeypatch)
    sigmas = json.loads((folder / "mine-script-20-sigmas.json").read_text())
    net = elq.from_onnx(folder / "mine-script.onnx")
    alone = deviations(net.graph, net.state_dict(), pictures[13:14], False).sigma
    assert 0.5 < sigmas["theirs"]["sigma"] / alone < 2


def test_a_class_within_twice_the_bound_is_a_tie():
    a, b = np.array([[0.0, 1.0], [0.0, 3.0]]), np.array([[1.0, 0.0], [3.0, 0.0]])
    found = onnx_measured.compared(a, b, 1.0)
    assert (found["difference"], found["ties"], found["wrong"]) == (3.0, 1, 1)
    assert "wrong" not in onnx_measured.compared(a, b, None)


def test_too_few_classes_among_the_answers_fail():
    found = {"name": "n", "exporter": "e", "classes": 19, "sigmas": {"ours": {"bent": 0.2}}}
    assert onnx_networks.failures(found, 200) == [
        "FAILED n e: 19 classes among the answers, wanted at least 20",
        "FAILED n e: deviations (ours) of smaller errors differ by 0.2, at most 0.1",
    ]
    assert not onnx_networks.failures(found | {"classes": 20, "sigmas": {}}, 200)
    assert not onnx_networks.failures(found | {"sigmas": {}}, 20)
