"""examples/embedded, built with make as its page says: the host and the emulated board say what Python says."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from children import environment
from exported import builds_for_the_board
from PIL import Image

import elq_ref as elq
from elq_ref.runtime import interpret_int8

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "examples" / "embedded"
NETWORK = ROOT / "examples" / "lenet5-int8.elq"
BOARD = ("arm-none-eabi-gcc", "qemu-system-arm")

if not FOLDER.is_dir():
    pytest.skip("examples/ is not here (tests run from a copy)", allow_module_level=True)


def first_of_each() -> np.ndarray:
    """The example's pictures: the first of the package's test pictures of each digit, uint8 (10, 1, 8, 8)."""
    _, test = elq.datasets.digits()
    return test.images[[int(np.flatnonzero(test.labels == digit)[0]) for digit in range(10)]]


def wanted() -> str:
    """What the program is to print, by Python's definition of every integer."""
    outputs = interpret_int8(elq.PackedNetwork.load(NETWORK).int8, first_of_each())
    found = outputs.logits.argmax(1)
    lines = [
        f"a picture of {digit} is taken for {which}, score {outputs.raw[digit, which]}"
        for digit, which in enumerate(found)
    ]
    return "\n".join(["self-test: passed", *lines, f"{int((found == np.arange(10)).sum())} of 10 right", ""])


def make(folder: Path, target: str) -> str:
    """What `make TARGET` prints, built in `folder`; skipped where a tool is absent."""
    tools = ("make", *(BOARD if target != "run-host" else ("cc",)))
    absent = [tool for tool in tools if shutil.which(tool) is None]
    if absent:
        pytest.skip(f"{', '.join(absent)} not installed: make {target} is not tried")
    if target != "run-host" and not builds_for_the_board():
        pytest.skip(f"arm-none-eabi-gcc has no C library (newlib): make {target} is not tried")
    command = ["make", "-s", "-C", str(FOLDER), target, f"OUT={folder}", f"ELQ={sys.executable} -m elq_ref"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("target", ["run-host", "run-m4"])
def test_the_example_says_what_python_says(tmp_path, target):
    assert make(tmp_path, target).endswith(wanted())


def test_the_board_has_what_the_page_says_that_it_takes(tmp_path):
    text, data, bss = map(int, make(tmp_path, "size").splitlines()[-1].split()[:3])
    export = (tmp_path / "m4" / "digits.h").read_text()
    constants, arena = (
        int(re.search(rf"DIGITS_{name} (\d+)", export)[1]) for name in ("CONSTANT_BYTES", "ARENA_BYTES")
    )
    assert constants < text + data < constants + 12 * 1024
    assert data == 0
    assert bss == arena


def test_its_pictures_are_the_ones_that_it_names():
    numbers = (FOLDER / "pictures.h").read_text().split("pictures[PICTURES][64]")[1].split("/*")[0]
    numbers = np.array(re.findall(r"\d+", numbers), int)
    np.testing.assert_array_equal(numbers.reshape(10, 8, 8), first_of_each()[:, 0])
    np.testing.assert_array_equal(numbers.reshape(10, 8, 8)[3], np.asarray(Image.open(ROOT / "data" / "digit-3.png")))


def test_the_c_of_the_page_compiles(tmp_path):
    make(tmp_path, "run-host")
    (code,) = re.findall(r"^```c\n(.*?)^```", (ROOT / "docs" / "embedded.md").read_text(), re.S | re.M)
    (tmp_path / "page.c").write_text(code)
    strict = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
    subprocess.run(["cc", *strict, f"-I{tmp_path / 'host'}", "-fsyntax-only", str(tmp_path / "page.c")], check=True)


@pytest.mark.parametrize("name", ["embedded_sizes", "embedded_beside_others"])
def test_the_tables_of_the_page_are_the_measured_ones(name):
    _, compilers, *tables = (ROOT / "benchmarks" / "results" / f"{name}.txt").read_text().strip().split("\n\n")
    page = (ROOT / "docs" / "embedded.md").read_text()
    assert any(line in page for line in compilers.splitlines())
    assert "```\n{}\n```".format("\n\n".join(tables)) in page
