"""The model of a network of machines: its formulas by numbers that are computed by hand, and its text."""

import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("benchmarks/ is not here (tests run from a copy)", allow_module_level=True)
sys.path.append(str(ROOT))  # at the end: an elq_ref that is installed goes before the checkout's

from benchmarks.speed import network_model as model  # noqa: E402

# 1 million parameters, 0.9 of them quantized; 10 ms a picture, 4 cores worth 3.2
STEP = model.Step(
    0.01, 0.5, 900_000, 100_000, 1000, 0.8, batch=64, micro_batches=16, cores=4, delay=0.001
)  # fmt: skip


def test_a_step_by_hand():
    assert STEP.compute(1) == pytest.approx(0.5 + 64 * 0.01 / 3.2)  # 0.7 s
    assert STEP.compute(4) == pytest.approx(0.5 + 16 * 0.01 / 3.2)  # 0.55 s
    assert STEP.traffic(1) == 0
    assert STEP.exchange(1, 1) == 0
    # 3/4 of twice 4 MB of gradients and of 16 micro-batches' mean and variance of 1000 channels, 128 kB
    assert STEP.traffic(4) == pytest.approx(0.75 * (8e6 + 128_000))
    assert STEP.exchange(4, 1) == pytest.approx(0.75 * 8.128e6 * 8 / 1e9 + 6 * 0.001)
    assert STEP.exchange(4, 10) == pytest.approx(0.75 * 8.128e6 * 8 / 1e10 + 6 * 0.001)
    # 16 leaves on 3 machines, 0-4, 5-9, 10-15: 4 + 1, 1 + 2 + 2 and 2 + 4; three spans at most
    assert STEP.traffic(3) == pytest.approx(2 / 3 * (16e6 + 128_000))


def test_what_is_frozen_is_not_sent():
    assert STEP.traffic(4, 0.5) == pytest.approx(0.75 * (2 * 4 * 550_000 + 128_000))
    assert STEP.traffic(4, 1.0) == pytest.approx(0.75 * (2 * 4 * 100_000 + 128_000))


def test_an_epoch_and_its_price_by_hand():
    steps = 20019  # 1,281,167 / 64 = 20,018.2
    seconds = steps * (0.55 + 0.75 * 8.128e6 * 8 / 1e9 + 0.006)
    assert STEP.epoch(4, 1) == pytest.approx(seconds)
    assert STEP.money(4, 1) == pytest.approx(seconds / 3600 * 16 * 0.04)


def test_where_the_exchange_binds():
    free = model.Step(0.01, 0.0, 900_000, 100_000, 0, 0.8, batch=64, micro_batches=64, cores=4, delay=0.0)
    assert free.binding(1) == pytest.approx(1 + 64 * 0.01 * 1e9 / (16 * 3.2 * 4e6))  # 4.1 machines
    assert free.exchange(4, 1) < free.compute(4)
    assert free.exchange(8, 1) > free.compute(8)


def test_the_text_has_every_number_of_machines(tmp_path, monkeypatch, capsys):
    ways = {"1 process x 1 thread": {"seconds": [4.0, 4, 4]}, "1 process x 2 threads": {"seconds": [2.5, 2, 3]}}
    figures = {"resnet18-112": ways, "resnet18-224": {"picture": 0.2, "besides": 0.1}}
    measured, out = tmp_path / "ranks.json", tmp_path / "network.txt"
    measured.write_text(json.dumps({"about": {"cpu": "a CPU", "date": "today"}, "figures": figures}))
    monkeypatch.setattr(model, "MODELS", {"resnet18": "ResNet-18"})  # VGG-16 takes 553 MB
    monkeypatch.setattr(sys, "argv", ["network_model", "--measured", str(measured), "-o", str(out)])
    model.main()
    text = capsys.readouterr().out
    assert "a core 0.80\nof one alone" in text
    assert "ResNet-18: 11.69 million parameters" in text
    assert re.findall(r"^ *(\d+) +\d+\.\d{3} ", text, re.M) == ["1", "2", "4", "8", "16", "32", "64"]
    assert text.strip() in out.read_text()
    assert "16 machines, 10 Gbit/s" in json.loads(out.with_suffix(".json").read_text())["figures"]["resnet18"]
