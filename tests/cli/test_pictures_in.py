"""From folders of photographs and .npz files to packed networks, and each mistake in one line."""

import argparse
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from children import environment
from photographs import photographs, smooth
from picture_nets import run
from PIL import Image

from elq_ref import checkpoint, datasets
from elq_ref.cli import main
from elq_ref.cli.data import augmentation
from elq_ref.cli.picture_files import listed, read_in_batches
from elq_ref.datasets import Augment, RandomResizedCrop, Wanted, load_for
from elq_ref.runtime import PackedNetwork

INPUT = ("--model", "resnet20", "--input", "3,24,24")
QUICK = ("--epochs", "1", "--batch-size", "4")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp("data") / "photos", each=4)


@pytest.fixture(scope="module")
def trained(photos, tmp_path_factory):
    path = tmp_path_factory.mktemp("trained") / "float.safetensors"
    words = ["train", *INPUT, "--data", photos, *QUICK, "-o", path]
    done = subprocess.run(
        [sys.executable, "-m", "elq_ref", *map(str, words)],
        cwd=path.parent,  # not where the tests are run: there lie the sources, which nobody has built
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == "", done.stderr
    return path


def refused(capsys, *words):
    """What a command says that ends with 2 and one line."""
    code, out, error = run(capsys, *words)
    assert (code, out, error.count("\n")) == (2, "", 1), error
    return error


def test_what_was_trained_on_is_what_runs(photos, trained, tmp_path, capsys):
    """The whole way; the evaluation of training sees the bytes that elq eval and elq run see."""
    info = checkpoint.read(trained).info
    train, val = datasets.folder(photos, (3, 24, 24))
    assert (info.classes, info.resize, info.normalization) == (train.classes, "crop", train.normalization)
    code, seen, _ = run(capsys, "eval", trained, "--data", photos, "--json")
    assert (code, seen["total"]) == (0, 12)
    code, made, _ = run(capsys, "quantize", trained, "--data", photos, *QUICK, "-o", tmp_path / "run", "--json")
    assert (code, made["total"]) == (0, 12)
    packed = PackedNetwork.load(tmp_path / "run" / "net.elq")
    meta = packed.metadata
    assert (meta.classes, meta.resize, meta.normalization) == (info.classes, "crop", info.normalization)
    pictures = listed(str(photos / "val"), meta.classes)
    ((_, ran),) = read_in_batches(packed, pictures, 100, None)
    np.testing.assert_array_equal(ran, val.images[:])
    wanted = Wanted(packed.graph.input_shape, meta.classes, meta.normalization, meta.resize)
    np.testing.assert_array_equal(load_for(photos, None, "test", wanted).images[:], ran)
    answers = [
        run(capsys, *words, "--json")[1]
        for words in (
            ("eval", tmp_path / "run" / "net.elq", "--data", photos),
            ("run", tmp_path / "run" / "net.elq", photos / "val"),
        )
    ]
    assert {(a["correct"], a["total"]) for a in answers} == {(made["correct"], 12)}
    code, found, _ = run(
        capsys, "calibrate", tmp_path / "run" / "net.elq", "--data", photos, "-o", tmp_path / "8.elq", "--json"
    )
    assert (code, found["pictures"]) == (0, 12)


def test_threads_and_cache_change_no_byte(photos, trained, tmp_path):
    made = []
    for k, words in enumerate((("--workers", "1"), ("--workers", "5", "--cache", "0"), ("--cache", "20K"))):
        path = tmp_path / f"{k}.safetensors"
        assert main([*map(str, ["train", *INPUT, "--data", photos, *QUICK, *words, "-o", path])]) == 0
        made.append(path.read_bytes())
    assert set(made) == {trained.read_bytes()}


def test_what_is_given_goes_before_what_is_measured(photos, tmp_path, capsys):
    words = ["--mean", "0.5,0.4,0.3", "--std", "0.2,0.3,0.25", "--resize", "crop 28 bicubic", "--augment", "none"]
    path = tmp_path / "a.safetensors"
    code, _, _ = run(capsys, "train", *INPUT, "--data", photos, *QUICK, *words, "--hold-out", 5, "-o", path, "--json")
    assert code == 0
    info = checkpoint.read(path).info
    assert (info.normalization.mean, info.normalization.std) == ((0.5, 0.4, 0.3), (0.2, 0.3, 0.25))
    assert info.resize == "crop 28 bicubic"
    code, first, _ = run(capsys, "eval", path, "--data", photos, "--json")
    assert (code, first["total"]) == (0, 12)
    other = ["--resize", "stretch", "--mean", "0.1,0.2,0.3", "--std", "0.5,0.5,0.5"]
    code, _, error = run(capsys, "quantize", path, "--data", photos, *QUICK, *other, "-o", tmp_path / "run")
    assert code == 0, error
    meta = PackedNetwork.load(tmp_path / "run" / "net.elq").metadata
    assert meta.resize == "stretch"
    assert (meta.normalization.mean, meta.normalization.std) == ((0.1, 0.2, 0.3), (0.5, 0.5, 0.5))


def test_npz(tmp_path, capsys):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (12, 24, 24, 3), dtype=np.uint8), np.arange(12) % 3
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=x[:6], y_test=y[:6])
    path = tmp_path / "a.safetensors"
    code, seen, _ = run(
        capsys, "train", "--model", "resnet20", "--data", tmp_path / "a.npz", *QUICK, "-o", path, "--json"
    )
    assert (code, seen["total"]) == (0, 6)
    assert checkpoint.read(path).info.classes == ("0", "1", "2")
    code, again, _ = run(capsys, "eval", path, "--data", tmp_path / "a.npz", "--json")
    assert (code, again["correct"]) == (0, seen["correct"])
    np.savez(tmp_path / "b.npz", x_train=x, y_train=y, x_test=x[:6], y_test=y[:6] + 1)
    said = refused(capsys, "eval", path, "--data", tmp_path / "b.npz")
    assert said.startswith(f"elq: {tmp_path / 'b.npz'} has the label 3, the network knows 3 classes: elq train ")


def test_class_index_says_which_output_is_which_folder(photos, trained, tmp_path, capsys):
    """The order of a network's outputs is that of the file, and the rest of them have no folder."""
    whole = run(capsys, "eval", trained, "--data", photos, "--json")[1]
    for part in ("train", "val"):
        (tmp_path / "renamed" / part).mkdir(parents=True)
        for folder, name in (("tench", "cat"), ("english springer", "fox")):
            (tmp_path / "renamed" / part / folder).symlink_to(photos / part / name)
    (tmp_path / "index.txt").write_text("tench 0\n\nenglish springer\t2\n")
    words = ("--data", tmp_path / "renamed", "--class-index", tmp_path / "index.txt")
    code, some, _ = run(capsys, "eval", trained, *words, "--json")
    (tmp_path / "dogs" / "val").mkdir(parents=True)
    (tmp_path / "dogs" / "val" / "dog").symlink_to(photos / "val" / "dog")
    dogs = run(capsys, "eval", trained, "--data", tmp_path / "dogs", "--json")[1]
    assert (code, some["total"], dogs["total"]) == (0, 8, 4)
    assert some["correct"] + dogs["correct"] == whole["correct"]
    for text, said in (
        ("tench 0\nbass 0\n", "has the line 'bass 0', wanted NAME INDEX, each index once"),
        ("tench\n", "has the line 'tench'"),
        ("tench 3\n", "has the index 3, the network has the outputs 0 to 2"),
        ("tench 1\n", "sub-folders that are no class: english springer; wanted cat, tench, fox"),
    ):
        (tmp_path / "index.txt").write_text(text)
        assert said in refused(capsys, "eval", trained, *words)


def test_broken_pictures(trained, tmp_path, capsys):
    root = photographs(tmp_path / "photos", each=2)
    path = root / "val" / "dog" / "1.jpg"
    path.write_bytes(path.read_bytes()[:500])
    for words in (
        ("eval", trained),
        ("train", *INPUT, *QUICK, "-o", tmp_path / "a.safetensors"),
        ("quantize", trained, *QUICK, "-o", tmp_path / "run"),
    ):
        said = refused(capsys, *words, "--data", root)
        assert f"{path} is a picture that cannot be read" in said
    assert not (tmp_path / "a.safetensors").exists()
    code, seen, error = run(capsys, "eval", trained, "--data", root, "--skip-broken", "--json")
    assert (code, seen["total"]) == (0, 5)
    assert error.startswith(f"elq: left out: {path} is a picture that cannot be read")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("train", "--model", "resnet20", "--data", "PHOTOS"),
            "holds pictures of any size: wanted the network's input",
        ),
        (
            ("train", *INPUT, "--data", "PHOTOS/val"),
            "is not divided into train/ and val/: wanted these, or --hold-out N",
        ),
        (("train", *INPUT, "--data", "PHOTOS/val/cat"), "cat has no sub-folders, wanted train/ and val/"),
        (
            ("train", *INPUT, "--data", "PHOTOS/val/cat", "--hold-out", "2"),
            "cat has no sub-folders, wanted one for each",
        ),
        (("train", *INPUT, "--data", "ONLY"), "has train/: wanted val/ or test/, or --hold-out N"),
        (("train", *INPUT, "--data", "PHOTOS", "--hold-out", "0"), "--hold-out is 0, wanted at least 1"),
        (("train", *INPUT, "--data", "PHOTOS", "--hold-out", "12"), "12 of 12 pictures to hold out: wanted 1 to 11"),
        (
            ("train", *INPUT, "--data", "PHOTOS", "--mean", "0.5,0.5,0.5"),
            "one of --mean and --std is given, wanted both",
        ),
        (("train", *INPUT, "--data", "PHOTOS", "--mean", "0.5", "--std", "1"), "1 numbers, the pictures 3 channels"),
        (("train", *INPUT, "--data", "PHOTOS", "--workers", "0"), "0 threads that read pictures, wanted at least 1"),
        (("train", *INPUT, "--data", "PHOTOS", "--cache", "much"), "'much', wanted a number of bytes, or as 500M, 4G"),
        (("train", *INPUT, "--data", "PHOTOS", "--resize", "fit"), "resize is 'fit', wanted exact, stretch, crop"),
        (
            ("train", *INPUT, "--data", "PHOTOS", "--resize", "crop 20"),
            "scaled to 20 and cropped to 24x24: wanted 24 to",
        ),
        (("train", "--model", "lenet5", "--data", "PHOTOS", "--input", "2,24,24"), "'2,24,24', wanted C,H,W"),
        (("train", "--model", "lenet5", "--data", "PHOTOS", "--input", "1,28,28"), "is in colour, and so are most"),
        (("eval", "NET", "--data", "OTHER"), "has sub-folders that are no class: emu; wanted cat, dog, fox"),
        (("quantize", "NET", "--data", "OTHER"), "has sub-folders that are no class: emu; wanted cat, dog, fox"),
        (("eval", "NET", "--data", "digits"), "the network reads pictures (3, 24, 24), digits has (1, 8, 8)"),
        (
            ("eval", "NET", "--data", "PHOTOS/val/cat"),
            "cat has no sub-folders, wanted one for each class: cat, dog, fox",
        ),
    ],
)
def test_a_mistake_is_one_line(photos, trained, tmp_path, words, said, capsys):
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "train").symlink_to(photos / "train")
    photographs(tmp_path / "other", classes=("emu", "fox"), each=1)
    places = {"PHOTOS": photos, "ONLY": tmp_path / "only", "NET": trained, "OTHER": tmp_path / "other"}
    words = [str(places.get(w.split("/")[0], w)) + w[len(w.split("/")[0]) :] for w in words]
    output = [] if words[0] == "eval" else ["-o", str(tmp_path / "out.safetensors")]
    try:
        code = main([*words, *output])
    except SystemExit as stop:  # argparse's
        code = stop.code
    error = capsys.readouterr().err
    assert (code, error.count("\n")) == (2, 1)
    assert said in error
    assert not (tmp_path / "out.safetensors").exists()


INDEX = "--class-index FILE says which folder is which output"
ANEW = "--classes-from data makes a last layer for its classes\n"


def test_other_classes_end_with_the_way_out(photos, trained, tmp_path, capsys):
    """Of other names, and of another number: what the command can do about it, at the end of the line."""
    other = photographs(tmp_path / "other", classes=("emu", "fox"), each=2)
    names = "has sub-folders that are no class: emu; wanted cat, dog, fox"
    out = ("-o", tmp_path / "out.safetensors")
    for command in (("eval", trained), ("quantize", trained, *out), ("sensitivity", trained)):
        said = refused(capsys, *command, "--data", other)
        assert said.endswith(f"{names}: {INDEX}, elq train {ANEW}"), said
    said = refused(capsys, "train", trained, "--data", other, *out)
    assert said.endswith(f"{names}: {INDEX}, {ANEW}"), said
    pictures = np.zeros((4, 3, 24, 24), np.uint8)
    np.savez(tmp_path / "a.npz", x_train=pictures, y_train=[0, 1, 2, 3], x_test=pictures, y_test=[0, 1, 2, 3])
    said = refused(capsys, "train", trained, "--data", tmp_path / "a.npz", *out)
    assert said.endswith(f"has the label 3, the network knows 3 classes: {ANEW}"), said
    assert run(capsys, "train", trained, "--data", other, "--classes-from", "data", *QUICK, *out)[0] == 0
    (other / "val" / "yak").mkdir()  # of nobody's classes but the data's
    Image.new("RGB", (30, 30)).save(other / "val" / "yak" / "1.png")
    said = refused(capsys, "train", trained, "--data", other, "--classes-from", "data", *out)
    assert said.endswith("no class: yak; wanted emu, fox\n"), said


def test_other_classes_of_a_packed_network(photos, trained, tmp_path, capsys):
    """Its outputs can be named for elq eval; it cannot be trained."""
    packed = tmp_path / "a.elq"
    code, _, error = run(capsys, "pack", trained, "-o", packed)
    assert code == 0, error
    other = photographs(tmp_path / "other", classes=("emu", "fox"), each=1)
    names = "has sub-folders that are no class: emu; wanted cat, dog, fox"
    assert refused(capsys, "eval", packed, "--data", other).endswith(f"{names}: {INDEX}\n")
    said = refused(capsys, "calibrate", packed, "--data", other, "-o", tmp_path / "b.elq")
    assert said.endswith(f"{names}\n"), said


def test_a_network_that_says_not_how_pictures_are_normalized(trained, photos, tmp_path, capsys):
    """Its own tensors, as another's file: eval asks, training measures."""
    from elq_ref.checkpoint import write

    file = checkpoint.read(trained)
    write(tmp_path / "theirs.safetensors", file.network, {})
    words = ("eval", tmp_path / "theirs.safetensors", "--data", photos, *INPUT)
    assert "does not say how its pictures are normalized: give --mean and --std" in refused(capsys, *words)
    mean, std = (",".join(map(str, v)) for v in (file.info.normalization.mean, file.info.normalization.std))
    code, seen, _ = run(capsys, *words, "--mean", mean, "--std", std, "--json")
    assert (code, seen) == (0, run(capsys, "eval", trained, "--data", photos, "--json")[1])


def test_the_rule_of_an_onnx_file(photos, trained, tmp_path, capsys):
    """One that was exported states it; another's pictures are cropped."""
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "a.onnx"
    run(capsys, "quantize", trained, "--data", photos, *QUICK, "--resize", "crop 30", "-o", tmp_path / "run")
    code, _, error = run(capsys, "export-onnx", tmp_path / "run" / "net.elq", "-o", path)
    assert code == 0, error
    assert checkpoint.read(path).stated["resize"] == "crop 30"
    code, seen, error = run(capsys, "eval", path, "--data", photos, "--json")
    assert (code, seen) == (0, run(capsys, "eval", tmp_path / "run" / "net.elq", "--data", photos, "--json")[1]), error
    proto = onnx.load(path)
    del proto.metadata_props[:]
    onnx.save(proto, path)
    words = ["--mean", "0.5,0.5,0.5", "--std", "0.2,0.2,0.2"]
    for name, rule in (("kept", "crop"), ("given", "stretch")):
        given = [] if rule == "crop" else ["--resize", rule]
        output = tmp_path / f"{name}.safetensors"
        code, _, error = run(capsys, "train", path, "--data", photos, *words, *QUICK, *given, "-o", output)
        assert code == 0, error
        assert checkpoint.read(output).info.resize == rule


def test_options_that_a_packed_network_answers_itself(photos, trained, tmp_path, capsys):
    run(capsys, "quantize", trained, "--data", photos, *QUICK, "-o", tmp_path / "run")
    for words in (("--mean", "0,0,0"), ("--resize", "crop"), ("--input", "3,24,24")):
        said = refused(capsys, "eval", tmp_path / "run" / "net.elq", "--data", photos, *words)
        assert said == f"elq: {words[0]} is given, which a packed network says itself\n"


def test_ctrl_c_ends_it_and_leaves_a_state(tmp_path):
    for k in range(200):
        path = tmp_path / "photos" / "ab"[k % 2] / f"{k}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(smooth(k % 7, 100, 120)).save(path)
    output = tmp_path / "a.safetensors"
    words = ["train", *INPUT, "--data", tmp_path / "photos", "--hold-out", 20, "--epochs", 50, "--cache", 0]
    process = subprocess.Popen(
        [sys.executable, "-m", "elq_ref", *map(str, [*words, "--batch-size", 8, "-o", output])],
        env=environment(ELQ_NUM_THREADS="1"), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    log = tmp_path / "a.safetensors.run"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not any(log.glob("*.jsonl")) and process.poll() is None:
        time.sleep(0.1)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert error.splitlines()[-1].startswith("elq: interrupted: "), error
    assert "--resume goes on" in error.splitlines()[-1]
    assert json.loads((log / "config.json").read_text())["data"] == str(tmp_path / "photos")


def test_outputs_without_names_are_counted(photos, trained, tmp_path, capsys):
    """A file that has a graph and says nothing else: its outputs are as many as the folder's classes, or named."""
    from elq_ref.checkpoint import write

    file = checkpoint.read(trained)
    write(tmp_path / "theirs.safetensors", file.network, {"graph": file.metadata["graph"]})
    mean, std = (",".join(map(str, v)) for v in (file.info.normalization.mean, file.info.normalization.std))
    words = ("eval", tmp_path / "theirs.safetensors", "--mean", mean, "--std", std)
    code, seen, _ = run(capsys, *words, "--data", photos, "--json")
    assert (code, seen) == (0, run(capsys, "eval", trained, "--data", photos, "--json")[1])
    (tmp_path / "two" / "val").mkdir(parents=True)
    for name in ("cat", "fox"):
        (tmp_path / "two" / "val" / name).symlink_to(photos / "val" / name)
    said = refused(capsys, *words, "--data", tmp_path / "two")
    assert "the network has 3 outputs and no names for them, two/val has 2 classes: --class-index FILE" in said
    (tmp_path / "index.txt").write_text("cat 0\nfox 2\n")
    code, seen, _ = run(capsys, *words, "--data", tmp_path / "two", "--class-index", tmp_path / "index.txt", "--json")
    assert (code, seen["total"]) == (0, 8)


@pytest.mark.parametrize(
    ("given", "files", "arrays"),
    [
        (None, RandomResizedCrop(), Augment(4, True)),
        ("crop-mirror", RandomResizedCrop(), Augment(4, True)),
        ("crop", RandomResizedCrop(flip=False), Augment(4, False)),
        ("mirror", Augment(0, True), Augment(0, True)),
        ("none", None, None),
    ],
)
def test_augmentation_is_what_is_asked_for(photos, given, files, arrays):
    args = argparse.Namespace(augment=given)
    train, _ = datasets.folder(photos, (3, 24, 24))
    assert augmentation(args, train) == files
    array = replace(train, images=np.zeros((12, 3, 32, 32), np.uint8), name="cifar10")
    assert augmentation(args, array) == arrays
    if given in ("crop", "crop-mirror"):
        with pytest.raises(ValueError, match="nobody knows how mine is cropped"):
            augmentation(args, replace(array, name="mine"))
