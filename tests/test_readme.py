"""README's Python runs as printed: its blocks, one after the other, in a folder that has what they read."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
from photographs import photographs
from scripts import run_script
from theirs import mobile

from elq_ref.cli import parser

README = Path(__file__).parents[1] / "README.md"

# What would take minutes or data that is not here: text of a block -> what runs in its place. Nothing at present.
STAND_INS: dict[str, str] = {}

if not README.is_file():
    pytest.skip("README.md is not here (tests run from a copy)", allow_module_level=True)


def blocks() -> list[str]:
    """The blocks that README marks as Python."""
    return re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.M | re.S)


def test_every_stand_in_stands_for_something():
    text = "".join(blocks())
    assert all(printed in text for printed in STAND_INS)


def test_pythons_way_from_pictures_to_a_file_that_runs_is_shown():
    text = "".join(blocks())
    assert all(step in text for step in ("elq.fit(", "elq.quantize(", "elq.pack(net, test)", "elq.Session("))


def test_the_main_job_is_shown_right_after_the_demo():
    headings = re.findall(r"^## (.*)$", README.read_text(), re.M)
    assert headings[:2] == ["Two commands", "Any CNN, any pictures"]


def test_every_command_is_understood():
    lines = [line.split("#")[0] for line in README.read_text().splitlines() if line.startswith("elq ")]
    commands = [shlex.split(line)[1:] for line in lines]
    assert len(commands) > 10
    for words in commands:
        assert parser(words[:1]).parse_args(words).run


def test_the_blocks_run_as_printed(tmp_path):
    here = blocks()
    if importlib.util.find_spec("onnx"):
        mobile(tmp_path / "theirs.onnx")
        photographs(tmp_path / "photos")
    else:
        here = [block for block in here if "from_onnx" not in block]
    program = "\n".join(here)
    for printed, stand_in in STAND_INS.items():
        program = program.replace(printed, stand_in)
    (tmp_path / "readme.py").write_text(program)
    said = run_script(tmp_path, "readme.py")
    assert ("elq.from_onnx" in program) == (tmp_path / "photos.elq").is_file()
    stages = re.findall(r"(\d+\.\d)% frozen", said)
    assert stages[0] == "0.0"
    assert stages[-1] == "100.0"
    assert float(re.findall(r"^(\d+\.\d\d)%$", said, re.M)[-1]) > 94
    assert (tmp_path / "net.elq").is_file()
