"""The commands as a person types them: results, files, exit codes, one-line errors."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import children
import numpy as np
import pytest
from PIL import Image

from elq_ref import checkpoint, datasets, kernels, models
from elq_ref.cli import main, train
from elq_ref.datasets import bundled, digits
from elq_ref.runs.record import RunRecord
from elq_ref.runtime import PackedNetwork, Session, interpret
from elq_ref.training import evaluate
from elq_ref.training.plans import PLANS


def run(capsys, *args: str) -> tuple[int, dict, str]:
    code = main([*map(str, args)])
    captured = capsys.readouterr()
    return code, json.loads(captured.out) if "--json" in args and captured.out else {}, captured.err


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("trained") / "float.safetensors"
    assert (
        main(["train", "--model", "digits_cnn", "--data", "digits", "--epochs", "4", "--lr", "0.1", "-o", str(path)])
        == 0
    )
    return path


@pytest.fixture(scope="module")
def quantized(trained, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("quantized") / "run"
    assert (
        main(["quantize", str(trained), "--data", "digits", "--epochs", "5", "--batch-size", "64", "-o", str(out)]) == 0
    )
    return out


def test_train_writes_a_checkpoint_that_says_what_it_is(trained, capsys):
    file = checkpoint.read(trained)
    assert file.metadata["model"] == "digits_cnn"
    assert file.metadata["input_shape"] == [1, 8, 8]
    assert "conv1.weight" in file.tensors
    assert not Path(f"{trained}.run").exists()
    code, result, _ = run(capsys, "eval", trained, "--data", "digits", "--json")
    assert code == 0
    assert result["total"] == 500
    assert result["top1"] == result["correct"] / 5 > 85


def test_a_held_out_part_trains_nothing_and_the_test_set_is_not_read(tmp_path, monkeypatch, capsys):
    asked = []
    load = datasets.load
    monkeypatch.setattr("elq_ref.datasets.loading.load", lambda *a: asked.append(a) or load(*a))
    seen = []
    fit = train.fit
    monkeypatch.setattr(train, "fit", lambda net, data, *a, **k: seen.append(data) or fit(net, data, *a, **k))
    command = ["train", "--model", "digits_cnn", "--data", "digits", "--epochs", "0.5", "--hold-out", "200"]
    code, result, _ = run(capsys, *command, "-o", tmp_path / "net.safetensors", "--json")
    assert code == 0
    assert result["total"] == 200
    assert [split for *_, split in asked] == ["train"]
    rest, held = datasets.hold_out(digits()[0], 200)
    np.testing.assert_array_equal(seen[0].dataset.images, rest.images)
    net = models.digits_cnn()
    checkpoint.load(net, tmp_path / "net.safetensors")
    assert evaluate.count_correct(net, held) == result["correct"]


def test_quantize_leaves_everything_a_reader_needs(quantized):
    names = {p.name for p in quantized.iterdir()}
    assert names == {
        "config.json",
        "steps.jsonl",
        "stages.jsonl",
        "layers.jsonl",
        "state.safetensors",
        "quantized.safetensors",
        "net.elq",
        "result.json",
    }
    steps = [json.loads(line) for line in (quantized / "steps.jsonl").read_text().splitlines()]
    assert [s["step"] for s in steps] == list(range(1, len(steps) + 1))
    stages = [json.loads(line) for line in (quantized / "stages.jsonl").read_text().splitlines()]
    assert stages[-1]["frozen"] == 1
    assert stages[-1]["error"] == 0
    assert {"loss_hat", "top1", "top1_hat", "frozen"} <= set(stages[0])


def test_quantize_takes_a_preset_of_any_length_and_says_where_the_weights_stand(trained, tmp_path, capsys):
    command = ["quantize", str(trained), "--data", "digits", "--preset", "best", "--epochs", "0.6"]
    assert main([*command, "--set", "tail=clip", "-o", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().err
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    epochs = [0.55, 0.0125, 0.0125, 0.0125, 0.0125]
    assert config["plan"]["epochs"] == pytest.approx(epochs)
    assert (config["plan"]["restart"], config["plan"]["tail"], config["lr"]) == (0.3, "clip", 0.01)
    stages = [json.loads(line) for line in (tmp_path / "run" / "stages.jsonl").read_text().splitlines()]
    for stage in stages:
        assert f"band {stage['band']:.1%}  beyond {stage['beyond']:.1%}" in said
    assert stages[0]["band"] > 0 == stages[0]["beyond"]  # clipped
    run = RunRecord.read(tmp_path / "run")
    assert run.label == "elq ternary (best preset)"
    assert main([*command, "--method", "twn", "-o", str(tmp_path / "other")]) == 2
    assert "no best plan for method 'twn'; there are: elq ternary, elq binary" in capsys.readouterr().err


def test_the_packed_file_is_the_quantized_network(quantized, capsys):
    packed = PackedNetwork.load(quantized / "net.elq")
    tensors = checkpoint.read(quantized / "quantized.safetensors").tensors
    for layer in packed.layers:
        w_hat = packed.alpha(layer).reshape(-1, *(1,) * (tensors[f"{layer}.weight"].ndim - 1)) * packed.codes(layer)
        np.testing.assert_array_equal(w_hat, tensors[f"{layer}.weight"])
    result = json.loads((quantized / "result.json").read_text())
    assert packed.weight_bytes == result["weight_bytes"] < result["float_bytes"] / 15
    _, test = digits()
    oracle = interpret(packed.graph, test.normalized()).argmax(1)
    assert int((oracle == test.labels).sum()) == result["correct"]
    for file in ("net.elq", "quantized.safetensors"):
        code, seen, _ = run(capsys, "eval", quantized / file, "--data", "digits", "--json")
        assert code == 0
        assert abs(seen["correct"] - result["correct"]) <= 1  # other summation order: a tie may fall differently


def test_pack_of_a_quantized_and_of_a_float_checkpoint(quantized, trained, tmp_path, capsys):
    code, result, _ = run(
        capsys, "pack", quantized / "quantized.safetensors", "--data", "digits", "-o", tmp_path / "a.elq", "--json"
    )
    assert code == 0
    again = PackedNetwork.load(tmp_path / "a.elq")
    x = digits()[1].images[:20]
    np.testing.assert_array_equal(Session(again)(x), Session(PackedNetwork.load(quantized / "net.elq"))(x))
    code, result, _ = run(capsys, "pack", trained, "--data", "digits", "-o", tmp_path / "b.elq", "--json")
    assert code == 0
    assert result["weight_bytes"] == result["float_bytes"]


def test_run_classifies_pictures_of_any_kind(quantized, tmp_path, capsys):
    rgba = tmp_path / "odd.png"
    Image.fromarray(np.full((13, 7, 4), 200, np.uint8)).save(rgba)
    code, result, _ = run(capsys, "run", quantized / "net.elq", bundled("digit-3.png"), rgba, "--top", "2", "--json")
    assert code == 0
    first, second = result["pictures"]
    assert first["top"][0]["class"] == "3"
    assert len(second["top"]) == 2
    assert first["top"][0]["probability"] >= first["top"][1]["probability"]


def test_summary_and_info(quantized, trained, capsys):
    for file in (quantized / "net.elq", trained):
        assert main(["summary", str(file)]) == 0
        assert "conv1" in capsys.readouterr().out
    code, result, _ = run(capsys, "info", "--json")
    assert code == 0
    assert result["training"]["kernel"].startswith(("C ", "NumPy"))


def test_crosscheck_records_and_compares(trained, tmp_path, capsys):
    common = ["crosscheck", "record", trained, "--data", "digits", "--steps", "2", "--batch-size", "16"]
    for name, more in (("a", []), ("b", ["--dtype", "float32"]), ("c", ["--set", "sign=computed", "a1=0.5"])):
        assert run(capsys, *common, "-o", tmp_path / name, *more)[0] == 0
    code, result, _ = run(capsys, "crosscheck", "compare", tmp_path / "a", tmp_path / "b.safetensors", "--json")
    assert (code, result["ok"], result["differing"]) == (0, True, 0)
    code, result, _ = run(capsys, "crosscheck", "compare", tmp_path / "a", tmp_path / "c", "--json")
    assert code == 1
    assert "step 0  sign" in result["first"] or "step 0  grad" in result["first"]
    assert main(["crosscheck", "schema"]) == 0
    assert "STEP/KIND" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "value"), [("ELQ_ISA", "mmx"), ("ELQ_NUM_THREADS", "many")])
def test_a_wrong_setting_is_one_line(name, value):
    if kernels.info()["kernel"] == "NumPy":
        pytest.skip("the extensions are not built")
    done = children.run_python("from elq_ref.cli import main; raise SystemExit(main(['info']))", **{name: value})
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert f"{name} is '{value}'" in done.stderr


def test_an_interrupted_demo_promises_no_resume(monkeypatch, tmp_path, capsys):
    from elq_ref.cli import demo

    def interrupted(*_):
        raise KeyboardInterrupt("somewhere holds the run after step 3")

    monkeypatch.setattr(demo, "train_float", interrupted)
    code, _, error = run(capsys, "demo", "--out", tmp_path)
    assert code == 130
    assert error.endswith("elq: interrupted: somewhere holds the run after step 3\n")


def test_an_interrupt_that_comes_where_nothing_can_be_raised_is_not_lost():
    """In a destructor Python prints it and goes on; so do generators that are closed while they are collected."""
    code = """
import signal, sys, time
from elq_ref import cli

class Closing:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

def work(words):
    try:
        Closing()
        time.sleep(20)
    except KeyboardInterrupt:
        return 130
    return 0

cli._run = work
sys.exit(cli.main())
"""
    done = children.run_python(code)
    assert (done.returncode, done.stderr) == (130, "")


def test_a_missing_extension_is_said_once(trained, monkeypatch, capsys):
    monkeypatch.setattr(kernels, "info", lambda: {"kernel": "NumPy", "threads": 1, "reason": "nothing is built"})
    code, _, error = run(capsys, "eval", trained, "--data", "digits", "--json")
    assert code == 0
    assert error == "elq: nothing is built: NumPy computes instead, 10 to 20 times as slowly\n"


@pytest.fixture
def bad(tmp_path, quantized, trained) -> dict[str, Path]:
    (tmp_path / "empty.safetensors").touch()
    (tmp_path / "text.png").write_text("no picture")
    content = (quantized / "net.elq").read_bytes()
    (tmp_path / "half.elq").write_bytes(content[: len(content) // 2])
    other = models.lenet5((1, 8, 8))
    checkpoint.write(tmp_path / "other.safetensors", other.state_dict(), {})
    return {"dir": tmp_path, "net": quantized / "net.elq", "trained": trained}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["eval", "{trained}", "--data", "{dir}/nowhere"], ["nowhere"]),
        (["eval", "{trained}", "--data", "cifar10", "--data-dir", "{dir}"], ["test_batch.bin"]),
        (["eval", "{dir}/empty.safetensors", "--model", "lenet5", "--data", "digits"], ["empty.safetensors"]),
        (["eval", "{dir}/missing.safetensors", "--data", "digits"], ["missing.safetensors"]),
        (
            ["eval", "{dir}/other.safetensors", "--model", "digits_cnn", "--data", "digits"],
            [
                "missing: bn1.weight",
                "unexpected: conv1.bias (6,), conv2.bias (16,)",
                "conv1.weight (6, 1, 5, 5) instead of (32, 1, 3, 3)",
            ],
        ),
        (["eval", "{dir}/other.safetensors", "--data", "digits"], ["--model", "lenet5"]),
        (["train", "--model", "alexnet2", "--data", "digits", "-o", "{dir}/x"], ["alexnet2", "lenet5"]),
        (["train", "--model", "digits_cnn", "--data", "digits", "-o", "{dir}"], ["{dir} is a folder"]),
        (["train", "--model", "digits_cnn", "--data", "digits", "--epochs", "inf", "-o", "{dir}/x"], ["inf", "finite"]),
        (["run", "{net}", "{dir}/text.png"], ["text.png"]),
        (["run", "{dir}/half.elq", "{dir}/text.png"], ["half.elq"]),
        (["run", "{net}", "{dir}/missing.png"], ["missing.png"]),
        (["eval", "{dir}/half.elq", "--data", "digits"], ["half.elq"]),
        (["quantize", "{trained}", "--data", "digits", "--set", "a3=1", "-o", "{dir}/r"], ["a3=1", "a1"]),
        (["quantize", "{trained}", "--data", "digits", "--set", "a1=x", "-o", "{dir}/r"], ["a1=x", "float"]),
        (["quantize", "{trained}", "--data", "digits", "--method", "twin", "-o", "{dir}/r"], ["twin", "elq"]),
        (["quantize", "{trained}", "--data", "digits", "-o", "{dir}/r", "--resume"], ["no run to resume"]),
        (["quantize", "{trained}", "--data", "digits", "--epochs", "-1", "-o", "{dir}/r"], ["-1", "> 0"]),
        (["eval"], ["required"]),
        (["nonsense"], ["nonsense"]),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_2(bad, args, words, capsys):
    try:
        code = main([a.format(**bad) for a in args])
    except SystemExit as stop:  # argparse
        code = stop.code
    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    lines = [line for line in captured.err.strip().splitlines() if "NumPy computes instead" not in line]
    assert len(lines) == 1
    assert all(word.format(**bad) in captured.err for word in words), captured.err
    assert "Traceback" not in captured.err
    assert not list(bad["dir"].glob("*.run"))  # nothing in the way of the next try


def test_a_bar_ends_before_the_error_that_stopped_it(bad, monkeypatch, capsys):
    class Bar:
        def __init__(self, items, **_):
            self.items = items

        def __iter__(self):
            return iter(self.items)

        def close(self):
            print("bar closed", file=sys.stderr)

    monkeypatch.setattr("tqdm.tqdm", Bar)
    monkeypatch.setattr("elq_ref.cli.output._is_terminal", lambda: True)
    assert main(["run", str(bad["net"]), str(bad["dir"] / "text.png")]) == 2
    closed, error = capsys.readouterr().err.splitlines()
    assert closed == "bar closed"
    assert error.startswith("elq: ")


def test_a_table_that_cannot_be_written_names_the_path_that_was_given(tmp_path):
    if not Path("/proc/self").is_dir():
        pytest.skip("no /proc, where nothing can be written")
    from elq_ref.files import atomic_write

    with pytest.raises(OSError, match=r"/proc/table\.txt") as caught, atomic_write("/proc/table.txt") as temporary:
        temporary.write_text("")
    assert caught.value.filename == "/proc/table.txt"
    with pytest.raises(FileNotFoundError) as caught, atomic_write(tmp_path / "never"):
        (tmp_path / "source").read_text()
    assert caught.value.filename == str(tmp_path / "source")


def test_a_second_run_does_not_overwrite_the_first(quantized, trained, capsys):
    code, _, error = run(capsys, "quantize", trained, "--data", "digits", "-o", quantized)
    assert code == 2
    assert "--resume" in error


def start(trained: Path, out: Path, *more: str) -> subprocess.Popen:
    command = [
        sys.executable,
        "-m",
        "elq_ref",
        "quantize",
        trained,
        "--data",
        "digits",
        "--epochs",
        "5",
        "--batch-size",
        "64",
        "-o",
        out,
    ]
    return subprocess.Popen(
        [*map(str, command), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=children.FOLDER,
        env=children.environment(),
    )


def wait_for_lines(path: Path, count: int) -> None:
    end = time.monotonic() + 60
    while not path.is_file() or path.read_text().count("\n") < count:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_killed_and_interrupted_runs_go_on_to_the_same_bits(quantized, trained, tmp_path):
    """Stopped by kill -9 after a stage, resumed, stopped by Ctrl-C, resumed."""
    out = tmp_path / "run"
    process = start(trained, out)
    wait_for_lines(out / "stages.jsonl", 1)
    process.kill()
    process.communicate()
    process = start(trained, out, "--resume")
    wait_for_lines(out / "stages.jsonl", 2)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert b"--resume goes on" in error
    process = start(trained, out, "--resume")
    _, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    for name in ("net.elq", "quantized.safetensors", "steps.jsonl", "stages.jsonl"):
        assert (out / name).read_bytes() == (quantized / name).read_bytes(), name


def test_a_full_disk_is_one_line_and_loses_nothing(trained, tmp_path, monkeypatch, capsys):
    before = trained.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device", "somewhere")

    monkeypatch.setattr("elq_ref.files.os.replace", full)
    code, _, error = run(capsys, "train", "--model", "digits_cnn", "--data", "digits", "--epochs", "0.1", "-o", trained)
    assert code == 2
    assert "No space left on device" in error
    assert trained.read_bytes() == before
    shutil.rmtree(f"{trained}.run")


def test_demo_names_its_numbers(tmp_path, monkeypatch, capsys):
    from elq_ref.cli import demo

    monkeypatch.setattr(demo, "FLOAT_EPOCHS", 3)
    short = {key: choice._replace(plan=choice.plan.spread(2.5)) for key, choice in PLANS["demo"].items()}
    monkeypatch.setitem(PLANS, "demo", short)
    code, result, error = run(capsys, "demo", "--out", tmp_path / "demo", "--json")
    assert code == 0
    assert {"float", "ternary", "binary", "seconds", "folder"} == set(result)
    for levels, ratio in (("ternary", 15.5), ("binary", 31)):
        assert result["float"]["weight_bytes"] / result[levels]["weight_bytes"] > ratio
        assert result[levels]["difference"] < 1e-4
        assert 0 <= result[levels]["top1"] <= 100
    assert error.count("stage 4/4  frozen 100.0%") == 2
