"""Records of missing, unfinished or damaged runs: one line says what is wrong."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_runs import records

from elq_ref.cli import main
from elq_ref.errors import FormatError
from elq_ref.runs import answers
from elq_ref.runs.lines import add_run
from elq_ref.runs.record import RunRecord, read_runs


def damaged(tmp_path: Path, run: Path, name: str, content: str | None) -> Path:
    out = shutil.copytree(run, tmp_path / "damaged")
    if content is None:
        (out / name).unlink()
    else:
        (out / name).write_text(content)
    return out


@pytest.mark.parametrize("command", ["report", "compare"])
@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("config.json", None, "there is no run in"),
        ("result.json", None, "is not finished: go on with --resume"),
        ("config.json", "[1]", "config.json lacks plan"),
        ("config.json", '{"plan": {"a9": 1}}', "config.json has no plan that can be read: no such option: a9"),
        ("result.json", '{"top1": 3}', "result.json lacks correct, total"),
        ("steps.jsonl", '{"step": 1', "steps.jsonl line 1 is no JSON"),
        ("steps.jsonl", '{"step": 1, "lr": NaN}', "steps.jsonl line 1 is no JSON: NaN is no number of float64"),
        ("result.json", '{"top1": 1e999}', "result.json is no JSON: 1e999 is no number of float64"),
        ("stages.jsonl", '{"step": 1}', "stages.jsonl line 1 lacks stage, frozen"),
        ("layers.jsonl", '{"step": 1, "stage": 0, "layers": {"a": {}}}', "layers.jsonl wants weights, levels"),
        ("layers.jsonl", '{"step": 1, "stage": 0, "layers": 3}', "layers.jsonl wants weights, levels"),
    ],
)
def test_a_missing_unfinished_or_damaged_run_is_one_line(runs, tmp_path, command, name, content, words, capsys):
    out = damaged(tmp_path, runs["elq"], name, content)
    more = ["-o", str(tmp_path / "report")] if command == "report" else []
    assert main([command, str(runs["float"]), str(out), *more]) == 2
    error = capsys.readouterr().err.strip()
    assert len(error.splitlines()) == 1
    assert words in error
    assert not (tmp_path / "report").exists()


def test_a_record_says_which_error_it_is(runs, tmp_path):
    with pytest.raises(FormatError, match=r"steps\.jsonl line 1"):
        RunRecord.read(damaged(tmp_path, runs["elq"], "steps.jsonl", "x"))
    with pytest.raises(FileNotFoundError, match=r"no config\.json"):
        RunRecord.read(tmp_path)


RIGHT = {"top1": 50.0, "correct": 1, "total": 2}


def test_which_pictures_are_right_is_a_bit_each(tmp_path):
    record = records({"elq": [0.0]})[0]
    right = [True, False, False, False, True, False, False, True, False, True]  # 10001001 01...... in base64
    add_run(
        tmp_path / "runs.jsonl", "x", replace(record, result={"top1": 40, "correct": 4, "total": 10, "right": "iUA="})
    )
    assert RunRecord.read(f"{tmp_path / 'runs.jsonl'}#x").right.tolist() == right
    assert answers.to_text(np.array(right)) == "iUA="
    assert record.right is None


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        (None, '{"name": "x"', "runs.jsonl line 1 is no JSON"),
        (None, "[1]", "runs.jsonl line 1 has no name"),
        ("name", 3, "runs.jsonl line 1 has no name"),
        ("config", None, "runs.jsonl#x: config lacks plan"),
        ("config", {"plan": {}, "seed": [3]}, "runs.jsonl#x: config has seed [3], wanted an integer"),
        ("result", {"top1": None, "correct": 1, "total": 2}, "runs.jsonl#x: result has no top1"),
        ("config", {"plan": {"a9": 1}}, "runs.jsonl#x: config has no plan that can be read: no such option: a9"),
        ("result", {"top1": 3}, "runs.jsonl#x: result lacks correct, total"),
        ("result", RIGHT | {"right": "wA=="}, "runs.jsonl#x: result has 1 correct, and 2 by its right"),
        ("result", RIGHT | {"right": "gAA="}, "result has a wrong right: 16 bits are no answers to 2 pictures"),
        ("result", RIGHT | {"right": "g"}, "result has a wrong right: 'g' are no answers to 2 pictures in base64"),
        ("result", RIGHT | {"right": "g..."}, "runs.jsonl#x: result has a wrong right: "),
        ("result", RIGHT | {"right": 3}, "result has a wrong right: '3' are no answers to 2 pictures in base64"),
        ("result", RIGHT | {"right": "gA==", "total": 2.0}, "runs.jsonl#x: result has a wrong right: "),
        ("stages", [{"step": 1}], "runs.jsonl#x: stages line 1 lacks stage, frozen"),
        ("passes", {"step": 1}, "runs.jsonl#x: passes: wanted lists"),
        ("result", {"top1": "9", "correct": 1, "total": 2}, "runs.jsonl#x: result has top1 9, wanted a number"),
        (
            "passes",
            [{"step": 1.5, "stage": 0, "top1": 1, "top1_hat": 1}],
            "passes line 1 has step 1.5, wanted a number",
        ),
        ("passes", [{"step": 1, "stage": 0, "top1": [], "top1_hat": 1}], "passes line 1 has top1 [], wanted a number"),
    ],
)
def test_a_damaged_line_is_one_line(tmp_path, part, value, words, capsys):
    file = tmp_path / "runs.jsonl"
    add_run(file, "x", records({"elq": [1.0]})[0])
    line = json.loads(file.read_text())
    file.write_text(value if part is None else json.dumps(line | {part: value}))
    assert main(["compare", f"{file}#*"]) == 2
    error = capsys.readouterr().err.strip()
    assert len(error.splitlines()) == 1
    assert words in error


@pytest.mark.parametrize("second", ["3", '"ab"', "null", "[]", '{"b": {}}', '{"a": 3}'])
def test_layers_of_another_kind_behind_good_ones_are_one_line(runs, tmp_path, second):
    out = damaged(tmp_path, runs["elq"], "other", "")
    path = out / "layers.jsonl"
    first = json.loads(path.read_text().splitlines()[0])
    path.write_text(json.dumps(first) + f'\n{{"step": 2, "stage": 0, "layers": {second}}}\n')
    with pytest.raises(FormatError, match=r"layers\.jsonl wants weights, levels"):
        RunRecord.read(out)


def test_a_name_twice_is_noticed(tmp_path):
    file = tmp_path / "runs.jsonl"
    add_run(file, "x", records({"elq": [1.0]})[0])
    file.write_text(2 * file.read_text())
    with pytest.raises(FormatError, match="has x twice"):
        read_runs([file])
