"""What is committed under benchmarks/results: tables and plots come from runs.jsonl again, results name commands."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("benchmarks/ is not here (tests run from a copy)", allow_module_level=True)
sys.path.append(str(ROOT))  # at the end: an elq_ref that is installed goes before the checkout's

import benchmarks  # noqa: E402
from benchmarks import entry, result_text  # noqa: E402
from benchmarks.accuracy import ablation, cifar10_comparison, headline_trials, headlines, plots, search, tuning  # noqa: E402
from benchmarks.speed import infer_kernels  # noqa: E402
from elq_ref.cli import main  # noqa: E402
from elq_ref.runs.record import RunRecord, names_in  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results"
TABLES = {
    "ablation": ablation,
    "cifar10_comparison": cifar10_comparison,
    "headline_trials": headline_trials,
    "search_12_passes": search,
    "tuning": tuning,
    "cifar10-resnet20": headlines,
}


@pytest.mark.parametrize("name", TABLES)
def test_every_table_of_runs_comes_from_the_file_of_runs_again(name, tmp_path, monkeypatch):
    shutil.copy(RESULTS / "runs.jsonl", tmp_path)
    monkeypatch.setattr(sys, "argv", ["x", "--table", "--results", str(tmp_path / "runs.jsonl")])
    assert TABLES[name].main() == 0
    assert (tmp_path / f"{name}.txt").read_text() == (RESULTS / f"{name}.txt").read_text()
    assert len(list(tmp_path.iterdir())) == 2  # no packed network without its run


def test_compare_says_of_the_lines_what_the_table_says(capsys):
    text = (RESULTS / "cifar10_comparison.txt").read_text()
    for against in ("float", "elq ternary", "elq binary"):
        assert main(["compare", f"{RESULTS}/runs.jsonl#cifar10_comparison/*", "--against", against]) == 0
        assert capsys.readouterr().out in text


@pytest.mark.parametrize("kind", ["ternary", "binary", "ternary-firstlast", "binary-firstlast"])
def test_the_headline_files_are_those_of_the_lines(kind):
    from elq_ref.runtime import PackedNetwork

    result = RunRecord.read(f"{RESULTS}/runs.jsonl#cifar10-resnet20/{kind}").result
    packed = PackedNetwork.load(RESULTS / f"cifar10-resnet20-{kind}.elq")
    assert (packed.weight_bytes, packed.float_bytes) == (result["weight_bytes"], result["float_bytes"])


def test_the_file_of_runs_has_the_runs_of_the_tables_in_the_order_of_their_names():
    names = names_in(RESULTS / "runs.jsonl")
    assert names == sorted(names)
    assert {name.partition("/")[0] for name in names} == set(TABLES)


def test_no_folder_and_no_more_than_fits_lies_there():
    files = list(RESULTS.iterdir())
    assert all(path.is_file() for path in files)
    assert {path.suffix for path in files} <= {".txt", ".json", ".jsonl", ".elq"}
    assert all(path.with_suffix(".txt") in files for path in files if path.suffix == ".json")


def test_the_pictures_of_the_documentation_can_be_drawn_again(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    from PIL import Image

    monkeypatch.setattr(sys, "argv", ["x", "--results", str(RESULTS / "runs.jsonl"), "-o", str(tmp_path)])
    plots.main()
    committed = ROOT / "docs" / "plots"
    names = sorted(path.name for path in tmp_path.iterdir())
    if committed.is_dir():
        assert names == sorted(path.name for path in committed.iterdir())
    for name in names:
        assert min(Image.open(tmp_path / name).size) > 200


@pytest.mark.parametrize("folder", ["speed", "accuracy", "embedded"])
def test_one_entry_lists_and_runs_the_drivers(folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["x", "--list"])
    assert entry.run(folder) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    names = [line.split()[0] for line in lines]
    with_main = [
        path.stem for path in (ROOT / "benchmarks" / folder).glob("*.py") if "\ndef main()" in path.read_text()
    ]
    assert names == sorted(with_main)
    assert all(len(line.split()) > 4 for line in lines)  # something is said of each
    monkeypatch.setattr(sys, "argv", ["x", "nosuch"])
    assert entry.run(folder) == 2
    error = capsys.readouterr().err
    assert "no benchmark is called nosuch; there are " in error
    assert names[0] in error
    monkeypatch.setattr(sys, "argv", ["x", names[0], "--help"])
    with pytest.raises(SystemExit) as ended:
        entry.run(folder)
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: python -m benchmarks.{folder} {names[0]} ")


def test_every_driver_says_its_own_command():
    for folder in ("speed", "accuracy", "embedded"):
        for name in entry.listed(folder):
            text = (ROOT / "benchmarks" / folder / f"{name}.py").read_text()
            assert f"python -m benchmarks.{folder} {name}" in text, name


def test_results_begin_with_the_command_that_made_them_and_have_figures_beside(tmp_path, monkeypatch):
    monkeypatch.setenv("ELQ_ISA", "generic")
    words = ["--only", "a b", "-o", "x.txt", "--threads", "2"]
    monkeypatch.setattr(sys, "argv", ["python -m benchmarks.speed roofline", *words])
    result_text.write_result(tmp_path / "x.txt", "found", {"gmacs": 1.5})
    command = "ELQ_ISA=generic python -m benchmarks.speed roofline --only 'a b' --threads 2"
    assert (tmp_path / "x.txt").read_text() == f"    {command}\n\nfound\n"
    read = json.loads((tmp_path / "x.json").read_text())
    assert read["command"] == command
    assert read["figures"] == {"gmacs": 1.5}
    assert {"date", "cpu", "kernel", "runtime_kernel", "numpy"} <= set(read["about"])
    result_text.write_result(None, "found", {})
    assert len(list(tmp_path.iterdir())) == 2


def test_a_result_is_a_text(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["x", "-o", "figures.json"])
    with pytest.raises(SystemExit):
        infer_kernels.main()
    assert "figures.json: wanted a name that ends in .txt" in capsys.readouterr().err


def test_figures_of_the_kernels_are_those_of_their_text():
    text = (RESULTS / "infer_kernels_i8.txt").read_text()
    figures = infer_kernels.figures(text)
    assert figures["gmacs_limits"] == {"float": 59.1, "int8": 236.4}
    assert len(figures["kernels"]) == sum(line.endswith(" tasks") for line in text.splitlines())
    assert figures["kernels"][0] == {
        "layer": "resnet20 first", "kernel": "elq_conv_i8_t2__avx512vnni",
        "microseconds": 4.85, "gmacs": 91.3, "share": 0.39, "tasks": 2,
    }  # fmt: skip


def test_commands_in_results_and_documentation_are_drivers():
    pages = [*sorted((ROOT / "docs").rglob("*.md")), *sorted(RESULTS.glob("*.txt"))]
    texts = {page: page.read_text() for page in pages}
    found = [command for text in texts.values() for command in re.findall(r"-m benchmarks\.(\w+) (\w+)", text)]
    assert len(found) > 20
    for folder, name in found:
        assert name in entry.listed(folder), f"{folder} {name}"
    assert [str(page) for page, text in texts.items() if "python benchmarks/" in text] == []


def test_an_installed_package_goes_before_the_checkout():
    assert sys.path[-1] == str(benchmarks.ROOT)
