"""Numbers that are none, or none of the network's dtype: the tensor is named and the network stays as it was."""

import numpy as np
import pytest

from elq_ref import checkpoint, models
from elq_ref.errors import FormatError

INFO_TEXT = {"kind": "network"}


def changed(name, index, value, dtype=np.float32):
    state = {n: a.astype(dtype) for n, a in models.digits_cnn(seed=1).state_dict().items()}
    state[name].reshape(-1)[index] = value
    return state


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["conv1.weight", "bn1.running_mean", "bn2.running_var", "bn1.weight", "fc.bias"])
def test_loading_names_the_tensor(tmp_path, name, value):
    path = tmp_path / "a.safetensors"
    checkpoint.write(path, changed(name, -1, value), INFO_TEXT)
    net = models.digits_cnn(seed=2)
    with pytest.raises(ValueError, match=rf"a\.safetensors: {name} has 1 value\(s\) of [\d,]+ that are no numbers"):
        checkpoint.load(net, path)
    for other, array in models.digits_cnn(seed=2).state_dict().items():
        np.testing.assert_array_equal(net.state_dict()[other], array)


@pytest.mark.parametrize("value", [1e39, -1e300])
def test_float64_beyond_float32(tmp_path, value):
    path = tmp_path / "a.safetensors"
    checkpoint.write(path, changed("fc.weight", 5, value, np.float64), INFO_TEXT)
    with pytest.raises(ValueError, match=r"fc\.weight has a value of 1e\+\d+, beyond float32"):
        checkpoint.load(models.digits_cnn(), path)
    net = models.digits_cnn().astype(np.float64)
    checkpoint.load(net, path)
    assert net.fc.weight.data.reshape(-1)[5] == value


def test_the_largest_float32_is_one(tmp_path):
    path = tmp_path / "a.safetensors"
    largest = float(np.finfo(np.float32).max)
    checkpoint.write(path, changed("fc.weight", 5, largest, np.float64), INFO_TEXT)
    net = models.digits_cnn()
    checkpoint.load(net, path)
    assert net.fc.weight.data.reshape(-1)[5] == largest


def test_a_variance_below_zero(tmp_path):
    path = tmp_path / "a.safetensors"
    checkpoint.write(path, changed("bn1.running_var", 0, -0.5), INFO_TEXT)
    with pytest.raises(ValueError, match=r"bn1\.running_var is a variance and has -0\.5"):
        checkpoint.load(models.digits_cnn(), path)


@pytest.mark.parametrize("value", [np.nan, 1e300])
def test_an_alpha_that_is_no_number(tmp_path, value):
    path = tmp_path / "a.safetensors"
    state = models.digits_cnn().state_dict()
    codes = {"elq/codes/fc.weight": np.zeros(state["fc.weight"].shape, np.int8)}
    checkpoint.write(path, state | codes | {"elq/alpha/fc.weight": np.array([[value]])}, INFO_TEXT)
    with pytest.raises(FormatError, match=r"a\.safetensors: elq/alpha/fc\.weight has"):
        _ = checkpoint.read(path).codes


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
def test_metadata_that_is_no_json_is_refused(tmp_path, number):
    """It could not be written again."""
    header = b'{"__metadata__":{"elq":"{\\"plan\\":{\\"a1\\":%s}}"}}' % number.encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(FormatError, match="its metadata is damaged"):
        checkpoint.read(path)
