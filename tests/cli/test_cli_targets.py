"""-o of every command: what cannot be written is said before anything is computed, in one line."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from elq_ref import checkpoint, datasets, models
from elq_ref.cli import main
from elq_ref.deploy import pack
from elq_ref.graph import NetworkInfo
from elq_ref.runtime import PackedNetwork

TRAIN = ["train", "--model", "digits_cnn", "--data", "digits", "--epochs", "0.1"]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    net, info = models.digits_cnn(seed=1), NetworkInfo.of(datasets.digits()[0])
    checkpoint.save(net, folder / "net.safetensors", replace(info, model="digits_cnn"))
    pack(net, info, quantized={}).save(folder / "net.elq")
    return folder


def commands(made: Path) -> dict[str, list[str]]:
    return {
        "train": TRAIN,
        "pack": ["pack", f"{made}/net.safetensors"],
        "calibrate": ["calibrate", f"{made}/net.elq", "--data", "digits", "--count", "8"],
        "export-onnx": ["export-onnx", f"{made}/net.elq"],
        "compare": ["compare", f"{made}/no-run"],
        "record": ["crosscheck", "record", f"{made}/net.safetensors", "--data", "digits", "--steps", "1"],
    }


@pytest.mark.parametrize("command", ["train", "pack", "calibrate", "export-onnx", "compare", "record"])
@pytest.mark.parametrize("target", [".", "..", "/"])
def test_a_folder_is_refused_at_once(made, tmp_path, command, target, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for computes in ("elq_ref.checkpoint.read", "elq_ref.datasets.load", "elq_ref.runtime.PackedNetwork.load"):
        monkeypatch.setattr(computes, lambda *_, **__: pytest.fail("it began to compute"))
    code = main([*commands(made)[command], "-o", target])
    error = capsys.readouterr().err
    assert code == 2
    assert error.count("\n") == 1
    assert f"elq: {target} is a folder, wanted " in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["train", "pack", "calibrate", "compare"])
def test_an_empty_name_is_refused(made, command, capsys):
    assert main([*commands(made)[command], "-o", ""]) == 2
    assert capsys.readouterr().err == "elq: the name of the file to write is empty\n"


def test_a_longest_name_can_be_trained_to_and_packed(tmp_path, capsys):
    network, packed = tmp_path / f"{'n' * 243}.safetensors", tmp_path / f"{'n' * 251}.elq"
    assert main([*TRAIN, "-o", str(network)]) == 0
    assert main(["pack", str(network), "-o", str(packed)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {network.name, packed.name}
    assert PackedNetwork.load(packed).metadata.method["model"] == "digits_cnn"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_the_modes_and_links_of_outputs_stay(made, tmp_path, capsys):
    kept = tmp_path / "kept"
    kept.write_bytes(b"old")
    kept.chmod(0o600)
    (tmp_path / "link").symlink_to("kept")
    assert main([*commands(made)["pack"], "-o", str(tmp_path / "link")]) == 0
    assert (tmp_path / "link").is_symlink()
    assert kept.stat().st_mode & 0o777 == 0o600
    PackedNetwork.load(kept)
