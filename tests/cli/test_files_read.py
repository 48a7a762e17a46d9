"""What commands read: a checkpoint once, and no data set to learn what the checkpoint says."""

import json
from dataclasses import replace

import children
import numpy as np
import pytest

from elq_ref import checkpoint, datasets, models
from elq_ref.cli import main
from elq_ref.graph import NetworkInfo
from elq_ref.runtime import PackedNetwork, Session

COUNTING = """
import json, sys
opened = []
sys.addaudithook(lambda event, args: opened.append(args[0]) if event == "open" and args[0] == sys.argv[1] else None)
from elq_ref.cli import main
counts = []
for command in json.loads(sys.argv[2]):
    opened.clear()
    assert main(command) == 0, command
    counts.append(len(opened))
print(json.dumps(counts), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A checkpoint that says it all, some weights as codes."""
    path = tmp_path_factory.mktemp("network") / "net.safetensors"
    net, info = models.digits_cnn(seed=1), replace(NetworkInfo.of(datasets.digits()[0]), model="digits_cnn")
    weight = net.quantizable()["conv2.weight"]
    codes, alpha = np.sign(weight.data).astype(np.int8), np.full((1, 1, 1, 1), 0.125, np.float32)
    weight.data = codes * alpha
    checkpoint.save(net, path, info, codes={"conv2.weight": (codes, alpha)}, plan={"levels": "binary"})
    return path


def test_a_command_reads_its_checkpoint_once(network, tmp_path):
    file, data = str(network), ["--data", "digits"]
    commands = [
        ["summary", file],
        ["eval", file, *data],
        ["pack", file, "-o", f"{tmp_path}/net.elq"],
        ["crosscheck", "record", file, *data, "--steps", "1", "-o", f"{tmp_path}/trace"],
        ["quantize", file, *data, "--epochs", "0.1", "-o", f"{tmp_path}/run"],
        ["reproduce", "digits", file, "--passes", "0.1", "-o", f"{tmp_path}/other"],
    ]
    done = children.run_python(COUNTING, file, json.dumps(commands))
    assert done.returncode == 0, done.stderr
    begun = [1, 1, 0, 0, 0, 0]  # where a packed network may be given too, how the file begins is looked at first
    assert json.loads(done.stderr.splitlines()[-1]) == [1 + k for k in begun]


def test_pack_takes_from_the_checkpoint_what_it_says(network, tmp_path, monkeypatch, capsys):
    x = datasets.digits()[1].images[:10]
    assert main(["pack", str(network), "--data", "digits", "-o", str(tmp_path / "a.elq")]) == 0
    monkeypatch.setattr(datasets, "load", lambda *_: pytest.fail("a data set was loaded"))
    for name, more in (("b", []), ("c", ["--data", "digits"])):
        assert main(["pack", str(network), *more, "-o", str(tmp_path / f"{name}.elq")]) == 0
        assert (tmp_path / f"{name}.elq").read_bytes() == (tmp_path / "a.elq").read_bytes()
    packed = PackedNetwork.load(tmp_path / "b.elq")
    assert packed.layers["conv2"].levels == "binary"
    assert packed.metadata.method == {"model": "digits_cnn", "plan": {"levels": "binary"}}
    assert Session(packed)(x).shape == (10, 10)


def test_pack_asks_for_data_where_the_checkpoint_says_nothing(tmp_path, capsys):
    bare = tmp_path / "bare.safetensors"
    checkpoint.write(bare, models.digits_cnn().state_dict(), {})
    command = ["pack", str(bare), "--model", "digits_cnn", "-o", str(tmp_path / "net.elq")]
    assert main(command) == 2
    assert capsys.readouterr().err == f"elq: {bare} does not say which pictures its network reads: give --data\n"
    assert main([*command, "--data", "digits"]) == 0
    packed = PackedNetwork.load(tmp_path / "net.elq")
    _, test = datasets.digits()
    assert (packed.graph.input_shape, packed.metadata.classes) == (test.input_shape, test.classes)


def test_other_data_than_the_checkpoint_states_is_refused(network, tmp_path, monkeypatch, capsys):
    halves = [replace(part, images=part.images[:, :, ::2], name="halves") for part in datasets.digits()]
    monkeypatch.setattr(datasets.loading, "load", lambda _, folder, split: halves[split == "test"])
    assert main(["quantize", str(network), "--data", "digits", "-o", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err == "elq: the network reads pictures (1, 8, 8), halves has (1, 4, 8)\n"
    assert not (tmp_path / "run").exists()
