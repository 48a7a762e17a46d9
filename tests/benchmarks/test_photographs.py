"""The driver of networks that start from nothing on photographs: all steps of one of them, and its table."""

import json
import sys
from pathlib import Path

import children
import pytest
from photographs import photographs

ROOT = Path(__file__).parents[2]
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("benchmarks/ is not here (tests run from a copy)", allow_module_level=True)
sys.path.append(str(ROOT))  # at the end: an elq_ref that is installed goes before the checkout's

from benchmarks.accuracy import photographs as driver  # noqa: E402


def test_all_steps_of_a_network_and_its_table(tmp_path, monkeypatch, capsys):
    for name, value in children.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(driver, "BATCH", ["--batch-size", "6"])
    smaller = {"3,96,96": "3,32,32", "crop 112": "crop 40"}  # a ninth of the pixels
    assert set(smaller) < set(driver.INPUT)
    monkeypatch.setattr(driver, "INPUT", [smaller.get(word, word) for word in driver.INPUT])
    photographs(tmp_path / "photos", each=6)
    places = {"--data": tmp_path / "photos", "--runs": tmp_path / "runs", "--output": tmp_path / "out.txt"}
    words = ["--share", "0.02", "--held", "6", *(str(part) for pair in places.items() for part in pair)]
    steps = [name for name, (network, _) in driver.STEPS.items() if network == "resnet18"]
    monkeypatch.setattr(sys, "argv", ["photographs", *steps, *words])
    driver.main()
    text = (tmp_path / "out.txt").read_text()
    assert capsys.readouterr().out.endswith(text + "\n")
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line.startswith("resnet18-")}
    assert list(rows) == steps
    recipe, longer = driver.RECIPES["resnet18"], rows["resnet18-longer"]
    for name, row in rows.items():
        found = json.loads((tmp_path / "runs" / f"{name}.json").read_text())
        assert found["total"] == 18  # all of val/
        passes = recipe.float_epochs + (recipe.epochs if name != "resnet18-float" else 0)
        assert row[1:6] == [f"{passes / 50:g}", str(found["correct"]), "of", "18", f"{found['top1']:.2f}"]
        if row != longer:
            assert float(row[6]) == pytest.approx(found["top1"] - float(longer[5]), abs=0.011)
    for levels in ("ternary", "binary"):
        packed = tmp_path / "runs" / f"resnet18-{levels}" / "net.elq"
        assert rows[f"resnet18-{levels}"][7] == f"{packed.stat().st_size:,}"
        kept = json.loads((packed.parent / "config.json").read_text())
        assert not kept.get("keep_float")
    assert text.count("$ elq eval") == 4  # val/ is read once by each
    assert str(tmp_path) not in text
