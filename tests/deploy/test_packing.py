"""Packing: what the file computes is what the network computes, and W_hat comes back bit for bit."""

import numpy as np
import pytest
from runtime_nets import error_bounds

from elq_ref import Tensor, no_grad, ops, pack, record, unpack
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


@pytest.mark.parametrize(("levels", "per_channel"), [("ternary", False), ("ternary", True), ("binary", False)])
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
        name: (c, np.full((1,) * c.ndim, 0.125, np.float32)) for name, (c, _) in random_codes(net, rng, levels).items()
    }
    result = packed(net, quantized, shape)
    x = (rng.integers(-8, 9, (2, *shape)) / 4).astype(np.float32)
    wanted = forward(assign(net, quantized).astype(np.float64), x.astype(np.float64))
    np.testing.assert_array_equal(interpret(result.graph, x, np.float64), wanted)
    result.save(tmp_path / "net.elq")
    assert np.all(
        np.abs(Session(tmp_path / "net.elq")(x) - wanted) <= error_bounds(result.graph, x)[result.graph.output]
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
def test_unpack_returns_w_hat_bit_for_bit(levels, per_channel, tmp_path):
    rng = np.random.default_rng(42)
    net = build("digits_cnn", (1, 8, 8))
    quantized = random_codes(net, rng, levels, per_channel)
    quantized = {name: (c, (a * rng.uniform(0.5, 1)).astype(np.float32)) for name, (c, a) in quantized.items()}
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


def test_batch_norm_lies_beside_the_codes():
    rng = np.random.default_rng(43)
    conv, norm = Conv2d(2, 3, 3, rng=rng), BatchNorm2d(3)
    norm.running_mean[:], norm.running_var[:] = rng.standard_normal(3), rng.uniform(0.5, 2, 3)
    norm.weight.data = rng.standard_normal(3).astype(np.float32)
    net = Sequential(conv, norm, GlobalAvgPool())
    conv.bias.data = rng.standard_normal(3).astype(np.float32)
    result = packed(net, random_codes(net, rng), (2, 5, 5), classes=3)
    (node, *_) = result.graph.nodes
    wide = [a.astype(np.float64) for a in (norm.weight.data, norm.running_var, norm.running_mean, conv.bias.data)]
    scale = wide[0] / np.sqrt(wide[1] + norm.eps)
    np.testing.assert_array_equal(node.scale, scale.astype(np.float32))
    np.testing.assert_array_equal(node.bias, ((wide[3] - wide[2]) * scale + norm.bias.data).astype(np.float32))
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
        (lambda net, x: net.fc(record("cube", ops.reshape(x, (x.shape[0], -1)).data, (x,), None)), "cube to shape"),
        (lambda net, x: net.fc(ops.reshape(x, (-1, 8))), "batch axis"),
        (
            lambda net, x: net.fc(ops.reshape(ops.reshape(x, (x.shape[0], 4, 2, 2)), (x.shape[0], -1))),
            "reshape",
        ),
        (
            lambda net, x: net.fc(ops.add(y := ops.reshape(x, (x.shape[0], -1)), Tensor(np.ones_like(y.data)))),
            "no input",
        ),
        (
            lambda net, x: (
                ops.linear(y := ops.reshape(x, (x.shape[0], -1)), ops.reshape(net.fc.weight, (2, 8))) if x.shape else y
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
