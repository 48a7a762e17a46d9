"""The drivers of benchmarks/accuracy: jobs that are stopped, resumed and skipped, their lines and their tables."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import children
import numpy as np
import pytest

from elq_ref import Plan
from elq_ref.cli import main
from elq_ref.cli.plan_options import changed
from elq_ref.methods import plan_from_json
from elq_ref.runs.recipes import EXPERIMENTS, Experiment, recipe
from elq_ref.training.plans import named_plan

ROOT = Path(__file__).parents[2]
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("benchmarks/ is not here (tests run from a copy)", allow_module_level=True)
sys.path.append(str(ROOT))  # at the end: an elq_ref that is installed goes before the checkout's

from benchmarks.accuracy import (  # noqa: E402
    ablation,
    batchnorm_statistics,
    cifar10_comparison,
    finals,
    headline_trials,
    headlines,
    search,
    tuning,
)
from benchmarks.accuracy import jobs as driver  # noqa: E402

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


def top1_of(results: Path, name: str) -> float:
    (line,) = (line for line in map(json.loads, results.read_text().splitlines()) if line["name"] == name)
    return line["result"]["top1"]


def without_time(results: Path) -> list[dict]:
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    for line in lines:
        del line["result"]["seconds"]
    return lines


def test_stopped_jobs_go_on_and_finished_ones_are_skipped(trained, tmp_path, monkeypatch, capsys):
    words = ("digits", trained, "--passes", "5", "--method")
    jobs = [driver.Job("elq", (*words, "elq")), driver.Job("float", (*words, "float"))]
    here = driver.Series("e", tmp_path / "runs", tmp_path / "results" / "runs.jsonl", curves=True)
    with monkeypatch.context() as patch:  # the time is over when the first stage of ELQ is
        saved = here.folder(jobs[0]) / "state.safetensors"
        patch.setattr(driver.time, "monotonic", lambda: 100.0 * saved.exists())
        assert not driver.run_jobs(jobs, here, processes=2, minutes=1)
    assert "elq" not in here.finished(jobs), capsys.readouterr().out
    assert driver.run_jobs(jobs, here, processes=2)
    whole = driver.Series("e", tmp_path / "whole", tmp_path / "whole.jsonl", curves=True)
    assert driver.run_jobs(jobs, whole)
    assert without_time(here.results) == without_time(whole.results)
    assert [line["name"] for line in without_time(here.results)] == ["e/elq", "e/float"]
    packed = [place.folder(jobs[0]) / "net.elq" for place in (here, whole)]
    assert packed[0].read_bytes() == packed[1].read_bytes()
    assert list(here.results.parent.iterdir()) == [here.results]  # nothing of an unfinished run
    capsys.readouterr()
    assert driver.run_jobs(jobs, here)
    assert capsys.readouterr().out == ""  # nothing is left to start


def test_a_job_that_fails_says_why_and_the_others_run(trained, tmp_path, capsys):
    jobs = [
        driver.Job("wrong", ("digits", str(tmp_path / "nothing"))),
        driver.Job("right", ("digits", trained, "--passes", "0.2", "--method", "float")),
    ]
    place = driver.Series("e", tmp_path / "runs", tmp_path / "runs.jsonl")
    assert not driver.run_jobs(jobs, place)
    said = capsys.readouterr().out
    assert f"wrong: elq: there is no checkpoint {tmp_path / 'nothing'}" in said
    assert "right: finished" in said
    assert list(place.finished(jobs)) == ["right"]
    assert not driver.Series("other", tmp_path / "runs", place.results).finished(jobs)


def test_a_driver_says_how_long_the_rest_will_take(trained, tmp_path, capsys):
    jobs = [driver.Job(name, ("digits", trained, "--passes", "0.2", "--method", "float")) for name in "abc"]
    assert driver.run_jobs(jobs, driver.Series("e", tmp_path / "runs", tmp_path / "runs.jsonl"), processes=1)
    said = re.findall(r"(\d) runs to go, about 0:\d\d:\d\d$", capsys.readouterr().out, re.MULTILINE)
    assert said == ["2", "1"]


@pytest.mark.parametrize(
    ("ages", "processes", "said"),
    [([50.0], 2, "4 runs to go, about 0:04:35"), ([400.0], 1, "4 runs to go, about 0:07:30")],
)
def test_the_rest_takes_as_long_as_what_is_finished(ages, processes, said):
    # three that wait take 150 seconds each, the one that runs what is left of its 150
    assert driver.to_go([100.0, 200.0], 3, ages, processes).strip() == said


def test_a_driver_that_is_told_to_end_leaves_nobody_behind(trained, tmp_path):
    code = f"""
import sys; sys.path.append({str(ROOT)!r})
from benchmarks.accuracy import jobs
from pathlib import Path
place = jobs.Series("e", Path("runs"), Path("runs.jsonl"))
jobs.run_jobs([jobs.Job("long", ("digits", {trained!r}, "--passes", "500"))], place)
"""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    folder = tmp_path / "runs" / "e" / "long"
    while not (folder / "steps.jsonl").exists():
        time.sleep(0.02)
    time.sleep(1)  # a step takes milliseconds; before the first one there is nothing to save
    process.terminate()
    assert "long: elq: interrupted" in process.communicate(timeout=60)[0]
    assert (folder / "state.safetensors").is_file()
    assert not (tmp_path / "runs.jsonl").exists()


def test_what_cannot_be_added_is_said_and_the_others_run(trained, tmp_path, monkeypatch, capsys):
    words = ("digits", trained, "--passes", "0.2", "--method", "float")
    place = driver.Series("e", tmp_path / "runs", tmp_path / "runs.jsonl")
    jobs = [driver.Job(name, words) for name in ("first", "second")]
    add_run = driver.add_run

    def full_disk_at_first(file, name, run, **more):
        if name == "e/first":
            raise OSError(28, "No space left on device", str(file))
        add_run(file, name, run, **more)

    with monkeypatch.context() as patch:
        patch.setattr(driver, "add_run", full_disk_at_first)
        assert not driver.run_jobs(jobs, place)
    said = capsys.readouterr().out
    assert f"first: finished, but not added to {place.results}: [Errno 28] No space left" in said
    assert "second: finished" in said
    assert list(place.finished(jobs)) == ["second"]
    assert driver.run_jobs(jobs, place)  # the run is not made again
    assert list(place.finished(jobs)) == ["first", "second"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "nosuch", "nor"], "no run has nosuch or nor in its name"),
        (["--table", "--results", "{dir}/no.jsonl"], "no run of cifar10-resnet20 is finished in {dir}/no.jsonl"),
        (["--processes", "0"], "wanted at least 1"),
    ],
)
def test_a_driver_refuses_what_leads_nowhere(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["x", *(word.format(dir=tmp_path) for word in words)])
    with pytest.raises(SystemExit) as ended:
        headlines.main()
    assert message.format(dir=tmp_path) in f"{ended.value} {capsys.readouterr().err}"
    assert not list(tmp_path.iterdir())


def test_the_comparison_writes_its_table(trained, tmp_path, monkeypatch, capsys):
    results = tmp_path / "runs.jsonl"
    arguments = ["x", "--recipe", "digits", "--checkpoint", trained, "--quick", "--seeds", "0", "1"]
    arguments += ["--only", "float", "elq-ternary", "elq-binary-seed"]
    arguments += ["--runs", str(tmp_path / "runs"), "--results", str(results), "--name", "compared"]
    monkeypatch.setattr(sys, "argv", arguments)
    assert cifar10_comparison.main() == 0
    text = (tmp_path / "compared.txt").read_text()
    assert "10 of 34 runs are done" in text
    tops = [top1_of(results, f"compared/float-seed{seed}") for seed in (0, 1)]
    row = next(line for line in text.splitlines() if line.startswith("float"))
    assert row.split()[1:4] == ["1", "2", f"{sum(tops) / 2:.2f}"]
    assert "elq reproduce digits --method elq --seed 1 --levels ternary --quick:" in text
    assert "elq reproduce digits --method elq --seed 1 --levels ternary --quick --headline:" in text
    rows = [line.split("  ")[0] for line in text.splitlines() if line.startswith("elq ternary")]
    labels = ["elq ternary", "elq ternary (best preset)", "elq ternary (headline plan)"]
    assert sorted(rows) == sorted(4 * labels)  # a row for each reference
    references = re.findall(r"minus (.+?)  ", text)
    assert references == ["float", "elq ternary", "elq binary", "elq ternary (best preset)"]
    assert len(re.findall("over the images", text)) == len(references)
    (best,) = (line for line in results.read_text().splitlines() if "/elq-ternary-best-seed0" in line)
    plan, sgd = named_plan("best", levels="ternary")
    assert plan_from_json(json.loads(best)["config"]["plan"]) == plan.spread(1)
    assert json.loads(best)["config"]["sgd"]["lr"] == sgd.lr
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
    results = tmp_path / "runs.jsonl"
    common = ["--recipe", "digits", "--network", trained, "--runs", str(tmp_path / "runs"), "--results", str(results)]
    monkeypatch.setattr(sys, "argv", ["x", *common])
    assert ablation.main() == 0
    text = (tmp_path / "ablation.txt").read_text()
    top1 = {name: top1_of(results, f"ablation/{name}-seed0") for name in ("baseline", "random")}
    rows = {line.split()[0]: line.split()[1:4] for line in text.splitlines() if line.startswith(tuple(top1))}
    rows.pop("random:")  # its settings
    assert rows == {
        "baseline": ["1", f"{top1['baseline']:.2f}", "+0.00"],
        "random": ["1", f"{top1['random']:.2f}", f"{top1['random'] - top1['baseline']:+.2f}"],
    }
    only = ["--only", "twn-ternary-lr0.003", "float-lr0.01"]
    monkeypatch.setattr(sys, "argv", ["x", *common, *only])
    assert tuning.main() == 0
    text = (tmp_path / "tuning.txt").read_text()
    assert "2 of 78 runs are done" in text
    line = next(line for line in text.splitlines() if line.startswith("twn"))
    assert line.split()[3] == f"{top1_of(results, 'tuning/twn-ternary-lr0.003'):.2f}"
    monkeypatch.setattr(headline_trials, "PASSES", 0.3)
    monkeypatch.setattr(sys, "argv", ["x", *common, "--only", "binary-lr-0.03"])
    assert headline_trials.main() == 0
    text = (tmp_path / "headline_trials.txt").read_text()
    line = next(line for line in text.splitlines() if line.startswith("lr 0.03"))
    assert line.split()[2:] == ["-", f"{top1_of(results, 'headline_trials/binary-lr-0.03'):.2f}"]


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
        search.jobs("r", "n", 12, [0, 1]),
    ):
        names = [job.name for job in made]
        assert len(set(names)) == len(names)
        assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyzW0123456789.-") for name in names)


def long_binary_runs(driver, trained, tmp_path, monkeypatch, capsys) -> tuple[str, dict[str, list[str]]]:
    """The text of a driver of long runs, of those in binary, and its rows, which the packed files bear out."""
    results = tmp_path / "runs.jsonl"
    arguments = ["x", "--recipe", "digits", "--checkpoint", trained, "--passes", "0.3", "--only", "binary"]
    arguments += ["--runs", str(tmp_path / "runs"), "--results", str(results), "--name", "digits"]
    monkeypatch.setattr(sys, "argv", arguments)
    assert driver.main() == 0
    text = (tmp_path / "digits.txt").read_text()
    rows = {line.split()[0]: line.split() for line in text.splitlines() if re.match(r"binary\S* +\d", line)}
    capsys.readouterr()
    for name, row in rows.items():
        packed = results.with_name(f"digits-{name}.elq")
        assert main(["eval", str(packed), "--data", "digits", "--json"]) == 0
        right = json.loads(capsys.readouterr().out)["correct"]
        assert row[1:3] == [str(right), f"{top1_of(results, f'digits/{name}'):.2f}"]
        assert row[4] == packed.name
    return text, rows


def test_the_headlines_leave_packed_files_that_give_their_numbers(trained, tmp_path, monkeypatch, capsys):
    text, rows = long_binary_runs(headlines, trained, tmp_path, monkeypatch, capsys)
    assert list(rows) == ["binary", "binary-firstlast"]
    assert "2 of 4 runs are done" in text
    sizes = [(tmp_path / f"digits-{name}.elq").stat().st_size for name in rows]
    assert sizes[0] < sizes[1]


def test_the_finals_are_one_recipe_over_seeds_and_say_their_means(trained, tmp_path, monkeypatch, capsys):
    text, rows = long_binary_runs(finals, trained, tmp_path, monkeypatch, capsys)
    assert list(rows) == ["binary-seed0", "binary-seed1", "binary-seed2"]
    assert "3 of 6 runs are done" in text
    top1 = [100 * int(row[1]) / 500 for row in rows.values()]
    assert f"binary: mean of 3 seeds {np.mean(top1):.2f}, sd {np.std(top1, ddof=1):.2f}" in text
    for seed, name in enumerate(rows):
        config = json.loads((tmp_path / "runs" / "digits" / name / "config.json").read_text())
        assert (config["seed"], config["plan"]["alpha_from"]) == (seed, "pretrained")
        assert (config["sgd"]["lr"], config["sgd"]["weight_decay"]) == (0.03, 5e-4)
        shares = np.array(config["plan"]["epochs"]) / sum(config["plan"]["epochs"])
        np.testing.assert_allclose(shares, np.array([66, 1.5, 1.5, 1.5, 1.5]) / 72, rtol=1e-12)
    moving = {job.name for job in finals.jobs("r", None, None) if "alpha_from=stage0" in job.arguments}
    assert moving == {f"ternary-seed{seed}" for seed in range(3)}


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
    result = json.loads((tmp_path / "held" / "result.json").read_text())
    assert cells["50 batches"] == f"{result['top1']:.2f}"  # what the run measured on its packed file
    assert float(cells["float network's"]) < float(cells["running averages"])
    monkeypatch.setattr(sys, "argv", ["x", all_digits, "--network", trained])
    with pytest.raises(SystemExit, match="holds no training images out"):
        batchnorm_statistics.main()
