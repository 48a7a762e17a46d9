"""Runs as lines of one file: read as their folders are, added whole."""

import math
import subprocess
import sys
from dataclasses import replace

import children
import numpy as np
import pytest
from made_runs import records

from elq_ref.runs.folder import RunFolder
from elq_ref.runs.lines import add_run, blocks
from elq_ref.runs.record import RunRecord, names_in, read_runs


def test_a_line_of_a_run_reads_as_its_folder(runs, tmp_path):
    file = tmp_path / "sub" / "runs.jsonl"
    for name in ("ttq", "elq", "float"):
        add_run(file, f"digits/{name}", RunRecord.read(runs[name]), curves=name == "elq")
    assert names_in(file) == ["digits/elq", "digits/float", "digits/ttq"]
    for name in ("elq", "ttq", "float"):
        run, line = RunRecord.read(runs[name]), RunRecord.read(f"{file}#digits/{name}")
        assert (line.stages, line.passes, line.plan, line.result) == (run.stages, run.passes, run.plan, run.result)
        assert line.config == run.config
        assert line.layers == (run.layers if name == "elq" else [])
        assert bool(line.steps) == (name == "elq")
    kept = RunRecord.read(f"{file}#digits/elq").steps
    assert len(kept) <= 120 + 5
    assert kept[-1]["step"] == RunRecord.read(runs["elq"]).steps[-1]["step"]
    assert str(runs["elq"].parent) not in file.read_text()


def test_steps_of_a_line_are_means_of_blocks_within_a_stage(tmp_path, runs):
    run = RunRecord.read(runs["elq"])
    steps = [
        {**run.steps[0], "step": n, "stage": int(n > 250), "loss": None if n < 4 else float(n), "error": 2.0 * n}
        for n in range(1, 501)
    ]
    file = tmp_path / "runs.jsonl"
    add_run(file, "made", replace(run, steps=steps), curves=True)
    read = RunRecord.read(f"{file}#made")
    kept = read.steps
    assert [line["step"] for line in kept[:3]] == [4, 8, 12]
    assert [line["step"] for line in kept if line["stage"] == 0][-1] == 250
    assert sum(line["steps"] for line in kept) == 500
    assert {line["steps"] for line in kept} == {4, 5}  # no short rest at the end of a stage
    assert kept[0]["loss"] == 4.0  # steps without a pass at W do not count
    assert kept[1]["loss"] == np.mean([5, 6, 7, 8])
    assert kept[0]["error"] == 2 * np.mean([1, 2, 3, 4])
    add_run(file, "again", read, curves=True)
    assert RunRecord.read(f"{file}#again").steps == kept


def test_runs_of_a_file_are_chosen_by_their_names(tmp_path):
    file = tmp_path / "a#b.jsonl"
    for run, name in zip(records({"elq": [1.0, 2.0, 3.0]}), ("x/one", "x/two", "y/one"), strict=True):
        add_run(file, name, run)
    assert [run.top1 for run in read_runs([file])] == [1, 2, 3]
    assert [run.top1 for run in read_runs([f"{file}#y/one", f"{file}#x/*"])] == [3, 1, 2]
    assert [run.place for run in read_runs([f"{file}#?/one"])] == [f"{file}#x/one", f"{file}#y/one"]
    with pytest.raises(ValueError, match=r"jsonl#x/\* has 2 runs, wanted the name of one"):
        RunRecord.read(f"{file}#x/*")
    with pytest.raises(FileNotFoundError, match=r"no run in .*a#b\.jsonl is called z"):
        RunRecord.read(f"{file}#z")
    with pytest.raises(FileNotFoundError, match=r"there is no run .*no\.jsonl#x: wanted the folder"):
        RunRecord.read(tmp_path / "no.jsonl#x")
    assert names_in(tmp_path / "no.jsonl") == []


def test_a_file_of_runs_is_never_half_written(tmp_path, monkeypatch):
    file = tmp_path / "runs.jsonl"
    one, two = records({"elq": [1.0, 2.0]})
    add_run(file, "one", one)
    before = file.read_bytes()
    with pytest.raises(ValueError, match="has a run one already"):
        add_run(file, "one", two)
    with monkeypatch.context() as patch:
        patch.setattr("elq_ref.files.os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "no space left")))
        with pytest.raises(OSError, match="no space left"):
            add_run(file, "two", two)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_two_processes_that_add_to_one_file_lose_no_run(tmp_path):
    code = """
import sys
from elq_ref import Plan
from elq_ref.runs.folder import RunFolder
from elq_ref.runs.lines import add_run
from elq_ref.runs.record import RunRecord
result = {"top1": 1.0, "total": 100, "correct": 1}
for n in range(20):
    add_run(sys.argv[1], f"{sys.argv[2]}{n}", RunRecord("", {}, Plan(), result, [], [], [], []))
"""
    pytest.importorskip("fcntl")
    file = tmp_path / "runs.jsonl"
    command = [sys.executable, "-c", code, str(file)]
    both = [subprocess.Popen([*command, name], cwd=tmp_path, env=children.environment()) for name in "ab"]
    assert [process.wait() for process in both] == [0, 0]
    assert sorted(names_in(file)) == sorted(f"{name}{n}" for name in "ab" for n in range(20))


def test_blocks_are_as_equal_as_can_be_and_about_the_size_asked_for():
    assert blocks(7, 4) == [slice(0, 3), slice(3, 7)]  # one of 7 or three of 2 are farther from 4
    assert blocks(9, 2) == [slice(0, 2), slice(2, 4), slice(4, 6), slice(6, 9)]
    assert blocks(1, 4) == [slice(0, 1)]


@pytest.mark.parametrize("number", [math.nan, math.inf, [1.0, -math.inf]])
def test_a_number_that_is_none_is_not_written(number, tmp_path):
    folder = RunFolder(tmp_path)
    for write in (folder.write_json, folder.append):
        with pytest.raises(ValueError, match=r"result\.json is not written: loss holds a NaN or an infinity"):
            write("result.json", {"step": 1, "loss": number})
    assert not list(tmp_path.iterdir())
