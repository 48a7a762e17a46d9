"""What pack reads by itself or is told: codes out of the weights, shape, normalisation and classes of the data."""

import re

import numpy as np
import pytest
from small_runs import batches, small_net

from elq_ref import Batches, Plan, Tensor, ops, pack, quantize, unpack
from elq_ref.datasets import Dataset, Normalization
from elq_ref.deploy.packing import codes_of
from elq_ref.graph import NetworkInfo
from elq_ref.methods import plan_for
from elq_ref.models import build
from elq_ref.nn import Flatten, Linear, Module, Sequential
from elq_ref.runtime import Session, load


def on_levels(rng, shape, levels, per_channel, zero_channel=False):
    """(codes, alpha) with a fraction of 24 bits for alpha, every level in use."""
    codes = rng.integers(-1, 2, shape) if levels == "ternary" else rng.choice([-1, 1], shape)
    codes.flat[:3] = (-1, 1, 1) if levels == "binary" else (-1, 0, 1)
    alpha = rng.uniform(0.1, 0.9, (shape[0] if per_channel else 1, *[1] * (len(shape) - 1))).astype(np.float32)
    if zero_channel:
        alpha[1] = 0
    return codes.astype(np.int8), alpha


@pytest.mark.parametrize("levels", ["ternary", "binary"])
@pytest.mark.parametrize(("per_channel", "zero"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("shape", [(4, 3, 3, 3), (6, 8), (3, 1, 1, 2)])
def test_codes_are_read_out_of_the_weights(shape, levels, per_channel, zero):
    codes, alpha = on_levels(np.random.default_rng(50), shape, levels, per_channel, zero)
    w = alpha * codes.astype(np.float32)
    got_codes, got_alpha = codes_of(w)
    assert got_codes.dtype == np.int8
    np.testing.assert_array_equal(got_alpha, alpha.ravel())
    seen = np.broadcast_to(alpha > 0, shape)
    np.testing.assert_array_equal(got_codes[seen], codes[seen])
    assert (got_codes != 0).all() == (levels == "binary")
    if zero:
        assert (got_codes[1] == (levels == "binary")).all()
    np.testing.assert_array_equal(got_codes * got_alpha.reshape(-1, *[1] * (len(shape) - 1)), w)


def test_a_network_whose_only_layer_has_a_channel_of_zeros_is_on_levels():
    net = Sequential(Flatten(), Linear(4, 3))
    net[1].weight.data = np.array([[0.5, -0.5, 0, 0.5], [0, 0, 0, 0], [0, 0.25, 0, 0]], np.float32)
    packed = pack(net, NetworkInfo((1, 2, 2), ("a", "b", "c"), Normalization((0.5,), (0.5,))))
    (node,) = (node for node in packed.graph.nodes if node.op == "linear")
    assert node.weight.alpha.tolist() == [0.5, 0, 0.25]


def test_a_negative_zero_is_a_zero():
    codes, alpha = codes_of(np.array([[-0.0, 0.5, -0.5]], np.float32))
    assert (codes.tolist(), alpha.tolist()) == ([[0, 1, -1]], [0.5])


def test_what_stands_on_no_level_has_no_codes():
    rng = np.random.default_rng(51)
    codes, alpha = on_levels(rng, (4, 3, 3, 3), "ternary", False)
    w = alpha * codes.astype(np.float32)
    w[2, 1, 0, 0] = np.nextafter(alpha.item(), np.float32(1))
    assert codes_of(w) is None
    assert codes_of(rng.standard_normal((3, 2)).astype(np.float32)) is None
    assert codes_of(rng.standard_normal((3, 1, 1, 1)).astype(np.float32)) is None  # each alone on a level of its own
    assert codes_of(np.full((2, 2), np.nan, np.float32)) is None
    two_levels = np.where(codes > 0, np.float32(0.5), np.float32(0.25)) * codes  # -n and p, as TTQ has them
    assert codes_of(two_levels.astype(np.float32)) is None


def test_pack_reads_codes_out_of_the_network(tmp_path):
    """One layer on each kind of levels, one float: what the file gives back is the network, bit for bit."""
    rng = np.random.default_rng(52)
    net = build("digits_cnn", (1, 8, 8))
    kinds = {"conv2": ("ternary", False), "conv3": ("binary", True), "fc": ("ternary", True)}
    for name, (levels, per_channel) in kinds.items():
        weight = getattr(net, name).weight
        codes, alpha = on_levels(rng, weight.shape, levels, per_channel, zero_channel=per_channel)
        weight.data = alpha * codes.astype(np.float32)
    result = pack(net, small_digits())
    assert {name: w.levels for name, w in result.layers.items()} == {
        "conv1": "float", "conv2": "ternary", "conv3": "binary", "fc": "ternary"
    }  # fmt: skip
    assert [len(result.alpha(name)) for name in kinds] == [1, 64, 10]
    assert re.search(r"^conv1 +conv +32x1x3x3 +float +32\.00", result.summary(), re.M)
    result.save(tmp_path / "net.elq")
    for name, w in unpack(load(tmp_path / "net.elq")).items():
        np.testing.assert_array_equal(w, net.quantizable()[name].data)


def small_digits():
    """A data set of other numbers than any default's."""
    images = np.random.default_rng(53).integers(0, 256, (5, 1, 8, 8), dtype=np.uint8)
    return Dataset(images, np.arange(5), tuple("abcdefghij"), Normalization((0.2,), (0.7,)), "five")


def test_a_data_set_or_an_info_or_keywords_say_the_same(tmp_path):
    net, data = build("digits_cnn", (1, 8, 8)), small_digits()
    info = NetworkInfo((1, 8, 8), tuple("abcdefghij"), Normalization((0.2,), (0.7,)))
    keywords = {"input_shape": (1, 8, 8), "classes": list("abcdefghij")}
    made = [
        pack(net, data, quantized={}),
        pack(net, info, quantized={}),
        pack(net, {}, normalization=([0.2], (0.7,)), **keywords),
        pack(net, quantized={}, normalization=Normalization((0.2,), (0.7,)), **keywords),
        pack(net, {}, normalization=np.array([[0.2], [0.7]]), **keywords),
    ]
    for k, packed_network in enumerate(made):
        packed_network.save(tmp_path / f"{k}.elq")
    assert len({(tmp_path / f"{k}.elq").read_bytes() for k in range(len(made))}) == 1
    assert made[0].metadata.classes == data.classes
    pixels = (data.images / 255 - 0.2) / 0.7
    np.testing.assert_array_equal(Session(made[0])(data.images), Session(made[0])(pixels.astype(np.float32)))
    named = NetworkInfo(info.input_shape, info.classes, info.normalization, "digits_cnn")
    assert pack(net, named, quantized={}, metadata={"plan": 1}).metadata.method == {"model": "digits_cnn", "plan": 1}


def test_what_is_said_twice_or_not_is_an_error():
    net, data = build("digits_cnn", (1, 8, 8)), small_digits()
    for arguments, keywords, message in (
        ((data,), {"classes": list("ab")}, "classes= is given, and a Dataset that says it too"),
        (({},), {"quantized": {}}, "codes twice"),
        ((), {}, "wants a data set or a NetworkInfo, or input_shape=, normalization=, classes="),
        (({},), {"input_shape": (1, 8, 8), "classes": list("ab")}, "or normalization="),
        ((Batches(data, 2),), {}, "given a Batches, wanted a data set or a NetworkInfo"),
        (({},), {"input_shape": (1, 8, 8), "classes": "a", "normalization": 0.5}, r"normalization is 0\.5, wanted"),
    ):
        with pytest.raises(TypeError, match=message):
            pack(net, *arguments, **keywords)


@pytest.mark.parametrize(("method", "on_levels_at_the_end"), [("elq", True), ("twn", False)])
def test_after_a_quantization(method, on_levels_at_the_end):
    net, data = small_net(), batches()
    plan = Plan(sigma2=(0.0,), epochs=(1, 1)) if on_levels_at_the_end else plan_for(method, epochs=(1.0,))
    *_, last = quantize(net, data, plan)
    if not on_levels_at_the_end:
        with pytest.raises(ValueError, match=r"no weight .* stands on levels .* quantized=step\.state\.codes\(\)"):
            pack(net, data.dataset)
    result = pack(net, data.dataset, **({} if on_levels_at_the_end else {"quantized": last.state.codes()}))
    for name, w_hat in last.state.quantized().items():
        np.testing.assert_array_equal(unpack(result)[name], w_hat)
    assert {w.levels for w in result.layers.values()} == {"ternary"}


def test_a_float_network_is_packed_when_asked_for():
    net, data = build("digits_cnn", (1, 8, 8)), small_digits()
    with pytest.raises(ValueError, match=r"quantized=\{\} to pack a float network"):
        pack(net, data)
    net.fc.weight.data = np.zeros_like(net.fc.weight.data)  # zeros alone are no quantized network
    with pytest.raises(ValueError, match="no weight of the network"):
        pack(net, data)
    assert {w.levels for w in pack(net, data, quantized={}).layers.values()} == {"float"}


class Unusual(Module):
    """Weights that are no Conv2d's or Linear's, and one that is not used at all."""

    def __init__(self):
        rng = np.random.default_rng(54)
        self.kernel = Tensor(rng.choice([-0.3, 0.3], (4, 2, 1, 1)).astype(np.float32))
        self.idle = Linear(3, 3)

    def forward(self, x):
        return ops.global_avg_pool(ops.conv2d(x, self.kernel))


def test_weights_of_ones_own_modules_count_too():
    net = Unusual()
    result = pack(net, NetworkInfo((2, 3, 3), tuple("abcd"), Normalization((0.5,) * 2, (0.5,) * 2)))
    np.testing.assert_array_equal(result.layers["kernel"].values(), net.kernel.data)
    assert result.layers["kernel"].levels == "binary"
