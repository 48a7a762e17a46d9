"""The benchmark of listings: its tree is ImageNet's layout, and a start of it sees all files."""

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("benchmarks/ is not here (tests run from a copy)", allow_module_level=True)
sys.path.append(str(ROOT))  # at the end: an elq_ref that is installed goes before the checkout's

from benchmarks.speed import listing  # noqa: E402


def test_a_start(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(listing, "CLASSES", 3)
    monkeypatch.setattr(listing, "LINKS", 5)
    listing.make_tree(tmp_path, 14)
    starts = {}
    for which in ("first", "second"):
        listing.work(str(tmp_path))
        starts[which] = json.loads(capsys.readouterr().out)
    assert starts["first"]["files"] == starts["second"]["files"] == 14 + 3
    assert len(list((tmp_path / "cache").rglob("*.npz"))) == 2
    assert listing.table(starts, 1000).count("\n") == 3
