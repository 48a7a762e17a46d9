"""Reports and comparisons: what a run is read as, statistics against SciPy, pages, refusals."""

import base64
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import children
import numpy as np
import pytest

from elq_ref import Plan
from elq_ref.cli import main
from elq_ref.errors import FormatError
from elq_ref.methods import OrderPlan
from elq_ref.runs.comparison import differences, grouped, half_interval, reference, t_quantile, table
from elq_ref.runs.lines import add_run, blocks
from elq_ref.runs.record import RunRecord, names_in, read_runs


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """Short real runs: ternary and binary ELQ, two seeds of TTQ, float."""
    folder = tmp_path_factory.mktemp("runs")
    trained = folder / "float.safetensors"
    assert main(["train", "--model", "digits_cnn", "--data", "digits", "--epochs", "1", "-o", str(trained)]) == 0
    made = {}
    for name, more in (
        ("elq", []),
        ("binary", ["--levels", "binary"]),
        ("ttq", ["--method", "ttq"]),
        ("ttq1", ["--method", "ttq", "--seed", "1"]),
        ("float", ["--method", "float"]),
        ("float1", ["--method", "float", "--seed", "1"]),
    ):
        made[name] = folder / name
        assert main(["reproduce", "digits", str(trained), "--passes", "1.5", "-o", str(made[name]), *more]) == 0
    return made


def records(tops: dict[str, list[float]]) -> list[RunRecord]:
    """Records of made-up accuracies, one a seed."""
    made = []
    for method, values in tops.items():
        for seed, top1 in enumerate(values):
            config = {"method": method, "levels": "float" if method == "float" else "ternary", "seed": seed}
            result = {"top1": top1, "total": 100, "correct": round(top1)}
            made.append(RunRecord(f"{method}/{seed}", config, Plan(), result, [], [], [], []))
    return made


@pytest.mark.parametrize("freedom", [1, 2, 3, 9, 30])
@pytest.mark.parametrize("p", [0.5, 0.75, 0.95, 0.975, 0.995])
def test_t_quantile_is_scipys(freedom, p):
    stats = pytest.importorskip("scipy.stats")
    assert t_quantile(p, freedom) == pytest.approx(stats.t.ppf(p, freedom), rel=1e-6, abs=1e-9)


def test_intervals_of_paired_differences_are_scipys():
    stats = pytest.importorskip("scipy.stats")
    ours, theirs = [91.0, 90.2, 90.9], [90.1, 90.0, 90.2]
    groups = grouped(records({"elq": ours, "float": theirs}))
    assert [group.label for group in groups] == ["float", "elq ternary"]
    d = differences(groups[1], groups[0])
    np.testing.assert_allclose(d, np.subtract(ours, theirs))
    low, high = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    assert d.mean() - half_interval(d) == pytest.approx(low, rel=1e-5)
    assert d.mean() + half_interval(d) == pytest.approx(high, rel=1e-5)
    rows = table(groups, groups[0])
    assert rows[2][:7] == ["elq ternary", "6", "3", "90.70", "0.44", "90.20", "91.00"]
    assert rows[2][7:] == ["+0.60", f"{low:+.2f} to {high:+.2f}"]


def test_differences_pair_the_seeds_that_both_have():
    elq, other = grouped(records({"elq": [1.0, 2.0, 5.0], "twn": [0.5, 0.0]}))
    assert differences(elq, other).tolist() == [0.5, 2.0]
    single = grouped(records({"elq": [3.0], "float": [2.0]}))
    assert table(single, reference(single, None))[2][-2:] == ["+1.00", "-"]
    assert reference([elq, other], None) is None
    assert table([elq, other], None)[0][-1] == "most"  # nobody to compare with
    with pytest.raises(ValueError, match=r"no run is 'bwn'; there are: float, elq ternary"):
        reference(single, "bwn")


def test_no_difference_is_taken_from_another_network_or_length():
    elq, other = records({"elq": [3.0], "float": [2.0]})
    elq.config["checkpoint"], other.config["checkpoint"] = {"sha256": "a"}, {"sha256": "b"}
    groups = grouped([elq, other])
    assert table(groups, groups[0])[2][-2:] == ["-", "another checkpoint"]
    other.config["checkpoint"] = {"sha256": "a"}
    groups = grouped([replace(elq, plan=Plan().spread(72)), other])
    assert [row[1] for row in table(groups, groups[0])[1:]] == ["6", "72"]
    assert table(groups, groups[0])[2][-2:] == ["-", "other passes"]
    groups = grouped([replace(elq, config=elq.config | {"seed": 4}), other])
    assert table(groups, groups[0])[2][-2:] == ["-", "no seed in common"]


def test_float_fine_tuning_keeps_every_layer_whatever_is_asked():
    elq, other = records({"elq": [3.0], "float": [2.0]})
    for run in (elq, other):
        run.config["first_last_float"] = True
    assert (elq.label, other.label) == ("elq ternary (first, last layer float)", "float")


def test_runs_that_differ_by_more_than_their_seed_have_no_mean():
    made = records({"elq": [1.0, 2.0]})
    for run, options in zip(made, ({}, {"a1": 2.0}), strict=True):
        run.config["plan"] = Plan(**options).to_json()
    with pytest.raises(ValueError, match=r"elq/0 and elq/1 are both elq ternary, but differ in their plan a1"):
        grouped(made)
    made[1].config["plan"] = made[0].config["plan"] | {"a1": 1.0}
    del made[0].config["plan"]["restart"]  # written before there was this option
    made[1].config.update(command="the same in other words", headline=False)
    assert len(grouped(made)) == 1
    made[1].config["lr"] = 0.1  # as elq quantize writes it
    with pytest.raises(ValueError, match="differ in their lr"):
        grouped(made)
    twice = records({"elq": [1.0, 2.0]})
    twice[1].config["seed"] = 0
    with pytest.raises(ValueError, match="given twice for one seed"):
        grouped(twice)
    other = records({"elq": [1.0], "twn": [2.0]})
    other[1].result["total"] = 50
    with pytest.raises(ValueError, match="different pictures"):
        grouped(other)
    other[1].result["total"] = 100
    for run, data in zip(other, ("mnist", "cifar10"), strict=True):
        run.config["data"] = data
    with pytest.raises(ValueError, match="different pictures: 100 of cifar10, 100 of mnist"):
        grouped(other)


def test_compare_prints_and_writes_a_table(runs, tmp_path, capsys):
    out = tmp_path / "sub" / "table.txt"
    assert main(["compare", *map(str, runs.values()), "-o", str(out)]) == 0
    text = capsys.readouterr().out
    assert text == out.read_text()
    assert text.splitlines()[1].startswith("float ")
    mean = np.mean([json.loads((runs[name] / "result.json").read_text())["top1"] for name in ("ttq", "ttq1")])
    line = next(line for line in text.splitlines() if line.startswith("ttq ternary"))
    assert line.split()[2:5] == ["1.5", "2", f"{mean:.2f}"]
    assert main(["compare", *map(str, runs.values()), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["ttq ternary"]["seeds"] == [0, 1]
    assert {"difference", "half_interval"} <= set(result["ttq ternary"])


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


def test_a_report_holds_its_pictures(runs, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    chosen = [str(runs[name]) for name in ("elq", "binary", "ttq", "float")]
    assert main(["report", *chosen, "-o", str(tmp_path / "report"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    page = Path(result["page"]).read_text()
    inside = [base64.b64decode(data) for data in re.findall(r'src="data:image/png;base64,([^"]+)"', page)]
    assert inside == [Path(path).read_bytes() for path in result["pictures"]]
    assert len(inside) == 1 + 3 * 5 + 1  # together; five of each quantized run; the float one's curves
    assert not re.search(r'(src|href)="(?!data:)', page)  # nothing is fetched
    from PIL import Image

    for path in result["pictures"]:
        plot = np.asarray(Image.open(path).convert("L"))
        assert min(plot.shape) > 200
        assert plot.std() > 5  # something is drawn
    for label in ("elq ternary", "elq binary", "ttq ternary", "float"):
        assert f"<td>{label}</td>" in page


def test_a_report_of_a_plain_quantization_and_of_a_line(runs, tmp_path):
    pytest.importorskip("matplotlib")
    trained = str(runs["elq"].parent / "float.safetensors")
    out = str(tmp_path / "run")
    assert main(["quantize", trained, "--data", "digits", "--method", "inq", "--epochs", "1", "-o", out]) == 0
    assert main(["report", out, "-o", str(tmp_path / "a")]) == 0
    add_run(tmp_path / "runs.jsonl", "kept", RunRecord.read(runs["elq"]), curves=True)
    assert main(["report", f"{tmp_path}/runs.jsonl#kept", "-o", str(tmp_path / "b")]) == 0
    assert len(list((tmp_path / "b").glob("*.png"))) == 5


def test_a_report_names_the_band_of_the_next_freeze():
    pytest.importorskip("matplotlib")
    from elq_ref.runs.report.weights import _next_band

    def band(stage, plan=Plan, **options):
        run = RunRecord("", {}, plan(**options), {}, [], [], [], [])
        return _next_band(run, stage)

    assert [band(stage) for stage in range(-1, 5)] == [None, (0.4, 0.6), (0.3, 0.7), (0.2, 0.8), None, None]
    assert band(1, levels="binary") == pytest.approx((0, 0.4))
    assert band(-1, epochs=(0, 1, 1, 1, 1)) == (0.4, 0.6)
    assert band(0, OrderPlan) is None


def test_without_matplotlib_one_line_says_what_to_install(runs, tmp_path, monkeypatch, capsys):
    for name in [n for n in sys.modules if n.startswith("elq_ref.runs.report")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [n for n in sys.modules if n.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["report", str(runs["elq"]), "-o", str(tmp_path / "report")]) == 2
    error = capsys.readouterr().err.strip()
    assert error == "elq: elq report draws with matplotlib, which is not here: pip install 'elq_ref[plot]'"
    assert not (tmp_path / "report").exists()


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


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        (None, '{"name": "x"', "runs.jsonl line 1 is no JSON"),
        (None, "[1]", "runs.jsonl line 1 has no name"),
        ("name", 3, "runs.jsonl line 1 has no name"),
        ("config", None, "runs.jsonl#x: config lacks plan"),
        ("config", {"plan": {"a9": 1}}, "runs.jsonl#x: config has no plan that can be read: no such option: a9"),
        ("result", {"top1": 3}, "runs.jsonl#x: result lacks correct, total"),
        ("stages", [{"step": 1}], "runs.jsonl#x: stages line 1 lacks stage, frozen"),
        ("passes", {"step": 1}, "runs.jsonl#x: passes: wanted lists"),
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


def test_a_name_twice_is_noticed(tmp_path):
    file = tmp_path / "runs.jsonl"
    add_run(file, "x", records({"elq": [1.0]})[0])
    file.write_text(2 * file.read_text())
    with pytest.raises(FormatError, match="has x twice"):
        read_runs([file])


def test_no_two_of_many_look_alike():
    pytest.importorskip("matplotlib")
    from elq_ref.runs.report.style import look

    looks = [look(place) for place in range(27)]
    assert len(set(looks)) == 27
