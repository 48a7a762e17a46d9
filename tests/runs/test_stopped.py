"""Runs that survive kill -9 and full disks and end on the same bits; one process a run."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import children
import pytest
from made_runs import MADE, command, one_line

from elq_ref.cli import main


def start(arguments: list[str], before: str = "pass") -> subprocess.Popen:
    """The command in a process of its own, saving 20 times a second; `before`: code to run first."""
    code = f"import sys, elq_ref.runs.folder as r; r.SAVE_EVERY = 0.05; from elq_ref.cli import main; {before}; "
    code += "sys.exit(main(sys.argv[1:]))"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=children.FOLDER, env=children.environment(), **pipes
    )


@pytest.mark.parametrize("method", ["elq", "ttq"])
def test_killed_at_random_moments_a_run_ends_on_the_same_bits(trained, finished, tmp_path, method):
    arguments = command(trained, tmp_path / "run", "--method", method)
    if method != "elq":
        finished = tmp_path / "whole"
        assert main(command(trained, finished, "--method", method)) == 0
    begin = time.monotonic()
    process = start(command(trained, tmp_path / "timed", "--method", method))
    assert process.wait(120) == 0
    length = time.monotonic() - begin
    moments = []
    for _ in range(4):
        moments.append(round(random.uniform(0.2, 0.9) * length, 3))
        begun = (tmp_path / "run" / "config.json").exists()
        process = start([*arguments, "--resume"] if begun else arguments)
        try:
            _, error = process.communicate(timeout=moments[-1])
            assert process.returncode == 0, error
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
    process = start([*arguments, "--resume"])
    _, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    for name in MADE:
        assert (tmp_path / "run" / name).read_bytes() == (finished / name).read_bytes(), (name, moments)
    assert not list((tmp_path / "run").glob(".*"))


DIES = "__import__('os').kill(__import__('os').getpid(), 9)"
MOMENTS = {
    "logged, not saved": "import elq_ref.training.state as s; save = s.State.save; "
    f"s.State.save = lambda self, *a, **k: {DIES} if self.stage == 2 else save(self, *a, **k)",
    "saved, not renamed": "import os; move = os.replace; "
    f"os.replace = lambda a, b: {DIES} if 'state' in str(b) and os.path.exists(b) else move(a, b)",
    "packed, no result": "import os; move = os.replace; "
    f"os.replace = lambda a, b: {DIES} if 'result' in str(b) else move(a, b)",
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_the_worst_moments_too(trained, finished, tmp_path, moment):
    arguments = command(trained, tmp_path / "run")
    process = start(arguments, f"r.SAVE_EVERY = 1e9; {MOMENTS[moment]}")
    assert process.wait(120) == -9
    if moment == "saved, not renamed":
        assert list((tmp_path / "run").glob(".*.part"))
    assert main([*arguments, "--resume"]) == 0
    for name in MADE:
        assert (tmp_path / "run" / name).read_bytes() == (finished / name).read_bytes(), name
    assert not list((tmp_path / "run").glob(".*"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_log_on_a_full_disk_is_one_line_and_the_run_goes_on(trained, finished, tmp_path):
    """The log stands on a device that has no room; then it has."""
    out = tmp_path / "run"
    out.mkdir()
    (out / "steps.jsonl").symlink_to("/dev/full")
    process = start(command(trained, out))
    _, error = process.communicate(timeout=120)
    assert process.returncode == 2
    assert one_line(error) == f"elq: No space left on device: {out / 'steps.jsonl'}"
    (out / "steps.jsonl").unlink()
    assert main(command(trained, out, "--resume")) == 0
    for name in MADE:
        assert (out / name).read_bytes() == (finished / name).read_bytes(), name


@pytest.mark.skipif(os.name == "nt", reason="limits of a process are POSIX")
def test_a_state_that_cannot_be_written_keeps_the_one_before(trained, finished, tmp_path):
    """No file may grow beyond 100,000 bytes: logs fit, the state does not."""
    out = tmp_path / "run"
    arguments = command(trained, out)
    process = start(arguments)
    while not (out / "state.safetensors").exists():
        time.sleep(0.01)
    process.kill()
    process.communicate()
    kept = (out / "state.safetensors").read_bytes()
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
    process = start([*arguments, "--resume"], limit)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 2
    assert one_line(error) == f"elq: File too large: {out / 'state.safetensors'}"
    assert (out / "state.safetensors").read_bytes() == kept
    assert not list(out.glob(".*"))
    assert main([*arguments, "--resume"]) == 0
    for name in MADE:
        assert (out / name).read_bytes() == (finished / name).read_bytes(), name


def test_two_processes_do_not_work_on_one_run(trained, tmp_path, capsys):
    out = tmp_path / "run"
    process = start(command(trained, out))
    while not (out / "state.safetensors").exists():
        time.sleep(0.01)
    assert main(command(trained, out, "--resume")) == 2
    assert one_line(capsys.readouterr().err) == f"elq: another process works on the run in {out}"
    process.kill()
    process.communicate()
    assert main(command(trained, out, "--resume")) == 0
    assert not list(out.glob(".*"))
