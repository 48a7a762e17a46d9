"""The driver of EfficientNet-Lite0: every step on a small network in its place, stopped, gone on, and its table."""

import json
import sys
from pathlib import Path

import children
import pytest
from photographs import photographs
from theirs import mobile

pytest.importorskip("onnx", reason="the package onnx is not installed")
pytest.importorskip("matplotlib", reason="matplotlib is not installed")
ROOT = Path(__file__).parents[2]
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("benchmarks/ is not here (tests run from a copy)", allow_module_level=True)
sys.path.append(str(ROOT))  # at the end: an elq_ref that is installed goes before the checkout's

from benchmarks.accuracy import lite0  # noqa: E402


@pytest.fixture
def words(tmp_path, monkeypatch):
    """What follows the name of the driver; a small network and few pictures in the place of Lite0 and Imagenette."""
    for name, value in children.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(lite0, "export", mobile)
    monkeypatch.setattr(lite0, "BATCH", 6)
    photographs(tmp_path / "photos", each=6)
    places = {"--data": tmp_path / "photos", "--runs": tmp_path / "runs", "--output": tmp_path / "lite0.txt"}
    return ["--share", "0.05", "--held", "6", *(str(part) for pair in places.items() for part in pair)]


def call(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["lite0", *words])
    lite0.main()


def test_all_steps_one_after_the_other(words, tmp_path, monkeypatch, capsys):
    call(monkeypatch, "export", "float", "ternary", *words)
    first = (tmp_path / "runs" / "ternary.json").read_text()
    call(monkeypatch, "all", *words)
    assert (tmp_path / "runs" / "ternary.json").read_text() == first  # what is done is skipped
    text = (tmp_path / "lite0.txt").read_text()
    assert capsys.readouterr().out.endswith(text + "\n")
    for step in ("float", *lite0.QUANTIZED):
        (row,) = (line.split() for line in text.splitlines() if line.startswith(f"{step} "))
        found = json.loads((tmp_path / "runs" / f"{step}.json").read_text())
        assert row[1:3] == [str(found["correct"]), f"{found['top1']:.2f}"]
        assert found["total"] == 18  # all of val/
        if step != "float":
            assert row[3] == f"{(tmp_path / 'runs' / step / 'net.elq').stat().st_size:,}"
    assert all(f"{name}.weight" in text for name in ("stem", "deep", "point", "head"))
    assert text.count("$ elq eval") == 4  # val/ is read once by each
    assert str(tmp_path) not in text
    assert (tmp_path / "runs" / "sensitivity.png").is_file()


def test_what_was_stopped_goes_on(words, tmp_path, monkeypatch, capsys):
    call(monkeypatch, "export", "float", *words)
    run = tmp_path / "runs" / "binary"
    call(monkeypatch, "binary", *words)
    packed = (run / "net.elq").read_bytes()
    for name in (run / "result.json", run / "net.elq", tmp_path / "runs" / "binary.json"):
        name.unlink()
    call(monkeypatch, "binary", *words)
    assert (run / "net.elq").read_bytes() == packed
    assert "--resume" in (tmp_path / "runs" / "binary.log").read_text()


def test_a_step_that_fails_is_named_with_its_log(words, tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match=r"float stopped with 2; .*float\.log says why"):
        call(monkeypatch, "float", *words)  # there is no network yet
    assert "elq: " in (tmp_path / "runs" / "float.log").read_text()
