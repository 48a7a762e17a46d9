"""What a checkpoint says of its network: all of it, some of it, or nothing."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import safetensors

from elq_ref import checkpoint, datasets, models, to_graph
from elq_ref.datasets import Normalization
from elq_ref.errors import FormatError
from elq_ref.graph import NetworkInfo
from elq_ref.graph.parameters import graph_to_json

INFO = NetworkInfo((1, 8, 8), tuple("0123456789"), Normalization((0.3,), (0.4,)), "digits_cnn")
STATED = {
    "model": "digits_cnn",
    "input_shape": [1, 8, 8],
    "classes": list("0123456789"),
    "normalization": {"mean": [0.3], "std": [0.4]},
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.safetensors"


def test_a_saved_network_says_all_that_is_needed(path):
    net = models.digits_cnn(seed=3)
    checkpoint.save(net, path, INFO)
    file = checkpoint.read(path)
    assert (file.info, file.model, file.plan, file.codes) == (INFO, "digits_cnn", None, {})
    assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    with safetensors.safe_open(path, "numpy") as raw:
        text = raw.metadata()["elq"]
    said = {"kind": "network", **STATED, "graph": graph_to_json(to_graph(net, INFO.input_shape))}
    assert text == json.dumps(said)  # these keys in this order, as every version wrote them; then the graph
    other = models.digits_cnn(seed=4)
    file.load_into(other)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name], array)


def test_of_a_data_set_the_model_stays_open(path):
    train, _ = datasets.digits()
    checkpoint.save(models.digits_cnn(), path, train)
    file = checkpoint.read(path)
    assert file.model is None
    assert file.info == NetworkInfo.of(train)


def test_codes_and_plan_are_kept_beside_the_weights(path):
    net = models.digits_cnn()
    codes = np.random.default_rng(0).integers(-1, 2, net.quantizable()["fc.weight"].shape, dtype=np.int8)
    alpha = np.full((1, 1), 0.25, np.float32)
    checkpoint.save(net, path, INFO, codes={"fc.weight": (codes, alpha)}, plan={"levels": "ternary"})
    file = checkpoint.read(path)
    assert file.plan == {"levels": "ternary"}
    assert list(file.codes) == ["fc.weight"]
    for found, saved in zip(file.codes["fc.weight"], (codes, alpha), strict=True):
        np.testing.assert_array_equal(found, saved)
    assert set(file.network) == set(net.state_dict())
    tensors = {name: t for name, t in file.tensors.items() if name != "elq/alpha/fc.weight"}
    checkpoint.write(path, tensors, file.metadata)
    with pytest.raises(FormatError, match=r"net\.safetensors has codes of fc\.weight and no elq/alpha/fc\.weight"):
        _ = checkpoint.read(path).codes


def test_tensors_come_in_the_order_of_the_file(path):
    checkpoint.save(models.lenet5(), path, replace(INFO, input_shape=(1, 28, 28), model="lenet5"))
    length = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + length])
    del header["__metadata__"]
    places = [header[name]["data_offsets"][0] for name in checkpoint.read(path).tensors]
    assert len(places) == len(header) == 10
    assert places == sorted(places)


@pytest.mark.parametrize("missing", ["model", "input_shape", "classes", "normalization"])
def test_what_a_file_does_not_state_is_as_usual(path, missing):
    stated = {key: value for key, value in STATED.items() if key != missing}
    checkpoint.write(path, {}, stated)
    usual = NetworkInfo((1, 5, 6), ("x",), Normalization((0.1,), (0.2,)), "lenet5")
    file = checkpoint.read(path)
    assert file.completed(usual) == replace(INFO, **{missing: getattr(usual, missing)})
    assert file.info == (replace(INFO, model=None) if missing == "model" else None)


def test_channels_that_contradict_each_other_are_refused(path):
    checkpoint.write(path, {}, {**STATED, "input_shape": [3, 8, 8]})
    with pytest.raises(FormatError, match=r"its metadata is damaged: the normalization has 1 channel\(s\)"):
        checkpoint.read(path)
