"""A last layer made anew: its shape, its seed, and that nothing else changes."""

import numpy as np
import pytest

from elq_ref import GraphNet, checkpoint, models, new_last_layer, ops, to_graph
from elq_ref.datasets import Normalization
from elq_ref.graph.info import NetworkInfo
from elq_ref.nn import BatchNorm2d, Conv2d, Flatten, GlobalAvgPool, Linear, Module, PReLU, ReLU, Sequential
from elq_ref.tensor import Tensor
from elq_ref.training.transfer import load_all_but_last


def of(net, shape=(1, 8, 8)):
    return GraphNet(to_graph(net, shape), net.state_dict())


def test_all_but_the_last_layer_stays():
    net = of(models.digits_cnn(seed=3))
    before, other = net.state_dict(), new_last_layer(net, 37, seed=1)
    after = other.state_dict()
    assert list(after) == list(before)
    assert after["fc.weight"].shape == (37, 64)
    assert after["fc.bias"].tolist() == [0.0] * 37
    for name in before.keys() - {"fc.weight", "fc.bias"}:
        np.testing.assert_array_equal(after[name], before[name])
    np.testing.assert_array_equal(net.state_dict()["fc.weight"], before["fc.weight"])
    assert after["fc.weight"].std() == pytest.approx(1 / 8, rel=0.1)
    x = Tensor(np.ones((2, 1, 8, 8), np.float32))
    assert other(x).shape == (2, 37)


def test_the_seed_decides():
    net = of(models.digits_cnn())
    weights = [new_last_layer(net, 5, *seed).state_dict()["fc.weight"] for seed in ((), (0,), (1,))]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


def test_the_only_layer_is_the_last_one():
    net = of(Sequential(Conv2d(1, 4, 3, rng=np.random.default_rng(0)), GlobalAvgPool()))
    assert new_last_layer(net, 7).state_dict()["0.weight"].shape == (7, 1, 3, 3)


def test_a_last_convolution_and_its_batch_norm_are_made_anew():
    rng = np.random.default_rng(0)
    layers = Conv2d(1, 4, 3, rng=rng), ReLU(), Conv2d(4, 6, 1, rng=rng), BatchNorm2d(6), ReLU(), GlobalAvgPool()
    net = Sequential(*layers)
    net[3].weight.data = np.full(6, 9, np.float32)
    other = new_last_layer(of(net), 3)
    state = other.state_dict()
    assert state["2.weight"].shape == (3, 4, 1, 1)
    assert state["3.weight"].tolist() == [1.0] * 3
    assert state["3.running_var"].tolist() == [1.0] * 3
    assert other(Tensor(np.ones((2, 1, 8, 8), np.float32))).shape == (2, 3)


class Odd(Module):
    """What is behind the last layer has no classes, or no layer is there."""

    def __init__(self, kind):
        rng = np.random.default_rng(0)
        self.kind = kind
        self.norm = BatchNorm2d(1)
        self.fc = Linear(64, 64, rng=rng)

    def forward(self, x):
        if self.kind == "none":
            return Flatten()(self.norm(x))
        return self.fc(self.fc(Flatten()(x)))


@pytest.mark.parametrize(
    ("kind", "said"),
    [("none", "no convolution and no fully connected layer"), ("shared", "in common with fc: it cannot be made anew")],
)
def test_where_there_is_no_such_layer_it_is_refused(kind, said):
    with pytest.raises(ValueError, match=said):
        new_last_layer(of(Odd(kind)), 3)


class Behind(Module):
    """A convolution with something behind it that has not as many classes, or that has them for another reason."""

    def __init__(self, kind):
        self.kind = kind
        self.conv = Conv2d(1, 4, 3, rng=np.random.default_rng(0))
        self.norm, self.slopes = BatchNorm2d(8), PReLU(4)

    def forward(self, x):
        y = self.conv(x)
        y = self.norm(ops.concat([y, y])) if self.kind == "twice" else self.slopes(y)
        return GlobalAvgPool()(y)


@pytest.mark.parametrize(("kind", "op"), [("twice", "batch_norm"), ("slopes", "prelu")])
def test_what_stands_behind_the_last_layer_and_has_other_channels_is_named(kind, op):
    with pytest.raises(ValueError, match=f"a {op} behind the last layer, has no 4 classes"):
        new_last_layer(of(Behind(kind)), 3)


def test_a_file_without_a_graph_gives_all_layers_but_the_last(tmp_path):
    trained = models.digits_cnn(seed=1)
    info = NetworkInfo((1, 8, 8), tuple("0123456789"), Normalization((0.3,), (0.3,)))
    checkpoint.save(trained, tmp_path / "a.safetensors", info)
    net = models.digits_cnn(classes=3, seed=2)
    fresh = net.state_dict()
    load_all_but_last(net, checkpoint.read(tmp_path / "a.safetensors"))
    state = net.state_dict()
    np.testing.assert_array_equal(state["fc.weight"], fresh["fc.weight"])
    np.testing.assert_array_equal(state["conv1.weight"], trained.state_dict()["conv1.weight"])
