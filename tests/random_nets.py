"""Seeded small networks on int8 activations, as different from each other as the packed graph allows.

`random_network(seed)` is one of KINDS, in turn; beside what its kind must have it is drawn: odd channels, strides,
dilations, groups, ternary rows without a zero or of nothing but zeros, sums of more than 255 products, scales that are
negative, zero or next to it, biases beyond the headroom. Small enough that hundreds go into one program.
"""

import math

import numpy as np
from random_graphs import whole_graph
from runtime_nets import network, with_int8

from elq_ref.graph.codes import pack_codes
from elq_ref.graph.shapes import OPS, PACKED_OPS, infer_shapes
from elq_ref.runtime import Node, Weight
from elq_ref.runtime.steps import FLOAT_ONLY

MOST_VALUES = 1600  # of one activation
MOST_WEIGHTS = 4000  # of one layer
INT8_OPS = tuple(op for op in PACKED_OPS if op not in FLOAT_ONLY)
TRIES = 20  # until the scales of all values fit each other


def random_network(seed):
    """The PackedNetwork of this seed, the same everywhere; its kind is list(KINDS)[seed % len(KINDS)]."""
    build = list(KINDS.values())[seed % len(KINDS)]
    for attempt in range(TRIES):
        growing = Growing(np.random.default_rng((seed, attempt)))
        build(growing)
        net = network(growing.nodes, growing.shapes["input"], growing.shape[0])
        try:
            return with_int8(net, growing.rng, growing.draw(0.4, 1.0))
        except ValueError:  # as of a sum of int8 weights that could leave 32 bits
            continue
    raise AssertionError(f"seed {seed} has no network whose integers fit")


class Growing:
    """A list of nodes that grows at its end; what is not asked for is drawn."""

    def __init__(self, rng):
        self.rng = rng
        self.nodes = []
        self.shapes = {"input": tuple(rng.integers((1, 3, 3), (6, 11, 11)).tolist())}

    @property
    def last(self):
        return self.nodes[-1].name if self.nodes else "input"

    @property
    def shape(self):
        return self.shapes[self.last]

    def draw(self, *choices):
        return choices[int(self.rng.integers(len(choices)))]

    def put(self, op, *inputs, attributes=None, **arrays):
        """Add a node that reads `inputs`, or the last value; its name."""
        name = f"{len(self.nodes)} {op}"
        node = Node(op, name, inputs or (self.last,), attributes or {}, **arrays)
        self.shapes[name] = OPS[op].shape(node, [self.shapes[value] for value in node.inputs])
        self.nodes.append(node)
        return name

    def relu(self):
        return self.put("relu")

    def conv(self, outputs=None, kernel=None, stride=None, groups=None, dilation=None, padding=None, **arrays):
        """A convolution of the last value, smaller than asked for where it would be too large."""
        channels, *size = self.shape
        groups = groups or self.draw(1, 1, *[g for g in range(1, channels + 1) if channels % g == 0])
        kernel = kernel or (self.draw(1, 2, 3, 3, 5), self.draw(1, 2, 3, 3, 5))
        dilation = dilation or (self.draw(1, 1, 1, 2), self.draw(1, 1, 1, 3))
        padding = padding or tuple(self.draw(0, k // 2, d * (k // 2)) for k, d in zip(kernel, dilation, strict=True))
        most = [(n + 2 * p - 1) // d + 1 for n, p, d in zip(size, padding, dilation, strict=True)]
        kernel = tuple(min(k, m) for k, m in zip(kernel, most, strict=True))
        stride = stride or (self.draw(1, 1, 2, 3), self.draw(1, 1, 2, 3))
        row = channels // groups * math.prod(kernel)
        outputs = outputs or int(self.rng.integers(1, 24))
        outputs = groups * max(1, min(outputs, MOST_WEIGHTS // row, MOST_VALUES // math.prod(size)) // groups)
        attributes = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        return self.put("conv", attributes=attributes, **self.arrays((outputs, channels // groups, *kernel), **arrays))

    def linear(self, outputs=None, **arrays):
        return self.put("linear", **self.arrays((outputs or int(self.rng.integers(1, 14)), *self.shape), **arrays))

    def arrays(self, shape, levels=None, density=None, unusual=None):
        """weight, scale and bias of a layer. density: of the non-zeros in ternary rows; unusual: whether some scales
        are zero or next to it and some biases large."""
        rng, outputs = self.rng, shape[0]
        column = (-1, *(1,) * (len(shape) - 1))
        levels = levels or self.draw("ternary", "ternary", "ternary", "binary", "float")
        if levels == "float":
            values = rng.standard_normal(shape) * (rng.random(outputs) > 0.1).reshape(column)
            weight = Weight("float", shape, values.astype(np.float32))
        else:
            codes = 1 - 2 * rng.integers(0, 2, shape)
            if levels == "ternary":
                each = rng.choice([0, 0.1, 0.5, 0.9, 1], outputs) if density is None else np.full(outputs, density)
                codes = codes * (rng.random(shape) < each.reshape(column))
            alpha = rng.uniform(0.01, 0.1, self.draw(1, outputs)).astype(np.float32)
            weight = Weight(levels, shape, pack_codes(codes.astype(np.int8), levels), alpha)
        return {"weight": weight, **self.affine(outputs, unusual)}

    def affine(self, channels, unusual=None):
        rng = self.rng
        scale = rng.uniform(0.2, 2, channels) * rng.choice([-1, 1], channels)
        bias = rng.standard_normal(channels)
        if rng.random() < 0.2 if unusual is None else unusual:
            scale *= rng.choice([0, 1, 1e-3, 1e-9, 1e-20], channels)
            bias *= rng.choice([0, 1, 10], channels)
        return {"scale": scale.astype(np.float32), "bias": bias.astype(np.float32)}

    def scale_shift(self):
        return self.put("scale_shift", **self.affine(self.shape[0]))

    def pool(self, op=None):
        kernel = tuple(min(self.draw(1, 2, 2, 3), n) for n in self.shape[1:])
        attributes = {"kernel": kernel, "stride": (self.draw(1, 2, 3), self.draw(1, 2, 3))}
        return self.put(op or self.draw("max_pool", "avg_pool"), attributes=attributes)

    def subsample(self):
        return self.put("subsample", attributes={"step": self.draw(1, 2, 3)})

    def pad(self):
        before, after = self.rng.integers(0, 3, (2, 3)).tolist()
        if (self.shape[0] + 4) * (self.shape[1] + 4) * (self.shape[2] + 4) > MOST_VALUES:
            before = after = (1, 0, 0)
        return self.put("pad", attributes={"before": tuple(before), "after": tuple(after)})

    def add(self):
        """The last value and one of its shape: another one, or itself."""
        alike = [name for name, shape in self.shapes.items() if shape == self.shape]
        return self.put("add", *self.draw((self.last, self.draw(*alike)), (self.draw(*alike), self.last)))

    def wander(self, least=0, most=3):
        """Some operations of any kind."""
        for _ in range(int(self.rng.integers(least, most + 1))):
            steps = [self.relu, self.relu, self.add, self.scale_shift]
            if len(self.shape) == 3:
                steps += [self.conv, self.conv, self.pool, self.subsample, self.pad]
            else:
                steps += [self.linear]
            self.draw(*steps)()

    def end(self, *last):
        """The classes, of a linear layer or of something else."""
        if len(self.shape) == 3:
            self.put(self.draw("flatten", "flatten", "global_avg_pool"))
        self.wander(0, 1)
        for step in last or (self.draw(self.linear, self.linear, self.linear, self.relu, self.add),):
            step()


def plain(g):
    g.wander(1, 4)
    g.conv()
    g.wander()
    g.end()


def depthwise_separable(g):
    for _ in range(2):
        g.conv(outputs=g.draw(5, 8, 13), kernel=(1, 1), stride=(1, 1), groups=1)
        g.relu()
        channels = g.shape[0]
        g.conv(outputs=channels, kernel=(3, 3), stride=g.draw((1, 1), (2, 2)), groups=channels, padding=(1, 1))
        g.relu()
    g.end(g.linear)


def long_sums(g):
    """Convolutions of more than 255 products, 1x1 and 3x3, all of one sign in some rows."""
    g.conv(outputs=g.draw(29, 33, 40), kernel=(1, 1), stride=(1, 1), groups=1, padding=(0, 0))
    g.put("relu")
    g.conv(outputs=6, kernel=(3, 3), groups=1, padding=(1, 1), dilation=(1, 1), levels=g.draw("ternary", "binary"))
    g.end()


def long_rows(g):
    """A linear layer of more than 255, in most cases more than 510 products."""
    g.conv(outputs=24, kernel=(3, 3), stride=(1, 1), groups=1, padding=(2, 2), dilation=(1, 1), levels="ternary")
    g.relu()
    g.put("flatten")
    g.linear(5, levels=g.draw("ternary", "binary"), density=g.draw(0.5, 1))
    g.wander(0, 1)


def empty(g):
    g.conv(levels="ternary", density=0)
    g.wander()
    g.end(lambda: g.linear(levels="ternary", density=0))


def full(g):
    g.conv(levels="ternary", density=1)
    g.relu()
    g.conv(levels="ternary", density=1)
    g.end(lambda: g.linear(levels="ternary", density=1))


def residual(g):
    """Two sums of what a convolution computed and what it read, one into a ReLU."""
    g.conv()
    g.relu()
    for _ in range(2):
        shortcut = g.last
        g.conv(outputs=99, kernel=(3, 3), stride=(1, 1), groups=g.shape[0], padding=(1, 1), dilation=(1, 1))
        if g.shape == g.shapes[shortcut]:
            g.put("add", *g.draw((g.last, shortcut), (shortcut, g.last)))
        g.wander(0, 1)
    g.end()


def option_a(g):
    """A block that halves the picture; its shortcut takes every second pixel and pads the channels."""
    g.conv(outputs=5, groups=1, stride=(1, 1))
    g.relu()
    start, channels = g.last, g.shape[0]
    g.conv(outputs=99, kernel=(3, 3), stride=(2, 2), groups=1, padding=(1, 1), dilation=(1, 1))
    outputs, end = g.shape[0], g.last
    if outputs >= channels:
        g.put("subsample", start, attributes={"step": 2})
        before = (outputs - channels) // 2
        after = outputs - channels - before
        g.put("pad", attributes={"before": (before, 0, 0), "after": (after, 0, 0)})
        g.put("add", end, g.last)
    g.relu()
    g.end()


def grouped(g):
    g.conv(outputs=g.draw(6, 9, 15), groups=1, stride=(1, 1))
    g.conv(outputs=15, groups=3)
    g.relu()
    g.conv(outputs=10, groups=math.gcd(5, g.shape[0]))
    g.end()


def sparse_steps(g):
    """Large strides, dilations and borders wider than the kernel."""
    g.conv(kernel=(2, 3), stride=(g.draw(2, 3), g.draw(1, 3)), dilation=(2, 3), padding=(g.draw(3, 4), g.draw(3, 5)))
    g.relu()
    g.conv(kernel=(3, 1), padding=(2, 2))
    g.end()


def pools(g):
    for op in ("max_pool", g.draw("avg_pool", "max_pool"), "avg_pool"):
        g.pool(op)
        g.wander(0, 1)
    g.end()


def kept_float(g):
    g.conv(levels="float")
    g.relu()
    g.conv(levels="float", groups=1)
    g.end(lambda: g.linear(levels="float"))


def binary(g):
    g.conv(levels="binary")
    g.relu()
    g.conv(levels="binary")
    g.relu()
    g.end(lambda: g.linear(levels="binary"))


def unusual_scales(g):
    g.conv(unusual=True)
    g.relu()
    g.conv(unusual=True)
    g.end(lambda: g.linear(unusual=True))


def no_convolution(g):
    g.put("flatten")
    for _ in range(int(g.rng.integers(1, 4))):
        g.linear()
        g.draw(g.relu, g.add)()
    g.linear()


def relus_apart(g):
    """ReLUs that go into no clamp: of the picture, of a maximum, of a value that is read twice."""
    g.relu()
    g.conv()
    twice = g.last
    g.relu()
    g.put("add", g.last, twice)
    g.pool("max_pool")
    g.relu()
    g.end()


def pointwise(g):
    for outputs in (17, 31, 7):
        g.conv(outputs=outputs, kernel=(1, 1), stride=(1, 1), groups=1, padding=(0, 0))
        g.relu()
    g.end()


def no_weights(g):
    """What moves values alone; the output is no sum."""
    for step in (g.pad, g.relu, g.subsample, g.pool):
        step()
    g.put("flatten")


def last_is_no_sum(g):
    g.conv()
    g.put("flatten")
    g.draw(g.add, g.scale_shift)()
    g.draw(g.relu, g.add)()


def scaled(g):
    g.scale_shift()
    g.conv()
    g.scale_shift()
    g.relu()
    g.put("global_avg_pool")
    g.scale_shift()


def every_op(g):
    """All operations that int8 activations have: tables, products, windows of several counts and the others."""
    graph = whole_graph(g.rng, INT8_OPS)
    g.nodes, g.shapes = list(graph.nodes), infer_shapes(graph)


KINDS = {
    build.__name__: build
    for build in (
        *(plain, depthwise_separable, long_sums, long_rows, empty, full, residual, option_a, grouped, sparse_steps),
        *(pools, kept_float, binary, unusual_scales, no_convolution, relus_apart, pointwise, no_weights),
        *(last_is_no_sum, scaled, every_op),
    )
}
