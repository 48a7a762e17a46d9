"""The packed networks that the chapters "packed" and "integers" are checked on: seeded, small, every op among them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from .. import ops
from ..deploy.derive import derive, scaled_values
from ..deploy.packing import pack
from ..graph.codes import pack_codes
from ..graph.nodes import Graph, Node, Weight, required
from ..graph.shapes import infer_shapes
from ..nn import BatchNorm2d, Conv2d, Linear, Module
from ..preprocessing import Normalization
from ..runtime.format import from_bytes, to_bytes
from ..runtime.integer import IntegerNetwork
from ..runtime.interpreter import values
from ..runtime.metadata import Metadata
from ..runtime.packed import PackedNetwork
from ..tensor import Tensor
from .elq_file import ElqFile, read
from .subject import closest

PICTURE = (2, 7, 6)
RULE = Normalization((0.45, 0.4), (0.25, 0.2))
CLASSES = ("a", "b", "c")


class Mixed(Module):
    """Grouped and strided convolutions, a shortcut without weights, BatchNorm behind an addition, behind another and
    behind a convolution with two readers, pools, two layers of linear; every parameter random, weights on levels,
    statistics far from 0 and 1, some gammas negative or 0."""

    def __init__(self, levels: str, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.conv1 = Conv2d(2, 4, (3, 2), padding=(1, 1), bias=True, rng=rng)
        self.bn1 = BatchNorm2d(4)
        self.conv2 = Conv2d(4, 6, 3, stride=2, padding=1, groups=2, bias=False, rng=rng)
        self.bn2 = BatchNorm2d(6)
        self.bn3 = BatchNorm2d(6)
        self.conv3 = Conv2d(6, 6, 1, bias=False, rng=rng)
        self.bn4, self.bn5 = BatchNorm2d(6), BatchNorm2d(6)  # two in a row
        self.conv4 = Conv2d(6, 6, 1, rng=rng)
        self.bn6 = BatchNorm2d(6)
        self.fc1 = Linear(6 * 3, 5, rng=rng)
        self.fc2 = Linear(5, 3, rng=rng)
        for name, parameter in self.named_parameters():
            w = 0.5 * rng.standard_normal(parameter.shape)
            if name in self.quantizable():
                size = np.abs(w)
                w = closest(w, np.asarray(size.mean() + (0.05 * size.max() if levels == "ternary" else 0)), levels)
            parameter.data = w.astype(np.float32)
        for norm in (self.bn1, self.bn2, self.bn3, self.bn4, self.bn5, self.bn6):
            norm.running_mean = rng.standard_normal(norm.running_mean.shape).astype(np.float32)
            norm.running_var = rng.uniform(0.01, 4, norm.running_var.shape).astype(np.float32)
        self.bn2.weight.data = self.bn2.weight.data * (np.arange(6) > 0).astype(np.float32)

    def forward(self, x: Tensor) -> Tensor:
        first = ops.relu(self.bn1(self.conv1(x)))  # (4, 7, 7)
        second = self.bn2(self.conv2(first))  # (6, 4, 4)
        short = ops.pad(ops.subsample(first, 2), (0, 2, 0, 0), (0, 0, 0, 0))  # (6, 4, 4)
        both = ops.relu(self.bn3(ops.add(second, short)))
        read_twice = self.conv4(self.bn5(self.bn4(self.conv3(both))))
        both = ops.add(read_twice, self.bn6(read_twice, both, relu=True))
        pooled = ops.avg_pool(ops.max_pool(both, (2, 2), (1, 2)), (1, 2), (1, 1))  # (6, 3, 1)
        return self.fc2(self.fc1(ops.reshape(pooled, (x.shape[0], -1))))


def mixed(levels: str, seed: int = 0) -> tuple[Mixed, PackedNetwork]:
    """The module and what `pack` makes of it."""
    net = Mixed(levels, seed)
    return net, pack(net, input_shape=PICTURE, normalization=RULE, classes=CLASSES, metadata={"seed": seed})


def weight(rng: np.random.Generator, levels: str, shape: tuple[int, ...], per_channel: bool = False) -> Weight:
    """Random codes with random scales, or random floats."""
    if levels == "float":
        return Weight("float", shape, rng.standard_normal(shape).astype(np.float32))
    low = -1 if levels == "ternary" else 0
    codes = rng.integers(low, 2, shape) if levels == "ternary" else 2 * rng.integers(0, 2, shape) - 1
    alpha = rng.uniform(0.01, 0.3, shape[0] if per_channel else 1).astype(np.float32)
    return Weight(levels, shape, pack_codes(codes.astype(np.int8), levels), alpha)


def node(
    rng: np.random.Generator,
    op: str,
    name: str,
    source: str,
    levels: str,
    shape: tuple[int, ...],
    per_channel: bool = False,
    **geometry: Any,
) -> Node:
    """A conv or linear node with random arrays, negative scales among them."""
    attributes = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1} | geometry
    scale, bias = rng.standard_normal((2, shape[0])).astype(np.float32)
    layer = weight(rng, levels, shape, per_channel)
    return Node(op, name, (source,), attributes if op == "conv" else {}, layer, scale, bias)


def network(nodes: list[Node], shape: tuple[int, int, int] = PICTURE, rule: Normalization = RULE) -> PackedNetwork:
    """The nodes as a network, whose last value is the output."""
    graph = Graph("input", shape, tuple(nodes), nodes[-1].name)
    (classes,) = infer_shapes(graph)[graph.output]
    return PackedNetwork(graph, Metadata(tuple(f"class {k}" for k in range(classes)), rule))


def every_op(seed: int, levels: str) -> PackedNetwork:
    """A graph of every op, with dilation, groups, one alpha a channel, float layers and values with two readers."""
    rng = np.random.default_rng(seed)
    other = "binary" if levels == "ternary" else "ternary"
    kernel, dilation = ((3, 2), (1, 2)) if levels == "ternary" else ((2, 3), (2, 1))
    arrays = [rng.standard_normal(4).astype(np.float32) for _ in range(2)]
    return network(
        [
            node(rng, "conv", "conv1", "input", levels, (4, 2, 3, 3), padding=(1, 1)),
            Node("relu", "relu1", ("conv1",)),
            node(
                rng, "conv", "conv2", "relu1", other, (4, 2, *kernel), True, padding=(1, 1), dilation=dilation, groups=2
            ),
            node(rng, "conv", "conv3", "relu1", "float", (4, 4, 1, 1)),
            Node("add", "sum", ("conv2", "conv3")),
            Node("relu", "relu2", ("sum",)),
            Node("add", "twice", ("relu2", "sum")),  # so that the ReLU goes into no clamp
            Node("scale_shift", "norm", ("twice",), scale=arrays[0], bias=arrays[1]),
            Node("max_pool", "largest", ("norm",), {"kernel": (2, 3), "stride": (2, 1)}),
            Node("relu", "relu3", ("largest",)),
            Node("pad", "padded", ("relu3",), {"before": (1, 0, 2), "after": (0, 1, 1)}),
            Node("subsample", "half", ("padded",), {"step": 2}),
            Node("avg_pool", "mean", ("half",), {"kernel": (2, 3), "stride": (1, 1)}),
            node(rng, "conv", "conv4", "mean", levels, (6, 5, 1, 1), True),
            Node("global_avg_pool", "means", ("conv4",)),
            Node("flatten", "flat", ("mean",)),
            node(rng, "linear", "fc1", "flat", levels, (6, 10)),
            Node("add", "heads", ("fc1", "means")),
            node(rng, "linear", "fc2", "heads", "float", (3, 6)),
        ]
    )


def modern(seed: int, levels: str) -> PackedNetwork:
    """A graph of the operations that `every_op` has not: squeeze-and-excite, functions, clips that are clamps and that
    are tables, channels split, joined and shuffled, pools with borders, adaptive ones."""
    rng = np.random.default_rng(seed)
    slope = rng.uniform(-0.5, 0.5, 3).astype(np.float32)
    border = {"kernel": (3, 3), "stride": (2, 1), "padding": (1, 1, 1, 1)}
    curved = ("silu", "gelu", "gelu_tanh", "elu", "tanh", "sigmoid")
    return network(
        [
            node(rng, "conv", "conv1", "input", levels, (4, 2, 3, 3), padding=(1, 1)),
            Node("clip", "relu6", ("conv1",), {"low": 0.0, "high": 0.5}),
            node(rng, "conv", "depthwise", "relu6", levels, (4, 1, 3, 3), padding=(1, 1), groups=4),
            Node("hard_swish", "swish", ("depthwise",)),
            Node("avg_pool", "squeeze", ("swish",), {"kernel": (7, 6), "stride": (1, 1)}),
            node(rng, "conv", "excite", "squeeze", "float", (4, 4, 1, 1)),
            Node("hard_sigmoid", "gate", ("excite",), {"alpha": 0.2, "beta": 0.5}),
            Node("mul", "gated", ("swish", "gate")),
            Node("add", "lifted", ("squeeze", "gated")),
            Node("clip", "clipped", ("lifted",), {"low": -0.25, "high": 0.375}),
            Node("slice", "some", ("clipped",), {"first": 0, "last": 3}),
            Node("slice", "other", ("clipped",), {"first": 3, "last": 4}),
            Node("prelu", "prelu", ("some",), slope=slope),
            Node("leaky_relu", "leaky", ("other",), {"slope": 0.125}),
            Node("concat", "joined", ("leaky", "prelu", "relu6")),
            Node("shuffle", "shuffled", ("joined",), {"groups": 4}),
            Node("clip", "table", ("shuffled",), {"low": -0.125, "high": 3.0}),
            Node("max_pool", "largest", ("table",), border),
            Node("avg_pool", "mean", ("largest",), border | {"counted": (1, 0, 0, 0)}),
            Node("adaptive_avg_pool", "means", ("mean",), {"output": (2, 3)}),
            Node("global_avg_pool", "flat", ("means",)),
            *(
                Node(op, op, (before,), {"alpha": 0.75} if op == "elu" else {})
                for before, op in itertools.pairwise(("flat", *curved))
            ),
            node(rng, "linear", "fc", "sigmoid", levels, (3, 8)),
        ]
    )


def ends() -> Iterator[PackedNetwork]:
    """Small networks that end in other ways: a ReLU behind the sums, constant channels, an addition, a product, a
    mean."""
    rng = np.random.default_rng(11)
    small = (2, 3, 3)
    dead = node(rng, "linear", "fc", "flat", "binary", (4, 18))
    scale, bias = required(dead.scale), required(dead.bias)
    scale = np.where(np.arange(4) % 2, scale, 0).astype(np.float32)  # two channels are constant
    flat = Node("flatten", "flat", ("input",))
    dead = Node("linear", "fc", ("flat",), {}, dead.weight, scale, bias)
    yield network([flat, dead], small)
    yield network([flat, dead, Node("relu", "out", ("fc",))], small)
    conv = node(rng, "conv", "conv", "input", "ternary", (2, 2, 3, 3))
    yield network([conv, Node("global_avg_pool", "out", ("conv",))], small)
    mean = Node("global_avg_pool", "mean", ("input",))
    yield network([mean, Node("add", "out", ("mean", "mean"))], small)
    yield network([mean, Node("mul", "out", ("mean", "mean"))], small)
    yield network([mean, Node("relu", "positive", ("mean",)), Node("scale_shift", "out", ("positive",),
                   scale=np.array([0.5, -2], np.float32), bias=np.array([0.1, 0.2], np.float32))], small)  # fmt: skip


@dataclass
class Case:
    """A network on int8 activations as it was made, as the package reads its file, and as `elq_file` does; pictures."""

    made: PackedNetwork
    network: PackedNetwork
    file: ElqFile
    content: bytes
    pictures: np.ndarray

    @classmethod
    def of(cls, network: PackedNetwork, seed: int, pictures: int = 2) -> Case:
        """Scales that some values exceed: 0.8 of the largest on the pictures."""
        rng = np.random.default_rng(seed)
        images = rng.integers(0, 256, (pictures, *network.graph.input_shape), np.uint8)
        known = values(network.graph, network.metadata.normalization.apply(images))
        scales = {name: 0.8 * float(np.abs(known[name]).max()) / 127 or 1.0 for name in scaled_values(network)}
        made = replace(network, int8=derive(network, scales, {"method": "0.8 of the largest"}))
        content = to_bytes(made.graph, made.metadata, made.int8)
        return cls(made, PackedNetwork(*from_bytes(content)), read(content), content, images)

    @property
    def int8(self) -> IntegerNetwork:
        """The integers as the package reads them."""
        return required(self.network.int8)


@cache
def cases() -> tuple[Case, ...]:
    """What the bits and the integers are checked on; made once."""
    networks = [mixed(levels)[1] for levels in ("ternary", "binary")]
    networks += [every_op(seed, levels) for seed, levels in ((1, "ternary"), (2, "binary"))]
    return tuple(Case.of(network, seed) for seed, network in enumerate([*networks, *ends(), modern(3, "ternary")]))
