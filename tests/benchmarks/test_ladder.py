"""The ladder of a kernel: every rung runs here and computes the same sums; one that does not is noticed."""

import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("benchmarks/ is not here (tests run from a copy)", allow_module_level=True)
if not shutil.which("cc"):
    pytest.skip("there is no C compiler", allow_module_level=True)
pytest.importorskip("elq_ref._infer")
sys.path.append(str(ROOT))  # at the end: an elq_ref that is installed goes before the checkout's

from benchmarks.speed import ladder  # noqa: E402


def test_every_rung_computes_the_sums_of_the_definition():
    rungs = ladder.climb(0.0)
    assert [name for name, _, _ in rungs[:3]] == ["the definition", "codes unpacked once", "channels innermost"]
    assert all(took > 0 for _, _, took in rungs)
    assert rungs[-1][0].startswith("elq_conv_i8i32_t2__")


def test_a_rung_with_other_sums_ends_the_run(monkeypatch):
    def wrong(seconds, x, rows):
        return [(name, size, took, y + (y == y.max())) for name, size, took, y in right(seconds, x, rows)]

    right = ladder.shipped
    monkeypatch.setattr(ladder, "shipped", wrong)
    with pytest.raises(SystemExit, match=r"elq_conv_i8i32_t2__.* computes other sums"):
        ladder.climb(0.0)
