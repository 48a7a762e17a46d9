"""The command that runs exported networks on every target: its table, what it skips, and its exit code."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("benchmarks/ is not here (tests run from a copy)", allow_module_level=True)
sys.path.append(str(ROOT))  # at the end: an elq_ref that is installed goes before the checkout's

from benchmarks.embedded import boards, whole_networks  # noqa: E402
from tools.boards import TARGETS, trials  # noqa: E402

HOST = TARGETS["gcc-O2"]
if HOST.missing():
    pytest.skip("gcc is not installed", allow_module_level=True)
GHOST = HOST._replace(name="ghost", compiler="no-such-gcc", emulator=("no-such-qemu", "-x"))


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Runs the command with three networks on these targets: (exit code, what it printed, the result's text)."""

    def command(*targets):
        monkeypatch.setattr(boards, "TARGETS", {target.name: target for target in targets})
        monkeypatch.setattr(boards, "RANDOM", 3)
        monkeypatch.setattr(boards, "FEW", 2)
        path = tmp_path / "boards.txt"
        monkeypatch.setattr(sys, "argv", ["x", "--short", "-o", str(path)])
        code = boards.main()
        return code, capsys.readouterr().out, path.read_text()

    return command


def test_what_is_not_installed_is_skipped_in_one_line(run):
    code, printed, text = run(HOST, GHOST)
    assert code == 0
    assert [line for line in text.splitlines() if "skipped" in line] == [
        "ghost skipped: no-such-gcc, no-such-qemu not installed"
    ]
    row = next(line for line in text.splitlines() if line.startswith("gcc-O2"))
    assert row.endswith("  same bits")
    assert "2 of 2" in row
    command, _, table = text.partition("\n\n")
    assert command == "    x --short"
    assert table.strip() in printed


def test_a_machine_of_which_nothing_is_installed_is_no_failure(run):
    code, _, text = run(GHOST)
    assert code == 0
    assert "ghost skipped" in text


def test_a_difference_is_told_and_is_the_exit_code(run, monkeypatch):
    right = trials.interpret_int8

    def other(network, pictures):
        outputs = right(network, pictures)
        return replace(outputs, raw=outputs.raw + 1)

    monkeypatch.setattr(trials, "interpret_int8", other)
    code, _, text = run(HOST)
    assert code == 1
    assert "0 of 2" in text
    assert "DIFFERS" in text
    assert "gcc-O2: seed 1 (" in text
    assert "gcc-O2: lenet5-digits: picture 0 gives [" in text


def test_a_network_whose_data_are_absent_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("ELQ_DATA", str(tmp_path))
    assert whole_networks.absent("resnet20-binary") == "cifar-10-batches-bin/ is not under ELQ_DATA"
    assert whole_networks.absent("lenet5-mnist") == "mnist/ is not under ELQ_DATA"
    assert whole_networks.absent("vgg-small") == whole_networks.absent("lenet5-digits") == ""
