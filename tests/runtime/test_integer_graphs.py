"""Networks of the operations of today on int8: against loops, and as near to floats as their scales allow."""

import numpy as np
import pytest
from random_graphs import packed_graph
from runtime_nets import content_of, modern, network, normalized, packed, random_pictures, random_weight, with_int8

from elq_ref.deploy import calibrate
from elq_ref.graph.shapes import PACKED_OPS
from elq_ref.runtime import Node, Session, interpret, interpret_int8
from elq_ref.statements import loops
from elq_ref.statements.elq_file import read
from elq_ref.statements.integers import of_picture

pytestmark = pytest.mark.kernels

INT8_OPS = tuple(op for op in PACKED_OPS if op != "lrn")


def against_loops(net, pictures):
    """Every value, raw and logits of the definition are those of loops over the integers of the file."""
    content = content_of(net)
    file, back = read(content), packed(content)
    got = interpret_int8(back.int8, pictures)
    for number, picture in enumerate(pictures):
        known, raw = loops.integer_values(file, of_picture(file, picture))
        assert known.keys() == got.values.keys()
        for name, value in known.items():
            np.testing.assert_array_equal(got.values[name][number], value, err_msg=name)
        np.testing.assert_array_equal(got.raw[number], raw)
    np.testing.assert_array_equal(Session(back, "int8")(pictures), got.logits, strict=True)


@pytest.mark.parametrize("seed", range(2 * len(INT8_OPS)))
def test_random_graphs_against_loops(seed):
    """Each op of the table twice among them; scales that some values exceed."""
    graph, rng = packed_graph(seed, INT8_OPS), np.random.default_rng(seed)
    net = with_int8(network(graph.nodes, graph.input_shape, 5), rng, 0.8)
    against_loops(net, random_pictures(rng, net, 1))


class Layers:
    """Nodes in a row, each named after what it is; ternary weights with a scale a channel that keeps values near 1, as
    BatchNorm does."""

    def __init__(self, rng, shape):
        self.rng, self.nodes, self.channels = rng, [], {"input": shape[0]}
        self.shape, self.last = shape, "input"

    def put(self, op, *inputs, channels=None, attributes=None, **arrays):
        name = f"{op}{len(self.nodes)}"
        inputs = inputs or (self.last,)
        self.nodes.append(Node(op, name, inputs, attributes or {}, **arrays))
        self.channels[name] = channels or self.channels[inputs[0]]
        self.last = name
        return name

    def conv(self, outputs, kernel=3, stride=1, groups=1, source=None):
        source = source or self.last
        inputs = self.channels[source] // groups
        weight = random_weight(self.rng, "ternary", (outputs, inputs, kernel, kernel))
        spread = 1 / (float(weight.alpha[0]) * np.sqrt(2 / 3 * inputs * kernel * kernel))
        scale = (spread * self.rng.uniform(0.7, 1.4, outputs)).astype(np.float32)
        bias = self.rng.uniform(-0.3, 0.3, outputs).astype(np.float32)
        geometry = {
            "stride": (stride,) * 2, "padding": (kernel // 2,) * 2, "dilation": (1, 1), "groups": groups,
        }  # fmt: skip
        return self.put("conv", source, channels=outputs, attributes=geometry, weight=weight, scale=scale, bias=bias)

    def pool(self, op="max_pool", kernel=3, stride=2, **more):
        border = {"kernel": (kernel,) * 2, "stride": (stride,) * 2, "padding": (1, 1, 1, 1)}
        return self.put(op, attributes=border | more)

    def head(self, classes=10):
        self.put("global_avg_pool")
        weight = random_weight(self.rng, "ternary", (classes, self.channels[self.last]))
        scale, bias = np.full(classes, 1.0, np.float32), np.zeros(classes, np.float32)
        self.put("linear", channels=classes, weight=weight, scale=scale, bias=bias)
        return network(self.nodes, self.shape, classes)


def mobilenet_v3(rng):
    """hard_swish, depthwise convolutions, squeeze-and-excite, a shortcut."""
    g = Layers(rng, (3, 16, 16))
    g.conv(16, stride=2)
    g.put("hard_swish")
    for outputs, stride in ((16, 1), (24, 2), (24, 1)):
        start = g.last
        g.conv(2 * g.channels[start], 1)
        g.put("hard_swish")
        g.conv(g.channels[g.last], 3, stride, groups=g.channels[g.last])
        whole = g.put("hard_swish")
        size = 8 // (2 if len(g.nodes) > 12 else 1)
        g.put("avg_pool", attributes={"kernel": (size, size), "stride": (1, 1)})
        g.conv(8, 1)
        g.put("relu")
        g.conv(g.channels[whole], 1)
        gate = g.put("hard_sigmoid", attributes={"alpha": 1 / 6, "beta": 0.5})
        g.put("mul", whole, gate)
        last = g.conv(outputs, 1)
        if stride == 1 and g.channels[start] == outputs:
            g.put("add", last, start)
    return g.head()


def shufflenet(rng):
    """Channels split, joined and shuffled; max pooling with a border."""
    g = Layers(rng, (3, 16, 16))
    g.conv(16)
    g.put("relu")
    g.pool()
    for _ in range(2):
        whole, half = g.last, g.channels[g.last] // 2
        left = g.put("slice", whole, channels=half, attributes={"first": 0, "last": half})
        g.put("slice", whole, channels=half, attributes={"first": half, "last": 2 * half})
        g.conv(half, 1)
        g.put("relu")
        g.conv(half, 3, groups=half)
        g.conv(half, 1)
        right = g.put("relu")
        g.put("concat", left, right, channels=2 * half)
        g.put("shuffle", attributes={"groups": 2})
    return g.head()


def densenet(rng):
    """Every layer reads all before it, through BatchNorm and ReLU; averages between."""
    g = Layers(rng, (3, 16, 16))
    features = [g.conv(12)]
    for _ in range(4):
        if len(features) > 1:
            g.put("concat", *features, channels=sum(g.channels[name] for name in features))
        channels = g.channels[g.last]
        scale, bias = rng.uniform(0.7, 1.3, (2, channels)).astype(np.float32) - np.float32([[0], [1]])
        g.put("scale_shift", scale=scale, bias=bias)
        g.put("relu")
        features.append(g.conv(8))
    g.put("concat", *features, channels=sum(g.channels[name] for name in features))
    g.pool("avg_pool", kernel=3, counted=(0, 0, 0, 0))
    return g.head()


def googlenet(rng):
    """Branches of 1x1, 3x3 and pooling, joined; silu and clips."""
    g = Layers(rng, (3, 16, 16))
    g.conv(12)
    start = g.put("clip", attributes={"low": 0.0, "high": 6.0})
    for _ in range(2):
        branches = []
        for kernel in (1, 3):
            g.conv(8, 1, source=start)
            g.put("silu")
            if kernel > 1:
                g.conv(8, kernel)
                g.put("relu")
            branches.append(g.last)
        g.last = start
        g.pool(stride=1)
        g.conv(4, 1)
        branches.append(g.put("leaky_relu", attributes={"slope": 0.1}))
        start = g.put("concat", *branches, channels=20)
    g.put("adaptive_avg_pool", attributes={"output": (3, 3)})
    return g.head()


@pytest.mark.parametrize("make", [mobilenet_v3, shufflenet, densenet, googlenet])
def test_a_network_of_its_kind_end_to_end(make, tmp_path):
    """Calibrated, saved, loaded and run: within 18 dB of floats and the same answers but for near ties, on smooth
    pictures, which unlike noise do not average out.
    """
    rng = np.random.default_rng(7)
    net = make(rng)
    coarse = rng.integers(0, 256, (96, 3, 4, 4))
    pictures = np.repeat(np.repeat(coarse, 4, 2), 4, 3).astype(np.uint8)
    made = calibrate(net, pictures[:64])
    made.save(tmp_path / "net.elq")
    session = Session(str(tmp_path / "net.elq"), "int8")
    logits, floats = session(pictures[64:]), Session(net)(pictures[64:])
    exact = interpret(net.graph, normalized(net, pictures[64:]), np.float64)
    np.testing.assert_allclose(floats, exact, rtol=1e-4, atol=1e-4 * np.abs(exact).max())
    np.testing.assert_array_equal(logits, interpret_int8(made.int8, pictures[64:]).logits, strict=True)
    moved = exact - exact.mean(0)  # what the picture says of each class
    noise = 10 * np.log10(np.square(moved).sum() / np.square(logits - exact).sum())
    assert noise > 18
    margin = np.sort(exact, 1)[:, -1] - np.sort(exact, 1)[:, -2]
    clear = margin > 4 * np.sqrt(np.square(logits - exact).mean())
    assert clear.sum() >= 20
    np.testing.assert_array_equal(logits.argmax(1)[clear], exact.argmax(1)[clear])


def test_networks_of_new_operations_against_loops():
    rng = np.random.default_rng(8)
    net = with_int8(modern(rng), rng, 0.9)
    against_loops(net, random_pictures(rng, net, 2))
