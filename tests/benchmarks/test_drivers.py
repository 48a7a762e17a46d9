"""The drivers under benchmarks/: jobs that are stopped, moved to another machine, resumed and skipped; their tables."""

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import children
import pytest

from elq_ref import Plan
from elq_ref.cli import main
from elq_ref.cli.plan_options import changed
from elq_ref.runs.recipes import EXPERIMENTS, Experiment, recipe

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("benchmarks/ is not here (tests run from an installed copy)", allow_module_level=True)
sys.path.insert(0, str(BENCHMARKS))

import ablation  # noqa: E402
import batchnorm_statistics  # noqa: E402
import cifar10_comparison  # noqa: E402
import headline_trials  # noqa: E402
import headlines  # noqa: E402
import jobs as driver  # noqa: E402
import result_text  # noqa: E402
import tuning  # noqa: E402

WEIGHTS = ("conv1.weight", "conv2.weight", "fc.weight")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> str:
    path = str(tmp_path_factory.mktemp("trained") / "float.safetensors")
    assert main(["train", "--model", "digits_cnn", "--data", "digits", "--epochs", "1", "-o", path]) == 0
    return path


@pytest.fixture(autouse=True)
def this_package(monkeypatch):
    for name, value in children.environment().items():
        monkeypatch.setenv(name, value)


def top1_of(folder: Path) -> float:
    return json.loads((folder / "result.json").read_text())["top1"]


def test_stopped_jobs_go_on_elsewhere_and_finished_ones_are_skipped(trained, tmp_path, monkeypatch, capsys):
    words = ("digits", trained, "--passes", "5", "--method")
    jobs = [driver.Job("elq", (*words, "elq")), driver.Job("float", (*words, "float"))]
    here = driver.Places(tmp_path / "runs", tmp_path / "kept")
    with monkeypatch.context() as patch:  # the time is over when the first stage of ELQ is
        saved = tmp_path / "runs" / "elq" / "state.safetensors"
        patch.setattr(driver.time, "monotonic", lambda: 100.0 * saved.exists())
        assert not driver.run_jobs(jobs, here, processes=2, minutes=1)
    assert (tmp_path / "kept" / "unfinished" / "elq" / "state.safetensors").is_file(), capsys.readouterr().out
    shutil.rmtree(tmp_path / "runs")  # another machine
    assert driver.run_jobs(jobs, here, processes=2)
    assert not any((tmp_path / "kept" / "unfinished").iterdir())
    whole = driver.Places(tmp_path / "whole", tmp_path / "whole-kept")
    assert driver.run_jobs(jobs, whole)
    for name in ("config.json", "steps.jsonl", "stages.jsonl", "layers.jsonl", "passes.jsonl"):
        for job in jobs:
            assert (here.kept / job.name / name).read_bytes() == (whole.kept / job.name / name).read_bytes()
    assert (here.kept / "elq" / "net.elq").read_bytes() == (whole.kept / "elq" / "net.elq").read_bytes()
    capsys.readouterr()
    assert driver.run_jobs(jobs, here)
    assert capsys.readouterr().out == ""  # nothing is left to start


def test_a_job_that_fails_says_why_and_the_others_run(trained, tmp_path, capsys):
    jobs = [
        driver.Job("wrong", ("digits", str(tmp_path / "nothing"))),
        driver.Job("right", ("digits", trained, "--passes", "0.2", "--method", "float")),
    ]
    places = driver.Places(tmp_path / "runs", tmp_path / "kept")
    assert not driver.run_jobs(jobs, places)
    said = capsys.readouterr().out
    assert f"wrong: elq: there is no checkpoint {tmp_path / 'nothing'}" in said
    assert "right: finished" in said
    assert list(driver.kept_runs(jobs, places)) == ["right"]


def test_a_driver_that_is_told_to_end_leaves_nobody_behind(trained, tmp_path):
    code = f"""
import sys; sys.path.insert(0, {str(BENCHMARKS)!r})
import jobs
from pathlib import Path
places = jobs.Places(Path("runs"), Path("kept"))
jobs.run_jobs([jobs.Job("long", ("digits", {trained!r}, "--passes", "500"))], places)
"""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    while not (tmp_path / "runs" / "long" / "steps.jsonl").exists():
        time.sleep(0.02)
    process.terminate()
    assert "long: elq: interrupted" in process.communicate(timeout=60)[0]
    assert (tmp_path / "kept" / "unfinished" / "long" / "state.safetensors").is_file()


def test_what_cannot_be_kept_is_said_and_the_others_run(trained, tmp_path, capsys):
    words = ("digits", trained, "--passes", "0.2", "--method", "float")
    places = driver.Places(tmp_path / "runs", tmp_path / "kept")
    places.kept.mkdir()
    (places.kept / "first").write_text("in the way")
    assert not driver.run_jobs([driver.Job(name, words) for name in ("first", "second")], places)
    said = capsys.readouterr().out
    assert "first: finished, but not kept: " in said
    assert str(places.kept / "first") in said
    assert "second: finished" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "nosuch", "nor"], "no run has nosuch or nor in its name"),
        (["--table", "--results", "{dir}/nothing"], "no run is finished in {dir}/nothing"),
        (["--processes", "0"], "wanted at least 1"),
    ],
)
def test_a_driver_refuses_what_leads_nowhere(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["x", *(word.format(dir=tmp_path) for word in words)])
    with pytest.raises(SystemExit) as ended:
        headlines.main()
    assert message.format(dir=tmp_path) in f"{ended.value} {capsys.readouterr().err}"
    assert not list(tmp_path.iterdir())


def test_results_begin_with_the_command_that_made_them(tmp_path, monkeypatch):
    monkeypatch.setenv("ELQ_ISA", "avx2")
    monkeypatch.setattr(sys, "argv", ["/somewhere/roofline.py", "--only", "a b", "-o", "x.txt", "--threads", "2"])
    result_text.keep(tmp_path / "x.txt", "found")
    text = (tmp_path / "x.txt").read_text()
    assert text == "    ELQ_ISA=avx2 python benchmarks/roofline.py --only 'a b' --threads 2\n\nfound\n"


def test_the_comparison_writes_its_table(trained, tmp_path, monkeypatch, capsys):
    results = tmp_path / "results" / "compared"
    arguments = ["x", "--recipe", "digits", "--checkpoint", trained, "--quick", "--seeds", "0", "1"]
    arguments += ["--only", "float", "elq-ternary", "elq-binary-seed"]
    arguments += ["--runs", str(tmp_path / "runs"), "--results", str(results)]
    monkeypatch.setattr(sys, "argv", arguments)
    assert cifar10_comparison.main() == 0
    text = results.with_suffix(".txt").read_text()
    assert "8 of 22 runs are done" in text
    tops = [top1_of(results / f"float-seed{seed}") for seed in (0, 1)]
    row = next(line for line in text.splitlines() if line.startswith("float"))
    assert row.split()[1:4] == ["1", "2", f"{sum(tops) / 2:.2f}"]
    assert "elq reproduce digits --method elq --seed 1 --levels ternary --quick:" in text
    assert "elq reproduce digits --method elq --seed 1 --levels ternary --quick --headline:" in text
    rows = [line.split("  ")[0] for line in text.splitlines() if line.startswith("elq ternary")]
    assert sorted(rows) == 3 * ["elq ternary"] + 3 * ["elq ternary (headline plan)"]  # a row for each reference
    references = re.findall(r"minus (.+?)  ", text)
    assert references == ["float", "elq ternary", "elq binary"]
    assert str(tmp_path) not in text
    monkeypatch.setattr(sys, "argv", [*arguments, "--table"])
    capsys.readouterr()
    assert cifar10_comparison.main() == 0
    assert capsys.readouterr().out.strip() in text


def test_the_ablation_and_the_trials_write_their_tables(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(ablation, "PASSES", 0.3)
    random = ("--method", "order", "--set", "order=random", ablation.SHARES)
    monkeypatch.setattr(ablation, "VARIANTS", {"baseline": (), "random": random})
    monkeypatch.setattr(tuning, "PASSES", 0.2)
    common = ["--recipe", "digits", "--network", trained, "--runs", str(tmp_path / "runs")]
    monkeypatch.setattr(sys, "argv", ["x", *common, "--results", str(tmp_path / "a")])
    assert ablation.main() == 0
    text = (tmp_path / "a.txt").read_text()
    top1 = {name: top1_of(tmp_path / "a" / f"{name}-seed0") for name in ("baseline", "random")}
    rows = {line.split()[0]: line.split()[1:4] for line in text.splitlines() if line.startswith(tuple(top1))}
    rows.pop("random:")  # its settings
    assert rows == {
        "baseline": ["1", f"{top1['baseline']:.2f}", "+0.00"],
        "random": ["1", f"{top1['random']:.2f}", f"{top1['random'] - top1['baseline']:+.2f}"],
    }
    only = ["--only", "twn-ternary-lr0.003", "float-lr0.01"]
    monkeypatch.setattr(sys, "argv", ["x", *common, "--results", str(tmp_path / "t"), *only])
    assert tuning.main() == 0
    text = (tmp_path / "t.txt").read_text()
    assert "2 of 54 runs are done" in text
    line = next(line for line in text.splitlines() if line.startswith("twn"))
    assert line.split()[3] == f"{top1_of(tmp_path / 't' / 'twn-ternary-lr0.003'):.2f}"
    monkeypatch.setattr(headline_trials, "PASSES", 0.3)
    monkeypatch.setattr(sys, "argv", ["x", *common, "--results", str(tmp_path / "h"), "--only", "binary-lr-0.03"])
    assert headline_trials.main() == 0
    text = (tmp_path / "h.txt").read_text()
    line = next(line for line in text.splitlines() if line.startswith("lr 0.03"))
    assert line.split()[2:] == ["-", f"{top1_of(tmp_path / 'h' / 'binary-lr-0.03'):.2f}"]


@pytest.mark.parametrize("name", ablation.SETTINGS)
def test_every_variant_is_a_plan_of_the_same_length(name):
    settings = ablation.SETTINGS[name]
    plan, _ = recipe(ablation.method_of(settings), "ternary", WEIGHTS, passes=ablation.PASSES)
    plan = changed(plan, settings)
    assert isinstance(plan, Plan)
    assert sum(plan.epochs) == pytest.approx(ablation.PASSES, rel=1e-4)


def test_names_of_jobs_are_unlike_and_fit_a_folder():
    for made in (
        ablation.jobs([0, 1], "r", "n"),
        cifar10_comparison.jobs("r", None, [0, 1, 2], ["--first-last-float"]),
        tuning.jobs("r", "n"),
        headline_trials.jobs("r", "n"),
    ):
        names = [job.name for job in made]
        assert len(set(names)) == len(names)
        assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyzW0123456789.-") for name in names)


def test_the_headlines_leave_packed_files_that_give_their_numbers(trained, tmp_path, monkeypatch, capsys):
    results = tmp_path / "results" / "digits"
    arguments = ["x", "--recipe", "digits", "--checkpoint", trained, "--passes", "0.3", "--only", "binary"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--runs", str(tmp_path / "runs"), "--results", str(results)])
    assert headlines.main() == 0
    text = results.with_suffix(".txt").read_text()
    assert "2 of 4 runs are done" in text
    capsys.readouterr()
    for name in ("binary", "binary-firstlast"):
        packed = results.with_name(f"digits-{name}.elq")
        assert main(["eval", str(packed), "--data", "digits", "--json"]) == 0
        right = json.loads(capsys.readouterr().out)["correct"]
        (row,) = (line.split() for line in text.splitlines() if line.startswith(f"{name} "))
        assert row[1:3] == [str(right), f"{top1_of(results / name):.2f}"]
        assert row[4] == packed.name
    sizes = [results.with_name(f"digits-{name}.elq").stat().st_size for name in ("binary", "binary-firstlast")]
    assert sizes[0] < sizes[1]


def test_statistics_of_batchnorm_are_compared_on_held_out_pictures(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(EXPERIMENTS, "digits-held", Experiment("digits_cnn", "digits", 64, hold_out=300))
    held, all_digits = str(tmp_path / "held"), str(tmp_path / "all")
    words = ["--method", "twn", "--passes", "3", "--lr", "0.1"]  # nothing freezes: W_hat is not W
    assert main(["reproduce", "digits-held", trained, *words, "-o", held]) == 0
    assert main(["reproduce", "digits", trained, "--quick", "-o", all_digits]) == 0
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["x", held, "--network", trained])
    assert batchnorm_statistics.main() == 0
    head, row = (re.split(r"  +", line) for line in capsys.readouterr().out.splitlines()[:2])
    cells = dict(zip(head, row, strict=True))
    assert cells["50 batches"] == f"{top1_of(tmp_path / 'held'):.2f}"  # what the run measured on its packed file
    assert float(cells["float network's"]) < float(cells["running averages"])
    monkeypatch.setattr(sys, "argv", ["x", all_digits, "--network", trained])
    with pytest.raises(SystemExit, match="holds no training images out"):
        batchnorm_statistics.main()
