"""The ladder of a kernel: every rung runs here and computes the same sums; one that does not is noticed."""

import importlib.util
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DRIVER = ROOT / "benchmarks" / "speed" / "ladder.py"

if not DRIVER.is_file():
    pytest.skip("benchmarks/ is not here (tests run from a copy)", allow_module_level=True)
if not shutil.which("cc"):
    pytest.skip("there is no C compiler", allow_module_level=True)
pytest.importorskip("elq_ref._infer")


@pytest.fixture
def ladder():
    spec = importlib.util.spec_from_file_location("ladder", DRIVER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_rung_computes_the_sums_of_the_definition(ladder):
    rungs = ladder.climb(0.0)
    assert [name for name, _, _ in rungs[:3]] == ["the definition", "codes unpacked once", "channels innermost"]
    assert all(took > 0 for _, _, took in rungs)
    assert rungs[-1][0].startswith("elq_conv_i8i32_t2__")


def test_a_rung_with_other_sums_ends_the_run(ladder, monkeypatch):
    def wrong(seconds, x, rows):
        return [(name, size, took, y + (y == y.max())) for name, size, took, y in right(seconds, x, rows)]

    right = ladder.shipped
    monkeypatch.setattr(ladder, "shipped", wrong)
    with pytest.raises(SystemExit, match=r"elq_conv_i8i32_t2__.* computes other sums"):
        ladder.climb(0.0)
