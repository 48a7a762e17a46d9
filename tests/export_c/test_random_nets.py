"""The networks that exported C is tried on have what they are there for."""

import itertools
import math

import numpy as np
import pytest
from random_nets import INT8_OPS, KINDS, MOST_VALUES, random_network
from runtime_nets import content_of, random_pictures

from elq_ref.runtime import interpret_int8


def features(net):
    """What one network has, in words."""
    shapes, values = net.shapes, interpret_int8(net.int8, random_pictures(np.random.default_rng(0), net, 2)).values
    readers = [name for node in net.graph.nodes for name in node.inputs]
    for node in net.graph.nodes:
        yield node.op
        if node.scale is not None:
            yield from ("negative scale",) * bool((node.scale < 0).any())
            yield from ("scale of zero",) * bool((node.scale == 0).any())
        if node.weight is None:
            continue
        yield node.weight.levels
        length = math.prod(node.weight.shape[1:])
        for bound in (255, 510):
            yield from (f"more than {bound} products",) * (length > bound)
        if node.weight.levels == "ternary":
            present = np.abs(node.weight.codes()).reshape(len(node.weight.data), -1).mean(1)
            yield from (f"density {d}" for d in (0, 1) if (present == d).any())
        if node.op == "conv":
            channels, a, kernel = shapes[node.inputs[0]][0], node.attributes, node.weight.shape[2:]
            yield "1x1" if kernel == (1, 1) else "oblong" if kernel[0] != kernel[1] else "square"
            yield "even channels" if channels % 2 == 0 else "odd channels"
            yield from ("stride",) * (max(a["stride"]) > 1)
            yield from ("dilation",) * (max(a["dilation"]) > 1)
            yield from ("wide border",) * any(p >= k for p, k in zip(a["padding"], kernel, strict=True))
            if a["groups"] > 1:
                yield "depthwise" if a["groups"] == channels else "groups"
    for node in net.int8.nodes:
        if node.requantize is not None:
            yield from ("constant channel",) * bool(node.requantize.constant.any())
            yield from ("l above 0",) * (node.requantize.l > 0)
        yield from ("saturates",) * bool((values[node.name] == 127).any())
        yield from ("apart",) * (node.op == "relu")
        yield from ("read twice",) * (readers.count(node.name) > 1)
    last = net.int8.nodes[-1]
    yield f"ends in {last.op}"


WANTED = {
    *INT8_OPS,
    *("ternary", "binary", "float", "1x1", "oblong", "square", "odd channels", "even channels", "stride", "dilation"),
    *("wide border", "depthwise", "groups", "negative scale", "scale of zero", "constant channel", "l above 0"),
    *("more than 255 products", "more than 510 products", "density 0", "density 1", "saturates", "apart"),
    *("read twice", "ends in linear", "ends in flatten", "ends in add", "ends in scale_shift"),
}


@pytest.mark.parametrize(("count", "least"), [(len(KINDS), 1), (200, 9)])
def test_some_networks_have_whatever_is_wanted(count, least):
    found = list(itertools.chain.from_iterable(set(features(random_network(seed))) for seed in range(count)))
    assert {name: found.count(name) for name in WANTED if found.count(name) < least} == {}


def test_a_seed_is_a_network():
    assert content_of(random_network(7)) == content_of(random_network(7))
    contents = {content_of(random_network(seed)) for seed in range(3 * len(KINDS))}
    assert len(contents) == 3 * len(KINDS)


def test_they_are_small():
    nets = [random_network(seed) for seed in range(200)]
    assert max(math.prod(shape) for net in nets for shape in net.shapes.values()) <= 2 * MOST_VALUES
    assert sum(weight.size for net in nets for weight in net.layers.values()) < 500_000
    assert len({net.graph.input_shape for net in nets}) > 50
    assert {len(net.metadata.classes) for net in nets} > set(range(1, 11))
