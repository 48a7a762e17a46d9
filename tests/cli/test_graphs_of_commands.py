"""Every command that writes a checkpoint writes the graph of its network: nobody has to say --model afterwards."""

import json

import pytest

from elq_ref import Batches, GraphNet, NetworkInfo, checkpoint, datasets, models
from elq_ref.cli import demo, main
from elq_ref.cli.networks import open_network
from elq_ref.graph.parameters import graph_to_json
from elq_ref.graph_builder import to_graph
from elq_ref.runs.folder import RunFolder

SHORT = ("--epochs", "0.6", "--batch-size", "256")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with what `elq train` and `elq quantize` wrote, the states of both runs too."""
    folder = tmp_path_factory.mktemp("graphs")
    patch = pytest.MonkeyPatch()
    patch.setattr(RunFolder, "clear", lambda self: None)  # keeps what a finished training removes
    data = ["--data", "digits"]
    assert main(["train", "--model", "digits_cnn", *data, *SHORT, "-o", str(folder / "float.safetensors")]) == 0
    assert main(["quantize", str(folder / "float.safetensors"), *data, *SHORT, "-o", str(folder / "run")]) == 0
    patch.undo()
    return folder


def written(folder):
    return sorted(folder.rglob("*.safetensors"))


def test_train_and_quantize(trained):
    wanted = graph_to_json(to_graph(models.digits_cnn(), (1, 8, 8)))
    files = written(trained)
    assert [str(path.relative_to(trained)) for path in files] == [
        "float.safetensors",
        "float.safetensors.run/state.safetensors",
        "run/quantized.safetensors",
        "run/state.safetensors",
    ]
    for path in files:
        file = checkpoint.read(path)
        assert graph_to_json(file.graph) == wanted
        net, _ = open_network(file, None, datasets.digits()[1])
        assert isinstance(net, GraphNet)


def test_demo(tmp_path, monkeypatch):
    """Its float network; the runs that follow are those of `elq quantize`."""
    monkeypatch.setattr(demo, "FLOAT_EPOCHS", 0.2)
    train, test = datasets.digits()
    demo.train_float(models.digits_cnn(), Batches(train, 64), test, tmp_path / "a.safetensors", NetworkInfo.of(train))
    assert checkpoint.read(tmp_path / "a.safetensors").graph is not None


def test_reproduce(trained, tmp_path):
    float_file = str(trained / "float.safetensors")
    assert main(["reproduce", "digits", float_file, "--passes", "0.5", "-o", str(tmp_path / "run")]) == 0
    files = written(tmp_path)
    assert len(files) == 2
    assert all(checkpoint.read(path).graph is not None for path in files)


@pytest.fixture(scope="module")
def unnamed(trained, tmp_path_factory):
    """The same network in a file that does not say which model it is."""
    net, _ = open_network(checkpoint.read(trained / "float.safetensors"), None, None)
    path = tmp_path_factory.mktemp("unnamed") / "net.safetensors"
    checkpoint.save(net, path, NetworkInfo.of(datasets.digits()[1]))
    assert "model" not in checkpoint.read(path).metadata
    return path


def result(capsys, *args):
    assert main([*map(str, args), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_eval_wants_no_model(trained, unnamed, capsys):
    known, same = (result(capsys, "eval", p, "--data", "digits") for p in (trained / "float.safetensors", unnamed))
    assert (
        same
        == known
        == result(capsys, "eval", trained / "float.safetensors", "--data", "digits", "--model", "digits_cnn")
    )


def test_pack_wants_no_model(trained, unnamed, tmp_path, capsys):
    for number, path in enumerate((trained / "float.safetensors", unnamed)):
        result(capsys, "pack", path, "-o", tmp_path / f"{number}.elq")
    one, other = ((tmp_path / f"{number}.elq").read_bytes() for number in (0, 1))
    assert one[-1000:] == other[-1000:]
    assert len(one) - len(other) < 40  # the name of the model


def test_quantize_wants_no_model(trained, unnamed, tmp_path, capsys):
    result(capsys, "quantize", unnamed, "--data", "digits", *SHORT, "-o", tmp_path / "run")
    one, other = (checkpoint.read(p / "run" / "quantized.safetensors").network for p in (trained, tmp_path))
    assert {n: a.tobytes() for n, a in one.items()} == {n: a.tobytes() for n, a in other.items()}


def test_export_onnx_wants_no_model(unnamed, tmp_path, capsys):
    pytest.importorskip("onnx")
    net, _ = open_network(checkpoint.read(unnamed), None, None)
    metadata = {"graph": graph_to_json(net.graph)}
    checkpoint.write(tmp_path / "bare.safetensors", net.state_dict(), metadata)
    said = result(capsys, "export-onnx", tmp_path / "bare.safetensors", "-o", tmp_path / "net.onnx")
    assert said["output_shape"][1] == 10
    assert said["input_shape"][1:] == [1, 8, 8]


def test_another_model_is_refused(unnamed, capsys):
    assert main(["eval", str(unnamed), "--data", "digits", "--model", "lenet5"]) == 2
    assert "the tensors do not fit LeNet5" in capsys.readouterr().err
