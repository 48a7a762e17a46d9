"""Commands on networks whose outputs are no numbers, results as JSON, and the entry of a file that --key chooses."""

import json
import math

import numpy as np
import pytest
from PIL import Image
from torch_files import dictionary, pickled, storage, tensor, zipped

from elq_ref import checkpoint, datasets, models, pack
from elq_ref.cli import main
from elq_ref.cli.output import to_json


def run(capsys, *args):
    code = main([*map(str, args)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def overflowing(tmp_path):
    """A network of finite weights, as a checkpoint and packed, whose outputs are beyond float32 for bright pictures."""
    train, _ = datasets.digits()
    net = models.digits_cnn(seed=1)
    net.fc.weight.data = np.full_like(net.fc.weight.data, 3e38)
    checkpoint.save(net, tmp_path / "net.safetensors", datasets.digits()[0])
    pack(net, train, quantized={}).save(tmp_path / "net.elq")
    for k, level in enumerate((255, 128)):
        Image.fromarray(np.full((8, 8), level, np.uint8)).save(tmp_path / f"{k}.png")
    return tmp_path


def test_eval_counts_none_of_them(overflowing, capsys):
    for file in (["net.elq"], ["net.safetensors", "--model", "digits_cnn"]):
        code, out, err = run(capsys, "eval", overflowing / file[0], *file[1:], "--data", "digits", "--json")
        assert (code, out) == (2, "")
        assert "are no numbers (NaN or infinite): no classes" in err
        assert err.count("\n") == 1


def test_run_names_the_picture(overflowing, capsys):
    code, out, err = run(capsys, "run", overflowing / "net.elq", overflowing / "0.png", "--json")
    assert (code, out) == (2, "")
    assert err.endswith("0.png: the network's outputs are no numbers (NaN or infinite), wanted a class\n")
    code, out, err = run(
        capsys, "run", overflowing / "net.elq", overflowing / "0.png", overflowing / "1.png", "--json", "--keep-going"
    )
    assert code == 1
    assert len(json.loads(out)["unreadable"]) == 2
    assert json.loads(out)["pictures"] == []
    assert err.count("no numbers") == 2


def test_json_has_no_nan():
    text = to_json({"a": [math.nan, 1.5, (math.inf, {"b": -math.inf})], "n": np.float64("nan"), "t": "NaN", "k": 1})
    assert json.loads(text) == {"a": [None, 1.5, [None, {"b": None}]], "n": None, "t": "NaN", "k": 1}
    assert text.count("NaN") == 1


def test_key(tmp_path, capsys):
    path, parts, storages = tmp_path / "a.pth", {}, {}
    for entry, net in (("best", models.digits_cnn(seed=1)), ("last", models.digits_cnn(seed=2))):
        state = {}
        for name, array in net.state_dict().items():
            at = f"{entry}{len(storages)}"
            state[name] = tensor(storage(at, array.size), array.shape, tuple(s // 4 for s in array.strides))
            storages[at] = array.tobytes()
        parts[entry] = dictionary(state)
    path.write_bytes(zipped(pickled(dictionary(parts)), storages))
    common = ["eval", path, "--model", "digits_cnn", "--data", "digits"]
    code, _, err = run(capsys, *common)
    assert code == 2
    assert "tensors are in best" in err
    assert "--key" in err
    found = {key: json.loads(run(capsys, *common, "--key", key, "--json")[1])["correct"] for key in parts}
    for key, seed in (("best", 1), ("last", 2)):
        net = models.digits_cnn(seed=seed).eval()
        checkpoint.save(net, tmp_path / "one.safetensors", datasets.digits()[0])
        one = ["eval", tmp_path / "one.safetensors", "--model", "digits_cnn", "--data", "digits", "--json"]
        assert json.loads(run(capsys, *one)[1])["correct"] == found[key]
    for command in (
        ["summary", path],
        ["pack", path, "--model", "digits_cnn", "--data", "digits", "-o", tmp_path / "p"],
    ):
        assert run(capsys, *command)[0] == 2
        assert run(capsys, *command, "--key", "last")[0] == 0
