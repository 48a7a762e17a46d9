"""BatchNorm behind convolutions: where, with which statistics, under which names, and that nothing else changes."""

import numpy as np
import pytest

from elq_ref import Batches, GraphNet, ops, restore_batch_norm, to_graph
from elq_ref.datasets import Dataset, Normalization
from elq_ref.nn import BatchNorm2d, Conv2d, Dropout, Flatten, GlobalAvgPool, Linear, Module, ReLU, Sequential
from elq_ref.tensor import Tensor, no_grad
from elq_ref.training.restoring import _divisors

SHAPE = (2, 9, 7)


def pictures(count=24):
    rng = np.random.default_rng(5)
    images = rng.integers(0, 256, (count, *SHAPE), dtype=np.uint8)
    return Dataset(images, rng.integers(0, 3, count), ("a", "b", "c"), Normalization((0.4,) * 2, (0.3,) * 2), "noise")


def folded_net(seed=1):
    """What an exporter leaves: channels of very different sizes, one that is dead, biases."""
    rng = np.random.default_rng(seed)
    net = Sequential(
        Conv2d(2, 6, 3, stride=2, padding=1, rng=rng),
        ReLU(),
        Conv2d(6, 6, 3, padding=1, groups=6, bias=False, rng=rng),
        ReLU(),
        Conv2d(6, 4, 1, rng=rng),
        GlobalAvgPool(),
        Linear(4, 3, rng=rng),
    )
    for k, spread in ((0, 3.0), (2, 2.0), (4, 1.0)):
        weight = net[k].weight
        factors = np.exp(spread * rng.standard_normal(len(weight.data))).astype(np.float32)
        factors[2] *= k > 0
        weight.data = weight.data * factors[:, None, None, None]
    for k in (0, 4):
        net[k].bias.data = rng.standard_normal(len(net[k].bias.data)).astype(np.float32)
    return net


def graph_net(net, dtype=np.float32):
    state = {name: array.astype(dtype) for name, array in net.state_dict().items()}
    return GraphNet(to_graph(net, SHAPE), state)


def outputs(net, x):
    """Of every convolution, as it is or with the BatchNorm behind it, and of the network."""
    found, values = [], {net.graph.input: Tensor(x)}
    with no_grad():
        for number, names in enumerate(net.reads):
            net.compute(number, values)
            kept = dict(values)
            if any(name.endswith("weight") for name in names):
                found.append(next(reversed(kept.values())).data)
    return found


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_function_stays_within_the_stated_bound(dtype):
    net = graph_net(folded_net(), dtype)
    batches = Batches(pictures(), 8, dtype=dtype)
    again, names = restore_batch_norm(net, batches)
    assert names == ("0_norm", "2_norm", "4_norm")
    x = pictures().normalized(dtype=dtype)
    unit = np.finfo(dtype).eps / 2
    state = again.state_dict()
    old = net.state_dict()
    was, now = (np.abs(w["0.weight"]).reshape(6, -1).max(1) for w in (old, state))
    s = np.divide(was, now, out=np.zeros_like(was), where=now > 0).astype(np.float64)  # 0 for the dead channel
    bias, mean = old["0.bias"].astype(np.float64), state["0_norm.running_mean"].astype(np.float64)
    z, norm = outputs(again.eval(), x)[:2]  # norm: and the ReLU behind it, which moves nothing further
    z = z * s[:, None, None]
    bound = 8 * unit * (np.abs(z) + (np.abs(bias) + np.abs(s * mean))[:, None, None])
    difference = np.abs(norm - np.maximum(z + bias[:, None, None], 0))
    assert (difference <= bound).all()
    assert (norm > 0).mean() > 0.2
    with no_grad():
        wanted, given = (n.eval()(Tensor(x)).data for n in (net, again))
    assert np.abs(given - wanted).max() <= 100 * unit * np.abs(wanted).max()


def test_statistics_are_those_of_the_outputs_on_training_pictures():
    net = graph_net(folded_net())
    again, _ = restore_batch_norm(net, Batches(pictures(), 5, shuffle=False))
    again.eval()
    x = pictures().normalized()
    state = again.state_dict()
    with no_grad():
        for _, module in again.named_modules():
            if isinstance(module, BatchNorm2d):
                module.momentum = 1.0  # one batch of all pictures: its own mean and variance
        again.train()(Tensor(x))
    for name, module in again.named_modules():
        if isinstance(module, BatchNorm2d):
            count = x.shape[0] * 5 * 4
            np.testing.assert_allclose(state[f"{name}.running_mean"], module.running_mean, rtol=1e-4, atol=1e-5)
            unbiased = state[f"{name}.running_var"] * count / (count - 1)
            np.testing.assert_allclose(unbiased, module.running_var, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize(("asked", "count"), [(8, 2), (9, 3)])
def test_the_first_pictures_of_epoch_0_are_taken_and_whole_batches(asked, count):
    """Batches of four; the mean and variance of their outputs in float64."""
    net = graph_net(
        Sequential(Conv2d(2, 3, 3, bias=False, rng=np.random.default_rng(3)), GlobalAvgPool(), Linear(3, 3))
    )
    batches = Batches(pictures(40), 4)
    state = restore_batch_norm(net, batches, asked)[0].state_dict()
    with no_grad():
        first = np.concatenate([x for x, _ in batches.epoch(0)][:count]).astype(np.float64)
        y = ops.conv2d(Tensor(first), Tensor(state["0.weight"].astype(np.float64))).data
    np.testing.assert_allclose(state["0_norm.running_mean"], y.mean((0, 2, 3)), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(state["0_norm.running_var"], y.var((0, 2, 3)), rtol=1e-5)


def test_many_pictures_in_a_batch_lose_nothing():
    """A sum over 20,000 pictures in float32, one after the other, is off by 1e-5 and more."""
    rng = np.random.default_rng(4)
    images = rng.integers(200, 256, (20_000, 1, 1, 2), dtype=np.uint8)
    noise = Dataset(images, rng.integers(0, 2, len(images)), ("a", "b"), Normalization((0.0,), (1.0,)), "noise")
    net = Sequential(Conv2d(1, 2, 1, bias=False), GlobalAvgPool(), Linear(2, 2))
    net[0].weight.data = np.ones_like(net[0].weight.data)
    net = GraphNet(to_graph(net, (1, 1, 2)), net.state_dict())
    state = restore_batch_norm(net, Batches(noise, len(images), shuffle=False))[0].state_dict()
    x = images.astype(np.float64) / 255 * float(state["0.weight"][0, 0, 0, 0])
    np.testing.assert_allclose(state["0_norm.running_mean"], x.mean(), rtol=3e-7)
    np.testing.assert_allclose(state["0_norm.running_var"], x.var(), rtol=3e-7)


def test_every_channel_gets_the_size_of_new_weights_by_a_power_of_two():
    net = graph_net(folded_net())
    before = net.state_dict()
    after = restore_batch_norm(net, Batches(pictures(), 8))[0].state_dict()
    for name in ("0.weight", "2.weight", "4.weight"):
        w, fan_in = after[name].reshape(len(after[name]), -1), after[name][0].size
        size = np.sqrt((w.astype(np.float64) ** 2).mean(1) * fan_in / 2)
        alive = size > 0
        assert ((size[alive] >= 0.5**0.5 * 0.999) & (size[alive] <= 2**0.5 * 1.001)).all()
        top = np.abs(before[name]).reshape(len(w), -1).argmax(1)
        rows = before[name].reshape(len(w), -1)
        ratio = rows[np.arange(len(w)), top][alive] / w[np.arange(len(w)), top][alive]
        assert (np.frexp(ratio)[0] == 0.5).all()
    np.testing.assert_array_equal(after["0.weight"][2], 0)
    assert {n for n in before if n.endswith("bias")} - after.keys() == {"0.bias", "4.bias"}
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, before[name])  # the network that was given is as it was


class Branches(Module):
    """BatchNorm behind some convolutions: directly, behind a concat; one of one pixel, one that is used twice."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.a, self.norm_a = Conv2d(2, 4, 1, rng=rng), BatchNorm2d(4)
        self.b, self.c, self.norm_bc = Conv2d(4, 2, 1, rng=rng), Conv2d(4, 3, 1, rng=rng), BatchNorm2d(5)
        self.d = Conv2d(5, 4, 1, rng=rng)
        self.twice = Conv2d(4, 4, 3, padding=1, rng=rng)
        self.squeeze = Conv2d(4, 4, (9, 7), rng=rng)
        self.squeeze_norm = Conv2d(4, 3, 1, rng=rng)  # whose name d's BatchNorm does not take
        self.fc = Linear(3, 3, rng=rng)

    def forward(self, x):
        x = ops.relu(self.norm_a(self.a(x)))
        x = ops.relu(self.norm_bc(ops.concat([self.b(x), self.c(x)])))
        x = self.twice(self.twice(self.d(x)))
        return self.fc(Flatten()(self.squeeze_norm(self.squeeze(x))))


def test_nothing_is_put_where_one_is_or_a_picture_is_one_pixel():
    _, names = restore_batch_norm(graph_net(Branches()), Batches(pictures(), 8))
    assert names == ("d_norm",)


def test_who_reads_a_convolution_decides():
    class Readers(Module):
        def __init__(self):
            rng = np.random.default_rng(0)
            self.both, self.norm = Conv2d(2, 3, 1, rng=rng), BatchNorm2d(3)  # and a ReLU reads it
            self.late, self.late_norm = Conv2d(3, 3, 1, rng=rng), BatchNorm2d(3)  # behind a ReLU
            self.joined = Conv2d(3, 3, 1, rng=rng)  # read by a concat that no BatchNorm reads
            self.fc = Linear(6, 3, rng=rng)

        def forward(self, x):
            x = self.both(x)
            x = self.norm(x) + ops.relu(x)
            x = self.late_norm(ops.relu(self.late(x)))
            return self.fc(GlobalAvgPool()(ops.concat([self.joined(x), x])))

    net, names = restore_batch_norm(graph_net(Readers()), Batches(pictures(), 8))
    assert names == ("late_norm2", "joined_norm")
    assert {node.attributes["eps"] for node in net.graph.nodes if node.op == "batch_norm"} == {BatchNorm2d(1).eps}


def test_names_are_stable_and_give_way():
    class Taken(Module):
        def __init__(self):
            rng = np.random.default_rng(0)
            self.conv, self.conv_norm = Conv2d(2, 6, 3, rng=rng), Linear(6, 3, rng=rng)

        def forward(self, x):
            return self.conv_norm(GlobalAvgPool()(self.conv(x)))

    _, names = restore_batch_norm(graph_net(Taken()), Batches(pictures(), 8))
    assert names == ("conv_norm2",)
    twice = [restore_batch_norm(graph_net(folded_net()), Batches(pictures(), 8))[1] for _ in range(2)]
    assert twice[0] == twice[1]


def test_a_network_that_has_its_batch_norm_stays_itself():
    rng = np.random.default_rng(0)
    net = graph_net(Sequential(Conv2d(2, 4, 3, rng=rng), BatchNorm2d(4), GlobalAvgPool(), Linear(4, 3, rng=rng)))
    assert restore_batch_norm(net, Batches(pictures(), 8)) == (net, ())


def test_no_channel_is_divided_by_more_than_a_stated_power_of_two():
    w = (
        np.ones((5, 1, 1, 2), np.float32)
        * np.array([2.0**-90, 2.0**-40, 1, 2.0**40, 2.0**90], np.float32)[:, None, None, None]
    )
    assert _divisors(w).tolist() == [2.0**-40, 2.0**-40, 1, 2.0**40, 2.0**40]


def test_statistics_are_taken_in_evaluation_mode_whatever_mode_the_network_is_in():
    plain = Sequential(*folded_net())
    dropped = Sequential(Dropout(0.5), *folded_net())
    found = []
    for net in (plain, dropped):
        at = graph_net(net).train()
        again, _ = restore_batch_norm(at, Batches(pictures(), 8))
        assert at.training
        found.append(list(again.state_dict().values()))
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
