"""Files of another kind than was wanted are called what they are, whatever their name, and work where they can."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import children
import numpy as np
import pytest
from PIL import Image

from elq_ref import checkpoint, crosscheck, datasets, models
from elq_ref.cli import main
from elq_ref.deploy import pack
from elq_ref.errors import FormatError
from elq_ref.graph import NetworkInfo
from elq_ref.runtime import PackedNetwork


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    net, info = models.digits_cnn(seed=1), NetworkInfo.of(datasets.digits()[0])
    checkpoint.save(net, folder / "net.safetensors", replace(info, model="digits_cnn"))
    pack(net, info, quantized={}).save(folder / "net.elq")
    return folder


def said(capsys, *words: object) -> tuple[int, str]:
    code = main([*map(str, words)])
    seen = capsys.readouterr()
    return code, seen.out if code == 0 else seen.err


@pytest.mark.parametrize("name", ["net", "net.bin", "net.safetensors", "net.pth", "net.ELQ"])
def test_a_packed_network_is_known_whatever_its_name(made, tmp_path, name, capsys):
    path = tmp_path / name
    shutil.copy(made / "net.elq", path)
    for words in (["summary"], ["eval", "--data", "digits", "--json"]):
        found = said(capsys, *words, path)
        assert found[0] == 0
        assert found[1] == said(capsys, *words, made / "net.elq")[1]
    assert said(capsys, "export-onnx", path, "-o", tmp_path / "net.onnx")[0] == 0
    code, error = said(capsys, "pack", path, "-o", tmp_path / "again.elq")
    assert (code, error) == (2, f"elq: {path}: it is a packed network (.elq), wanted a checkpoint\n")


@pytest.mark.parametrize("words", [["summary"], ["eval", "--data", "digits"], ["bench"], ["run"]])
def test_a_checkpoint_that_is_called_packed_is_called_a_checkpoint(made, tmp_path, words, capsys):
    path = tmp_path / "net.elq"
    shutil.copy(made / "net.safetensors", path)
    code, error = said(capsys, *words, path, *(["x.png"] if words == ["run"] else []))
    assert (code, error.count("\n")) == (2, 1)
    assert error.startswith(f"elq: {path}: not an .elq file: a checkpoint")


HOSTILE = [b"", b"{", b"\x02\0\0\0\0\0\0\0[]", b"\xff" * 30, b"\x40\0\0\0\0\0\0\0" + b"[" * 64]


@pytest.mark.parametrize("content", HOSTILE)
def test_what_begins_like_nothing_is_one_line(tmp_path, content, capsys):
    path = tmp_path / "net"
    path.write_bytes(content)
    code, error = said(capsys, "summary", path)
    assert (code, error.count("\n")) == (2, 1)
    assert str(path) in error


READERS = [
    ["summary", "PIPE"],
    ["eval", "PIPE", "--data", "digits"],
    ["export-onnx", "PIPE", "-o", "out"],
    ["pack", "PIPE", "-o", "out"],
    ["quantize", "PIPE", "--data", "digits", "-o", "out"],
    ["crosscheck", "record", "PIPE", "--data", "digits", "-o", "out"],
    ["verify", "--checkpoint", "PIPE"],
    ["run", "PIPE", "x.png"],
    ["calibrate", "PIPE", "--data", "digits", "-o", "out"],
    ["bench", "PIPE"],
    ["compare", "PIPE"],
]


@pytest.mark.parametrize("words", READERS, ids=lambda words: " ".join(words[:3]))
def test_a_pipe_is_called_a_pipe(tmp_path, words):
    """As `<(...)` gives one. Nobody waits for its end."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("no pipes with names here")
    path = tmp_path / "pipe"
    os.mkfifo(path)
    line = [str({"PIPE": path, "out": tmp_path / "out"}.get(word, word)) for word in words]
    command = [sys.executable, "-m", "elq_ref", *line]
    done = subprocess.run(
        command,
        cwd=children.FOLDER,
        env=children.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert str(path) in done.stderr
    assert "pipe" in done.stderr.replace(str(path), "")
    assert {p.name for p in tmp_path.iterdir()} == {"pipe"}


def test_folders_and_pipes_from_python(tmp_path):
    for read in (checkpoint.read, PackedNetwork.load):
        with pytest.raises(FormatError, match=f"^{tmp_path} is a folder, wanted a regular file$"):
            read(tmp_path)
    (tmp_path / "a.safetensors").mkdir()
    with pytest.raises(FormatError, match="is a folder"):
        crosscheck.load(tmp_path / "a")


def test_a_torchscript_program_is_called_one(tmp_path, capsys):
    """Its archive as torch.jit.save lays it out: the code deflated, the constants beside the data."""
    path = tmp_path / "script.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("script/data.pkl", b"\x80\x02N.")
        archive.writestr("script/code/__torch__/net.py", b"op_version_set = 1\n" * 9, zipfile.ZIP_DEFLATED)
        archive.writestr("script/constants.pkl", b"\x80\x02).")
        archive.writestr("script/version", b"3\n")
    code, error = said(capsys, "summary", path)
    assert (code, error.count("\n")) == (2, 1)
    assert error.startswith(f"elq: {path}: a TorchScript program, wanted tensors: torch.save(torch.jit.load(FILE)")


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_program_of_torch_itself(tmp_path, capsys):
    torch = pytest.importorskip("torch")
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 3)), str(tmp_path / "script.pt"))
    code, error = said(capsys, "summary", tmp_path / "script.pt")
    assert code == 2
    assert "a TorchScript program" in error


@pytest.mark.parametrize("inside", [False, True])
def test_cifar_10_as_pickles_is_called_that(made, tmp_path, inside, monkeypatch, capsys):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in ("batches.meta", "test_batch", *(f"data_batch_{k}" for k in range(1, 6))):
        (folder / name).write_bytes(b"\x80\x02}q\x01.")
    path = folder if inside else tmp_path
    wanted = f"; {folder} has CIFAR-10 as Python pickles, wanted its binary version, cifar-10-binary.tar.gz"
    train = ["train", "--model", "resnet20_cifar", "-o", tmp_path / "x"]
    for words in (
        [*train, "--data", path],
        [*train, "--data", "cifar10", "--data-dir", path],
        ["eval", made / "net.elq", "--data", path],
    ):
        code, error = said(capsys, *words)
        assert (code, error.count("\n")) == (2, 1)
        assert error.endswith(f"{wanted}\n")
    with pytest.raises(FileNotFoundError, match="Python pickles"):
        datasets.cifar10(path)


def test_a_picture_of_a_redirected_file_is_read(made, tmp_path):
    """/dev/stdin is a regular file where the shell redirects one."""
    if not Path("/dev/stdin").exists() or shutil.which("bash") is None:
        pytest.skip("no /dev/stdin or no bash")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.png")
    command = (
        f"{shlex.quote(sys.executable)} -m elq_ref run {made / 'net.elq'} --json /dev/stdin < {tmp_path / 'a.png'}"
    )
    done = subprocess.run(
        ["bash", "-c", command], cwd=children.FOLDER, env=children.environment(), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pictures"][0]["picture"] == "/dev/stdin"


@pytest.mark.parametrize("values", [(-0.3, 0.0, 0.3), (-0.3, 0.3), (-0.3, 0.0, 0.7)], ids=["ternary", "binary", "ttq"])
def test_verify_says_that_a_network_is_quantized(made, tmp_path, values, capsys):
    net = models.digits_cnn(seed=1)
    rng, weight = np.random.default_rng(1), net.conv2.weight
    scales = rng.random((len(weight.data), 1, 1, 1), np.float32)
    weight.data = scales * rng.choice(np.array(values, np.float32), weight.data.shape)
    path = tmp_path / "net.safetensors"
    checkpoint.save(net, path, replace(NetworkInfo.of(datasets.digits()[0]), model="digits_cnn"))
    code, error = said(capsys, "verify", "--checkpoint", path)
    assert code == 2
    assert f"{path} is quantized (conv2.weight stands on levels)" in error
    assert error.count("\n") == 1
    code, error = said(capsys, "verify", "--checkpoint", made / "net.elq")
    assert code == 2
    assert "it is a packed network (.elq), wanted a checkpoint" in error
