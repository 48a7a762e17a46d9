"""Somebody's ONNX file and a folder of photographs: fine-tuned, quantized, run; and each mistake in one line."""

import argparse
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from photographs import photographs
from picture_nets import run
from PIL import Image
from theirs import mobile

from elq_ref import checkpoint
from elq_ref.cli import main, quantize, train
from elq_ref.runs.folder import RunFolder
from elq_ref.runtime import PackedNetwork

pytest.importorskip("onnx", reason="the package onnx is not installed")

QUICK = ("--epochs", "1", "--batch-size", "8")
MEANS = ("--mean", "0.5,0.5,0.5", "--std", "0.25,0.25,0.25")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """theirs.onnx of seven classes, three.onnx of three, photos/ of three."""
    folder = tmp_path_factory.mktemp("theirs")
    mobile(folder / "theirs.onnx")
    mobile(folder / "three.onnx", classes=3)
    photographs(folder / "photos", each=6)
    return folder


@pytest.fixture(scope="module")
def tuned(folder) -> Path:
    path = folder / "float.safetensors"
    words = ["train", folder / "theirs.onnx", "--data", folder / "photos", "--classes-from", "data", *QUICK, "-o", path]
    assert main([*map(str, words)]) == 0
    return path


def refused(capsys, *words):
    """What a command says that ends with 2 and one line."""
    code, out, error = run(capsys, *words)
    assert (code, out, error.count("\n")) == (2, "", 1), error
    return error


def test_fine_tuning_keeps_all_layers_but_the_last(folder, tuned):
    file = checkpoint.read(tuned)
    state, theirs = file.tensors, checkpoint.read(folder / "theirs.onnx").tensors
    assert file.info.classes == ("cat", "dog", "fox")
    assert state["head.weight"].shape == (3, 12)
    for name in ("stem", "deep", "point"):
        rows = [a.reshape(len(a), -1) for a in (theirs[f"{name}.weight"], state[f"{name}.weight"])]
        same = [np.corrcoef(*pair)[0, 1] for pair in zip(*rows, strict=True)]
        assert min(same) > 0.9  # they are theirs, divided and trained a little
        assert f"{name}_norm.running_var" in state
        assert f"{name}.bias" not in state


def test_without_training_the_network_is_theirs(folder, tmp_path, capsys):
    """Restored BatchNorm changes no answer: at a learning rate of nothing the right answers are those of theirs."""
    words = ("train", folder / "three.onnx", "--data", folder / "photos", *MEANS, *QUICK, "--freeze-batchnorm")
    _, trained, said = run(capsys, *words, "--lr", "1e-30", "-o", tmp_path / "same.safetensors", "--json")
    assert "BatchNorm is put back behind 3 convolutions without it: stem_norm, deep_norm, point_norm" in said
    code, theirs, _ = run(capsys, "eval", folder / "three.onnx", "--data", folder / "photos", *MEANS, "--json")
    assert code == 0
    assert theirs["correct"] == trained["correct"]
    state, before = (checkpoint.read(p).tensors for p in (tmp_path / "same.safetensors", folder / "three.onnx"))
    ratio = np.abs(before["deep.weight"] / state["deep.weight"])
    np.testing.assert_array_equal(np.frexp(ratio)[0], 0.5)  # powers of two


def test_training_from_a_file_goes_on_where_it_was_stopped(folder, tmp_path, capsys, monkeypatch):
    words = ("train", folder / "theirs.onnx", "--data", folder / "photos", "--classes-from", "data", "--epochs", "2")
    words += ("--batch-size", "8")
    assert run(capsys, *words, "-o", tmp_path / "whole.safetensors")[0] == 0
    follow = RunFolder.follow

    def stopped(self, steps):
        for number, step in enumerate(follow(self, steps)):
            yield step
            if number == 3:
                step.state.save(self.state_path)
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "follow", stopped)
        assert run(capsys, *words, "-o", tmp_path / "parts.safetensors")[0] == 130
    code, _, error = run(capsys, *words, "--seed", "1", "-o", tmp_path / "parts.safetensors", "--resume")
    assert (code, "was started with seed 0, not seed 1" in error) == (2, True)
    index = tmp_path / "index.txt"
    index.write_text("cat 0\ndog 1\nfox 2\n")
    resumed = (*words, "-o", tmp_path / "parts.safetensors", "--resume")
    code, _, error = run(capsys, *resumed, "--class-index", index)
    assert (code, "was started with class_index None, not class_index" in error) == (2, True)
    assert run(capsys, *words, "-o", tmp_path / "parts.safetensors", "--resume")[0] == 0
    whole, parts = (checkpoint.read(tmp_path / f"{name}.safetensors").tensors for name in ("whole", "parts"))
    for name, tensor in whole.items():
        np.testing.assert_array_equal(tensor, parts[name], err_msg=name)


def test_no_restore_batchnorm_leaves_convolutions_as_they_are(folder, tmp_path, capsys):
    words = ("train", folder / "three.onnx", "--data", folder / "photos", *QUICK, "--no-restore-batchnorm")
    code, _, said = run(capsys, *words, "-o", tmp_path / "plain.safetensors")
    assert (code, "BatchNorm" in said) == (0, False)
    assert (
        checkpoint.read(tmp_path / "plain.safetensors").tensors.keys()
        == checkpoint.read(folder / "three.onnx").tensors.keys()
    )


def test_from_a_file_to_a_packed_network_that_every_command_reads(folder, tuned, tmp_path, capsys):
    photos, out = folder / "photos", tmp_path / "run"
    words = ("quantize", tuned, "--data", photos, "--levels", "ternary", "--keep-float", "depthwise", "last", *QUICK)
    code, made, said = run(capsys, *words, "-o", out, "--json")
    assert code == 0
    assert "2 of 4 weights stay float: deep.weight, head.weight" in said
    size = int(re.search(r"the packed network will have ([\d,]+) bytes", said)[1].replace(",", ""))
    assert size == (out / "net.elq").stat().st_size
    packed = PackedNetwork.load(out / "net.elq")
    assert [w.levels for w in packed.layers.values()] == ["ternary", "float", "ternary", "float"]
    config = json.loads((out / "config.json").read_text())
    assert config["keep_float"] == ["depthwise", "last"]
    assert config["plan"]["keep_float"] == ["deep.weight", "head.weight"]
    assert config["lr"] == 0.01 * 8 / 128
    assert checkpoint.read(out / "quantized.safetensors").graph is not None
    picture = photos / "val" / "cat" / "0.jpg"
    for command in (
        ("run", out / "net.elq", picture),
        ("eval", out / "net.elq", "--data", photos),
        ("eval", out / "quantized.safetensors", "--data", photos),
        ("calibrate", out / "net.elq", "--data", photos, "-o", tmp_path / "int8.elq"),
        ("run", tmp_path / "int8.elq", picture, "--activations", "int8"),
        ("export-onnx", out / "net.elq", "-o", tmp_path / "net.onnx"),
        ("summary", out / "net.elq"),
    ):
        code, _, error = run(capsys, *command)
        assert code == 0, error
    code, seen, _ = run(capsys, "eval", out / "net.elq", "--data", photos, "--json")
    assert (seen["correct"], seen["total"]) == (made["correct"], 18)


def test_theirs_itself_is_quantized_and_resumed_with_what_it_kept(folder, tmp_path, capsys):
    words = ("quantize", folder / "three.onnx", "--data", folder / "photos", *QUICK, "--keep-float", "sensitive:1")
    code, whole, said = run(capsys, *words, "-o", tmp_path / "run", "--json")
    assert code == 0
    assert "BatchNorm is put back behind 3 convolutions" in said
    (kept,) = json.loads((tmp_path / "run" / "config.json").read_text())["plan"]["keep_float"]
    found = run(
        capsys, "sensitivity", folder / "three.onnx", "--data", folder / "photos", "--batch-size", "8", "--json"
    )
    assert kept == max(found[1]["layers"], key=lambda layer: layer["alone"]["loss"])["name"]
    (tmp_path / "run" / "result.json").unlink()  # so that it is finished again
    code, again, said = run(capsys, *words, "-o", tmp_path / "run", "--resume", "--json")
    assert (code, "stay float" in said) == (0, False)  # nothing was measured a second time
    assert again["correct"] == whole["correct"]
    error = run(capsys, *words[:-1], "first", "-o", tmp_path / "run", "--resume")[2].splitlines()[-1]
    assert "was started with keep_float ['sensitive:1']" in error
    (tmp_path / "index.txt").write_text("cat 0\ndog 1\nfox 2\n")
    words += ("--class-index", tmp_path / "index.txt")
    assert "was started with class_index None" in run(capsys, *words, "-o", tmp_path / "run", "--resume")[2]


@pytest.mark.parametrize(("name", "command"), [("train", train), ("quantize", quantize)])
def test_a_resumed_run_is_asked_for_all_that_decides_its_bits(name, command):
    """Every option but those that say where and how fast; the plan of elq quantize is compared by itself."""
    commands = argparse.ArgumentParser().add_subparsers()
    command.add(commands)
    options = {action.dest for action in commands.choices[name]._actions}
    free = {"help", "output", "resume", "data_dir", "workers", "cache", "mpi"}
    plan = {"method", "levels", "set", "lr", "epochs", "model"} if name == "quantize" else set()
    assert options - free - plan == set(command.ASKED)


def test_sensitivity_is_a_table_a_picture_and_json(folder, tuned, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    words = ("sensitivity", tuned, "--data", folder / "photos", "--batch-size", "8", "--hold-out", "4")
    code, text, _ = run(capsys, *words, "--plot", tmp_path / "s.png")
    assert code == 0
    assert (tmp_path / "s.png").read_bytes()[:4] == b"\x89PNG"
    names = [line.split()[0] for line in text.splitlines()[1:7]]
    assert names == ["stem.weight", "deep.weight", "point.weight", "head.weight", "none", "all"]
    code, found, _ = run(capsys, *words, "--json")
    assert [layer["name"] for layer in found["layers"]] == names[:4]
    assert found["pictures"] == 4
    row = next(line.split() for line in text.splitlines() if line.startswith("deep.weight"))
    deep = found["layers"][1]
    assert row[1:] == [
        "72",
        *(
            f"{deep[part][key]:.{digits}f}"
            for part in ("alone", "all_but")
            for key, digits in (("loss", 4), ("top1", 2))
        ),
    ]


def test_a_file_with_open_sizes_is_read_for_the_input_that_is_given(folder, tmp_path, capsys):
    mobile(tmp_path / "open.onnx", classes=3, size_open=True)
    words = ("train", tmp_path / "open.onnx", "--data", folder / "photos", *QUICK, "-o", tmp_path / "a.safetensors")
    code, _, _ = run(capsys, *words, "--input", "3,32,32")
    assert code == 0
    assert checkpoint.read(tmp_path / "a.safetensors").info.input_shape == (3, 32, 32)


def test_a_checkpoint_of_a_model_gets_other_classes_too(folder, tmp_path, capsys):
    words = ("--data", "digits", *QUICK[:2], "--batch-size", "256")
    assert run(capsys, "train", "--model", "digits_cnn", *words, "-o", tmp_path / "a.safetensors")[0] == 0
    grey = photographs(tmp_path / "grey", classes=("x", "y"))
    for path in grey.rglob("*.jpg"):
        Image.open(path).convert("L").save(path)
    code, _, error = run(
        capsys, "train", tmp_path / "a.safetensors", "--data", grey, "--classes-from", "data", *QUICK,
        "-o", tmp_path / "b.safetensors",
    )  # fmt: skip
    assert code == 0, error
    info = checkpoint.read(tmp_path / "b.safetensors").info
    assert (info.classes, info.model) == (("x", "y"), "digits_cnn")


@pytest.mark.parametrize(
    ("more", "rate"),
    [
        ((), 0.05),
        (("--batch-size", "32"), 0.0125),
        (("--batch-size", "32", "--lr", "0.3"), 0.3),
        (("FILE",), 0.01),
        (("FILE", "--batch-size", "256"), 0.02),
    ],
)
def test_the_usual_rate_goes_with_the_size_of_the_batch(more, rate, tmp_path, monkeypatch, capsys):
    words = ["train", "--model", "digits_cnn", "--data", "digits", "-o", tmp_path / "a.safetensors"]
    if "FILE" in more:
        assert run(capsys, *words, "--epochs", "0.1")[0] == 0
        words[1:3] = [tmp_path / "a.safetensors"]
    seen = []
    monkeypatch.setattr("elq_ref.cli.train._trained", lambda args, *_: seen.append(args.lr) or (0, 0.0))
    run(capsys, *words, *(word for word in more if word != "FILE"))
    assert seen == [rate]


# ---- mistakes, each one line


def test_a_file_that_is_cut_in_half(folder, tmp_path, capsys):
    content = (folder / "theirs.onnx").read_bytes()
    (tmp_path / "half.onnx").write_bytes(content[: len(content) // 2])
    said = refused(capsys, "quantize", tmp_path / "half.onnx", "--data", folder / "photos", "-o", tmp_path / "run")
    assert "half.onnx" in said
    assert not (tmp_path / "run").exists()


def test_a_detector(folder, tmp_path, capsys):
    mobile(tmp_path / "boxes.onnx", outputs=2)
    said = refused(capsys, "quantize", tmp_path / "boxes.onnx", "--data", folder / "photos", "-o", tmp_path / "run")
    assert "output" in said


def test_a_network_of_one_channel_for_pictures_in_colour(folder, tmp_path, capsys):
    mobile(tmp_path / "grey.onnx", (1, 24, 24), 3)
    said = refused(capsys, "quantize", tmp_path / "grey.onnx", "--data", folder / "photos", "-o", tmp_path / "run")
    assert "in colour" in said
    assert "one channel" in said


def test_classes_that_do_not_match(folder, tmp_path, capsys):
    for command in ("train", "quantize", "sensitivity"):
        where = () if command == "sensitivity" else ("-o", tmp_path / "out.safetensors")
        said = refused(capsys, command, folder / "theirs.onnx", "--data", folder / "photos", *where)
        assert "7 " in said
        assert "3" in said
        assert "--classes-from data" in said


def test_val_is_missing(folder, tmp_path, capsys):
    shutil.copytree(folder / "photos" / "train", tmp_path / "photos" / "train")
    (tmp_path / "photos" / "unused").mkdir()
    shutil.rmtree(tmp_path / "photos" / "unused")
    said = refused(capsys, "quantize", folder / "three.onnx", "--data", tmp_path / "photos", "-o", tmp_path / "run")
    assert "val/" in said
    assert "--hold-out" in said


def test_pictures_without_sub_folders(folder, tmp_path, capsys):
    (tmp_path / "flat").mkdir()
    for path in (folder / "photos" / "train" / "cat").iterdir():
        shutil.copy(path, tmp_path / "flat")
    words = ("quantize", folder / "three.onnx", "--data", tmp_path / "flat", "--hold-out", "2", "-o", tmp_path / "run")
    assert "sub-folder" in refused(capsys, *words)


def test_onnx_is_not_installed(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    said = refused(capsys, "quantize", folder / "theirs.onnx", "--data", folder / "photos", "-o", tmp_path / "run")
    assert "pip install" in said
    assert "onnx" in said


def test_nobody_says_what_is_trained(capsys, tmp_path):
    assert "wanted a file, or --model" in refused(capsys, "train", "--data", "digits", "-o", tmp_path / "a.safetensors")
    words = (
        "train",
        "--model",
        "lenet5",
        "--data",
        "digits",
        "--classes-from",
        "data",
        "-o",
        tmp_path / "a.safetensors",
    )
    assert "wanted a file of one" in refused(capsys, *words)
