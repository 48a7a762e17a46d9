"""Every file of examples/ runs as it is, in an empty folder, is short, and ends with what it promises."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from scripts import run_script

FOLDER = Path(__file__).parents[1] / "examples"
MOST_LINES = 40
COMPARED = r"after 21 steps the weights differ by at most (\d\.\de-\d\d)"
ABSENT = "PyTorch is not installed: nothing to compare with"

# file -> its last line, with the figures that must be good
LAST = {
    "train_quantize_pack_run.py": r"packed: (\d+\.\d)% right with 14,096 bytes of weights in place of 224,896",
    "own_network.py": r"binary: (\d+\.\d)% of 300 pictures right",
    "own_operation.py": r"not packed: swish to shape \(16, 6, 6\) does not fit a graph",
    "read_codes.py": r"4 layers, 14,096 bytes in place of 224,896",
    "beside_pytorch.py": COMPARED if find_spec("torch") else ABSENT,
}
LEAST = {"train_quantize_pack_run.py": 90, "own_network.py": 80}  # per cent, far above chance

if not FOLDER.is_dir():
    pytest.skip("examples/ is not here (tests run from a copy)", allow_module_level=True)


def test_every_example_is_tried():
    assert {path.name for path in FOLDER.glob("*.py")} == set(LAST)


@pytest.mark.parametrize("name", LAST)
def test_an_example_is_short_and_says_what_it_shows(name):
    text = (FOLDER / name).read_text()
    assert len(text.splitlines()) <= MOST_LINES
    assert text.startswith('"""')


@pytest.mark.parametrize("name", LAST)
def test_an_example_runs(name, tmp_path):
    *_, last = run_script(tmp_path, str(FOLDER / name)).splitlines()
    found = re.fullmatch(LAST[name], last)
    assert found, last
    if name in LEAST:
        assert float(found[1]) >= LEAST[name]
    if name == "beside_pytorch.py" and found.groups():
        assert float(found[1]) < 1e-12


def test_codes_are_read_out_of_a_given_file(tmp_path):
    run_script(tmp_path, str(FOLDER / "read_codes.py"))
    (tmp_path / "untrained.elq").rename(tmp_path / "mine.elq")
    first, *_ = run_script(tmp_path, str(FOLDER / "read_codes.py"), "mine.elq").splitlines()
    assert first.startswith("conv1: ternary (32, 1, 3, 3)")


def test_the_comparison_with_pytorch_says_so_where_it_is_absent(tmp_path):
    (tmp_path / "absent.py").write_text(
        "import runpy, sys\nsys.modules['torch'] = None\nrunpy.run_path(sys.argv[1], run_name='__main__')\n"
    )
    assert run_script(tmp_path, "absent.py", str(FOLDER / "beside_pytorch.py")).strip() == ABSENT
