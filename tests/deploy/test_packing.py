"""Packing: what the file computes is what the network computes, and W_hat comes back bit for bit."""

import re

import numpy as np
import pytest
from runtime_nets import error_bounds
from small_runs import batches, small_net

from elq_ref import Batches, Plan, Tensor, no_grad, ops, pack, quantize, unpack
from elq_ref.datasets import Dataset, Normalization
from elq_ref.deploy.packing import codes_of
from elq_ref.graph import NetworkInfo
from elq_ref.methods import plan_for
from elq_ref.models import build
from elq_ref.models.resnet_cifar import ResNetCifar
from elq_ref.nn import (
    BatchNorm2d,
    Conv2d,
    Flatten,
    GlobalAvgPool,
    Linear,
    Module,
    ReLU,
    Sequential,
)
from elq_ref.runtime import Session, interpret, load


def dyadic(net, rng, largest=2):
    """Parameters and statistics that are small multiples of powers of two, with eps = 0: a short network's
    result is then exact in float64 in any order. gamma and 1 / sqrt(var) are 1 / largest to largest."""
    steps = int(np.log2(largest))
    for _, module in net.named_modules():
        if isinstance(module, BatchNorm2d):
            channels = len(module.running_mean)
            module.eps = 0.0
            module.running_mean[:] = rng.integers(-8, 9, channels) / 8
            module.running_var[:] = 4.0 ** rng.integers(-steps, steps + 1, channels)
            module.weight.data = (
                rng.choice([-1, 1], channels) * 2.0 ** rng.integers(-steps, steps + 1, channels)
            ).astype(np.float32)
            module.bias.data = (rng.integers(-8, 9, channels) / 8).astype(np.float32)
        elif isinstance(module, Conv2d | Linear) and module.bias is not None:
            module.bias.data = (rng.integers(-8, 9, len(module.bias.data)) / 8).astype(np.float32)
    return net


def random_codes(net, rng, levels="ternary", per_channel=False):
    """Codes and scales for every quantizable weight, scales with all axes as ELQ keeps them."""
    quantized = {}
    for name, w in net.quantizable().items():
        codes = rng.integers(-1, 2, w.shape) if levels == "ternary" else rng.choice([-1, 1], w.shape)
        alpha = 2.0 ** rng.integers(-4, -1, (w.shape[0] if per_channel else 1, *[1] * (len(w.shape) - 1)))
        quantized[name] = codes.astype(np.int8), alpha.astype(np.float32)
    return quantized


def assign(net, quantized):
    """The network with W_hat for weights."""
    for name, w in net.quantizable().items():
        if name in quantized:
            codes, alpha = quantized[name]
            w.data = alpha * codes.astype(np.float32)
    return net


def packed(net, quantized, shape, classes=10):
    normalization = ([0.5] * shape[0], [0.25] * shape[0])
    names = [f"class {k}" for k in range(classes)]
    return pack(
        net,
        quantized,
        input_shape=shape,
        normalization=normalization,
        classes=names,
        metadata={"plan": (1, 2)},
    )


def forward(net, x):
    with no_grad():
        return net.eval()(Tensor(x)).data


@pytest.mark.parametrize(
    ("levels", "per_channel"), [("ternary", False), ("ternary", True), ("binary", False)]
)
@pytest.mark.parametrize(
    ("name", "shape"), [("lenet5", (1, 12, 10)), ("lenet5", (3, 20, 20)), ("digits_cnn", (1, 8, 8))]
)
def test_the_packed_network_computes_exactly_what_the_network_does(name, shape, levels, per_channel):
    rng = np.random.default_rng(40)
    net = dyadic(build(name, shape), rng)
    quantized = random_codes(net, rng, levels, per_channel)
    result = packed(net, quantized, shape)
    assert {weight.levels for weight in result.layers.values()} == {levels}
    x = rng.integers(-8, 9, (3, *shape)) / 4
    wanted = forward(assign(net, quantized).astype(np.float64), x)
    np.testing.assert_array_equal(interpret(result.graph, x, np.float64), wanted)


@pytest.mark.parametrize("levels", ["ternary", "binary"])
def test_a_resnet_with_residuals_and_option_a(levels, tmp_path):
    rng = np.random.default_rng(41)
    shape = (3, 8, 16)
    net = dyadic(ResNetCifar(8, shape, 10, 0), rng, largest=1)  # 8 layers of 3 more bits each: exact in 53
    quantized = {
        name: (c, np.full((1,) * c.ndim, 0.125, np.float32))
        for name, (c, _) in random_codes(net, rng, levels).items()
    }
    result = packed(net, quantized, shape)
    x = (rng.integers(-8, 9, (2, *shape)) / 4).astype(np.float32)
    wanted = forward(assign(net, quantized).astype(np.float64), x.astype(np.float64))
    np.testing.assert_array_equal(interpret(result.graph, x, np.float64), wanted)
    result.save(tmp_path / "net.elq")
    assert np.all(
        np.abs(Session(tmp_path / "net.elq")(x) - wanted)
        <= error_bounds(result.graph, x)[result.graph.output]
    )


def test_the_graph_of_resnet20():
    result = packed(build("resnet20", (3, 32, 32)), {}, (3, 32, 32))
    ops_of = [node.op for node in result.graph.nodes]
    count = {op: ops_of.count(op) for op in ops_of}
    assert count == {
        "conv": 19,
        "relu": 19,
        "add": 9,
        "subsample": 2,
        "pad": 2,
        "global_avg_pool": 1,
        "linear": 1,
    }
    assert result.float_bytes == 4 * (432 + 6 * 2304 + 4608 + 5 * 9216 + 18432 + 5 * 36864 + 640)


@pytest.mark.parametrize("levels", ["ternary", "binary"])
@pytest.mark.parametrize("per_channel", [False, True])
def test_unpack_returns_what_bit_for_bit(levels, per_channel, tmp_path):
    rng = np.random.default_rng(42)
    net = build("digits_cnn", (1, 8, 8))
    quantized = random_codes(net, rng, levels, per_channel)
    quantized = {
        name: (c, (a * rng.uniform(0.5, 1)).astype(np.float32)) for name, (c, a) in quantized.items()
    }
    kept = quantized.pop("conv1.weight")
    assert kept
    packed(net, quantized, (1, 8, 8)).save(tmp_path / "net.elq")
    back = unpack(load(tmp_path / "net.elq"))
    assert list(back) == list(net.quantizable())
    for name, w in net.quantizable().items():
        if name == "conv1.weight":
            wanted = w.data
        else:
            codes, alpha = quantized[name]
            wanted = np.where(codes == 0, np.float32(0), np.broadcast_to(alpha, codes.shape) * codes)
        assert back[name].dtype == np.float32
        assert back[name].tobytes() == wanted.astype(np.float32).tobytes()


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
    np.testing.assert_array_equal(got_codes * got_alpha.reshape(-1, *[1] * (len(shape) - 1)), w)


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
    result = packed(net, None, (2, 3, 3), classes=4)
    np.testing.assert_array_equal(result.layers["kernel"].values(), net.kernel.data)
    assert result.layers["kernel"].levels == "binary"


def test_batch_norm_lies_beside_the_codes():
    rng = np.random.default_rng(43)
    conv, norm = Conv2d(2, 3, 3, rng=rng), BatchNorm2d(3)
    norm.running_mean[:], norm.running_var[:] = rng.standard_normal(3), rng.uniform(0.5, 2, 3)
    norm.weight.data = rng.standard_normal(3).astype(np.float32)
    net = Sequential(conv, norm, GlobalAvgPool())
    conv.bias.data = rng.standard_normal(3).astype(np.float32)
    result = packed(net, random_codes(net, rng), (2, 5, 5), classes=3)
    (node, *_) = result.graph.nodes
    wide = [
        a.astype(np.float64) for a in (norm.weight.data, norm.running_var, norm.running_mean, conv.bias.data)
    ]
    scale = wide[0] / np.sqrt(wide[1] + norm.eps)
    np.testing.assert_array_equal(node.scale, scale.astype(np.float32))
    np.testing.assert_array_equal(
        node.bias, ((wide[3] - wide[2]) * scale + norm.bias.data).astype(np.float32)
    )
    assert [n.op for n in result.graph.nodes] == ["conv", "global_avg_pool"]


class Branches(Module):
    """A convolution whose result two operations read, one weight used twice, BatchNorm on its own and twice
    in a row.
    """

    def __init__(self):
        rng = np.random.default_rng(44)
        self.conv = Conv2d(2, 2, 3, padding=1, rng=rng)
        self.bn1, self.bn2, self.bn3, self.bn4 = (BatchNorm2d(2) for _ in range(4))
        self.fc = Linear(8, 4, rng=rng)

    def forward(self, x):
        x = self.bn1(x)
        y = self.conv(x)
        y = self.bn2(y, residual=y, relu=True)
        z = self.bn4(self.bn3(self.conv(y)))
        return self.fc(Flatten()(ops.avg_pool(ReLU()(ops.add(z, x)), 2)))


def test_what_may_not_be_folded_is_not():
    rng = np.random.default_rng(45)
    net = dyadic(Branches(), rng)
    quantized = random_codes(net, rng)
    result = packed(net, quantized, (2, 4, 5), classes=4)
    assert [f"{node.op} {node.name}" for node in result.graph.nodes] == [
        "scale_shift bn1", "conv conv", "scale_shift bn2", "add bn2.add", "relu bn2.relu", "conv conv#2",
        "add add", "relu relu", "avg_pool avg_pool", "flatten flatten", "linear fc",
    ]  # fmt: skip
    x = rng.integers(-8, 9, (2, 2, 4, 5)) / 4
    wanted = forward(assign(net, quantized).astype(np.float64), x)
    np.testing.assert_array_equal(interpret(result.graph, x, np.float64), wanted)
    assert list(unpack(result)) == ["conv.weight", "fc.weight"]


class Odd(Module):
    """A network with one operation of the test's choice."""

    def __init__(self, function):
        self.fc = Linear(8, 2, rng=np.random.default_rng(46))
        self.function = function

    def forward(self, x):
        return self.function(self, x)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda net, x: net.fc(ops.reshape(ops.mul(x, x), (x.shape[0], -1))), "mul"),
        (lambda net, x: net.fc(ops.reshape(x, (-1, 8))), "batch axis"),
        (
            lambda net, x: net.fc(ops.reshape(ops.reshape(x, (x.shape[0], 4, 2, 2)), (x.shape[0], -1))),
            "reshape",
        ),
        (
            lambda net, x: net.fc(
                ops.add(y := ops.reshape(x, (x.shape[0], -1)), Tensor(np.ones_like(y.data)))
            ),
            "no input",
        ),
        (
            lambda net, x: (
                ops.linear(y := ops.reshape(x, (x.shape[0], -1)), ops.reshape(net.fc.weight, (2, 8)))
                if x.shape
                else y
            ),
            "reads the parameter fc.weight",
        ),
        (lambda net, x: x, "last operation"),
    ],
)
def test_what_a_graph_cannot_hold_is_refused(function, message):
    with pytest.raises(ValueError, match=message):
        packed(Odd(function), {}, (2, 4, 2) if "batch" in message else (2, 2, 2), classes=2)


def test_wrong_arguments_are_named():
    rng = np.random.default_rng(47)
    net = build("lenet5", (1, 8, 8))
    quantized = random_codes(net, rng)
    codes, alpha = quantized["fc3.weight"]
    for wrong, message in (
        ({"fc9.weight": (codes, alpha)}, "named fc9.weight"),
        ({"fc3.bias": (codes, alpha)}, "named fc3.bias"),
        ({"fc3.weight": (codes.T, alpha)}, r"\(84, 10\), the weight has \(10, 84\)"),
        ({"fc3.weight": (codes, alpha.astype(np.float64))}, "float64"),
        ({"fc3.weight": (codes, np.ones(3, np.float32))}, r"\(3,\), wanted float32, 1 or 10"),
        ({"fc3.weight": (codes * 2, alpha)}, "codes are"),
        ({"fc3.weight": (codes, -alpha)}, "at least 0"),
    ):
        with pytest.raises(ValueError, match=message):
            packed(net, quantized | wrong, (1, 8, 8))
    with pytest.raises(ValueError, match=r"3 class name\(s\)"):
        packed(net, quantized, (1, 8, 8), classes=3)
    with pytest.raises(ValueError, match=r"input_shape is \(8, 8\), wanted three integers"):
        packed(net, quantized, (8, 8))
    with pytest.raises(TypeError, match=r"float32 network, conv1\.weight is float64"):
        packed(net.astype(np.float64), {}, (1, 8, 8))


def test_packing_leaves_the_network_free_to_change():
    rng = np.random.default_rng(48)
    net = build("lenet5", (1, 8, 8))
    result = packed(net, {}, (1, 8, 8))
    before = unpack(result)["fc1.weight"].copy()
    net.fc1.weight.data = net.fc1.weight.data + 1
    np.testing.assert_array_equal(unpack(result)["fc1.weight"], before)
    x = rng.standard_normal((1, 1, 8, 8)).astype(np.float32)
    assert np.isfinite(Session(result)(x)).all()
    assert result.metadata.method == {"plan": [1, 2]}
