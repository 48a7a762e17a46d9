"""ResNet-20 on a Cortex-M4: flash, code and memory."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from exported import STRICT, builds_for_the_board
from runtime_nets import modern, with_int8

from elq_ref.export_c import export_c
from elq_ref.export_c.code_size import most
from elq_ref.runtime import PackedNetwork

DATA = Path(__file__).parents[1] / "data"
WEIGHTS = {"ternary": 70_000, "binary": 38_000}  # bytes
CODE = 12 << 10


@pytest.fixture(scope="module", params=WEIGHTS)
def made(request):
    net = with_int8(PackedNetwork.load(DATA / f"resnet20-{request.param}.elq"), np.random.default_rng(0))
    return request.param, export_c(net, "net", prefer="size")


def test_weights_and_arena(made):
    levels, export = made
    contents, plan = export.contents, export.contents.plan
    assert contents.weight_bytes <= WEIGHTS[levels]
    assert plan.exact
    assert plan.bytes <= 1.1 * plan.bound
    assert plan.bound == 3 * 32 * 32 * 16  # operand, value and shortcut of a block
    header = export.files["net.h"]
    assert f"#define NET_WEIGHT_BYTES {contents.weight_bytes} " in header
    assert f"#define NET_ARENA_BYTES {plan.bytes} " in header


def compiled(folder, level):
    """net.o for a Cortex-M4: (bytes by section, those of code)."""
    command = ["arm-none-eabi-gcc", *STRICT, "-mcpu=cortex-m4", "-mthumb", level, "-c", "net.c", "-o", "net.o"]
    subprocess.run(command, cwd=folder, check=True)
    said = subprocess.run(
        ["arm-none-eabi-size", "-A", "net.o"], cwd=folder, capture_output=True, text=True, check=True
    ).stdout
    sections = {name: int(size) for name, size in re.findall(r"^\.(\S+) +(\d+)", said, re.M)}
    return sections, sum(size for name, size in sections.items() if name.startswith("text"))


@pytest.mark.parametrize("level", ["-O2", "-Os"])
def test_code(made, level, tmp_path):
    if not builds_for_the_board():
        pytest.skip("there is no arm-none-eabi-gcc with newlib here")
    made[1].save(tmp_path)
    sections, code = compiled(tmp_path, level)
    assert code < CODE
    if level == "-O2":
        assert code <= most(made[1].contents) <= 1.5 * code
    assert sections["data"] == sections["bss"] == 0
    constants = sum(size for name, size in sections.items() if name.startswith("rodata"))
    own = made[1].contents.constant_bytes
    assert own <= constants < own + 600  # tables of a switch on top


@pytest.mark.parametrize("prefer", ["size", "speed"])
@pytest.mark.parametrize("selftest", [False, True])
def test_code_of_every_op(prefer, selftest, tmp_path):
    if not builds_for_the_board():
        pytest.skip("there is no arm-none-eabi-gcc with newlib here")
    rng = np.random.default_rng(0)
    export = export_c(with_int8(modern(rng), rng), "net", prefer=prefer, selftest=selftest)
    export.save(tmp_path)
    sections, code = compiled(tmp_path, "-O2")
    assert code <= most(export.contents) <= 2 * code
    constants = sum(size for name, size in sections.items() if name.startswith("rodata"))
    least = export.contents.constant_bytes if selftest else 0  # without it gcc drops what it has put into code
    assert least <= constants < export.contents.constant_bytes + 600
