"""Random packed networks for the tests of the runtime, and how far rounding may take what runs them."""

import itertools
import json
from dataclasses import replace

import function_bounds
import numpy as np
import safetensors.numpy

from elq_ref.deploy import derive
from elq_ref.deploy.derive import scaled_values
from elq_ref.graph.codes import pack_codes
from elq_ref.preprocessing import Normalization
from elq_ref.runtime import Graph, Metadata, Node, PackedNetwork, Weight
from elq_ref.runtime.format import from_bytes, to_bytes
from elq_ref.runtime.interpreter import run_node, values

U = 2.0**-24  # half the distance from 1 to the next float32


def random_codes(rng, levels, shape):
    """int8 codes of these levels."""
    codes = rng.integers(-1, 2, shape) if levels == "ternary" else 1 - 2 * rng.integers(0, 2, shape)
    return codes.astype(np.int8)


def random_weight(rng, levels, shape, per_channel=False):
    """A Weight of these levels with random codes and scales (or floats)."""
    if levels == "float":
        return Weight("float", shape, rng.standard_normal(shape).astype(np.float32))
    alpha = rng.uniform(0.01, 0.1, shape[0] if per_channel else 1).astype(np.float32)
    return Weight(levels, shape, pack_codes(random_codes(rng, levels, shape), levels), alpha)


def weighted(rng, op, name, source, levels, shape, per_channel=False, **geometry):
    """A conv or linear node with random arrays."""
    attributes = (
        {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1} | geometry if op == "conv" else {}
    )
    scale, bias = rng.standard_normal((2, shape[0])).astype(np.float32)
    return Node(op, name, (source,), attributes, random_weight(rng, levels, shape, per_channel), scale, bias)


def network(nodes, input_shape, classes):
    """A PackedNetwork of `nodes`, whose last one is the output."""
    channels = input_shape[0]
    metadata = Metadata(
        tuple(f"class {k}" for k in range(classes)),
        Normalization(tuple(0.4 + 0.01 * c for c in range(channels)), tuple(0.2 + 0.01 * c for c in range(channels))),
        method={"name": "test", "sigma2": [0.4, 0.2, 0.0], "keep": None},
    )
    return PackedNetwork(Graph("input", tuple(input_shape), tuple(nodes), nodes[-1].name), metadata)


def small(rng, levels="ternary"):
    """A network with every op, on pictures (2, 7, 6)."""
    return network(
        [
            weighted(rng, "conv", "conv1", "input", levels, (4, 2, 3, 3), padding=(1, 1)),
            Node("relu", "relu1", ("conv1",)),
            weighted(rng, "conv", "conv2", "relu1", "binary", (4, 2, 3, 1), True, padding=(1, 0), groups=2),
            Node("add", "sum", ("conv2", "conv1")),
            Node("subsample", "half", ("sum",), {"step": 2}),
            Node("pad", "padded", ("half",), {"before": (1, 1, 0), "after": (2, 0, 1)}),
            Node("max_pool", "largest", ("padded",), {"kernel": (2, 2), "stride": (2, 1)}),
            Node(
                "scale_shift",
                "norm",
                ("largest",),
                scale=rng.standard_normal(7).astype(np.float32),
                bias=rng.standard_normal(7).astype(np.float32),
            ),
            Node("avg_pool", "mean", ("norm",), {"kernel": (1, 2), "stride": (1, 1)}),
            Node("flatten", "flat", ("mean",)),
            weighted(rng, "linear", "fc1", "flat", levels, (5, 28)),
            weighted(rng, "linear", "fc2", "fc1", "float", (3, 5)),
        ],
        (2, 7, 6),
        3,
    )


def modern(rng, levels="ternary"):
    """A network with every op that `small` has not, but lrn, on pictures (3, 7, 6)."""
    c, vector = 8, lambda *shape: rng.uniform(0.1, 0.4, shape).astype(np.float32)
    border = {"kernel": (3, 3), "stride": (2, 1), "padding": (1, 1, 1, 0)}
    return network(
        [
            weighted(rng, "conv", "conv1", "input", levels, (c, 3, 3, 3), padding=(1, 1)),
            Node("clip", "relu6", ("conv1",), {"low": 0.0, "high": 6.0}),
            weighted(rng, "conv", "depthwise", "relu6", levels, (c, 1, 3, 3), padding=(1, 1), groups=c),
            Node("hard_swish", "swish", ("depthwise",)),
            Node("avg_pool", "squeeze", ("swish",), {"kernel": (7, 6), "stride": (1, 1)}),
            weighted(rng, "conv", "excite", "squeeze", "binary", (c, c, 1, 1)),
            Node("hard_sigmoid", "gate", ("excite",), {"alpha": 1 / 6, "beta": 0.5}),
            Node("mul", "gated", ("swish", "gate")),
            Node("add", "lifted", ("squeeze", "gated")),
            Node("clip", "lifted.clip", ("lifted",), {"low": -0.5, "high": 0.4}),
            Node("slice", "some", ("lifted.clip",), {"first": 0, "last": 3}),
            Node("slice", "others", ("lifted.clip",), {"first": 3, "last": c}),
            Node("prelu", "prelu", ("some",), slope=vector(3)),
            Node("leaky_relu", "leaky", ("others",), {"slope": 0.1}),
            Node("concat", "joined", ("prelu", "leaky", "relu6")),
            Node("shuffle", "shuffled", ("joined",), {"groups": 4}),
            Node("max_pool", "largest", ("shuffled",), border),
            Node("avg_pool", "mean", ("largest",), border | {"padding": (1, 1, 1, 1), "counted": (1, 0, 0, 0)}),
            Node("adaptive_avg_pool", "means", ("mean",), {"output": (2, 3)}),
            Node("flatten", "flat", ("means",)),
            *(
                Node(op, op, (before,), {"alpha": 0.7} if op == "elu" else {})
                for before, op in itertools.pairwise(("flat", "silu", "gelu", "gelu_tanh", "elu", "tanh", "sigmoid"))
            ),
            weighted(rng, "linear", "fc", "sigmoid", levels, (5, 96)),
        ],
        (3, 7, 6),
        5,
    )


def pooled(size, kernel, op="max_pool"):
    """Windows of kernel x kernel over size x size pixels, and their mean."""
    pool = Node(op, "pool", ("input",), {"kernel": (kernel, kernel), "stride": (1, 1)})
    return network([pool, Node("global_avg_pool", "out", ("pool",))], (1, size, size), 1)


def random_pictures(rng, network, count=4):
    """uint8 (count, C, H, W)"""
    return rng.integers(0, 256, (count, *network.graph.input_shape)).astype(np.uint8)


def normalized(network, pictures):
    """float32 input of `network` for uint8 pictures: (x / 255 - mean) / std."""
    rule = network.metadata.normalization
    mean, std = (np.array(v)[:, None, None] for v in (rule.mean, rule.std))
    return ((pictures / 255 - mean) / std).astype(np.float32)


def with_int8(network, rng, kept=1.0):
    """`network` with an IntegerNetwork: scales from a share of the largest values on random pictures."""
    known = values(network.graph, normalized(network, random_pictures(rng, network)))
    scales = {name: kept * float(np.abs(known[name]).max()) / 127 or 1.0 for name in scaled_values(network)}
    return replace(network, int8=derive(network, scales, {"method": "test"}))


def gamma(n):
    """Relative error bound of n roundings in a row (Higham, Accuracy and Stability of Numerical Algorithms,
    3.1).
    """
    return n * U / (1 - n * U)


def magnitudes(node):
    """The node with absolute values of weights, scale and bias."""
    weight = None if node.weight is None else Weight("float", node.weight.shape, np.abs(node.weight.values()))
    return replace(node, weight=weight, scale=np.abs(node.scale), bias=np.abs(node.bias))


def roundings(node, shape):
    """Roundings that one element of the node's value may see, when it reads a value of `shape`.

    conv, linear: K products and sums, alpha * scale, its product, the bias, and a float weight's product. A
    mean: its sum, the factor, the product. The others round nothing.
    """
    if node.weight is not None:
        return int(np.prod(node.weight.shape[1:])) + 4
    means = {
        "avg_pool": node.attributes.get("kernel", ()),
        "global_avg_pool": shape[2:],
        "adaptive_avg_pool": shape[2:],
    }
    return int(np.prod(means[node.op])) + 2 if node.op in means else {"scale_shift": 2, "add": 1}.get(node.op, 0)


def error_bounds(graph, x):
    """For every value of the graph, an elementwise bound of |computed in float32 - exact| for the input x,
    whatever the order of sums: the operands' bounds go through the node without its bias, and its own
    roundings are added."""
    exact, bound = values(graph, x, np.float64), {graph.input: np.zeros(x.shape)}
    for node in graph.nodes:
        before = [bound[name] for name in node.inputs]
        worst = [np.abs(exact[name]) + bound[name] for name in node.inputs]
        bound[node.name] = function_bounds.carried(node, [exact[name] for name in node.inputs], before, gamma)
        if bound[node.name] is not None:
            continue
        absolute = node if node.scale is None else magnitudes(node)
        carrying = absolute if node.scale is None else replace(absolute, bias=np.zeros_like(node.bias))
        own = gamma(roundings(node, worst[0].shape)) * run_node(absolute, *worst)
        bound[node.name] = run_node(carrying, *before) + own
    return bound


def decoded(content):
    """The tensors and the JSON object of a file's content, read by safetensors itself."""
    text = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]["elq"]
    return safetensors.numpy.load(content), json.loads(text)


def encoded(tensors, text):
    """The file's content of tensors and a JSON object, or its text."""
    return safetensors.numpy.save(tensors, {"elq": text if isinstance(text, str) else json.dumps(text)})


def block(rng, readers=(), swapped=False):
    """A residual block with a shortcut of its own, then a classifier; `readers` names values that someone else reads
    too: zero times their mean is added to the classifier's value, which changes none of its bits."""
    chain = [
        weighted(rng, "conv", "first", "input", "ternary", (16, 3, 3, 3), padding=(1, 1)),
        Node("relu", "first relu", ("first",)),
        weighted(rng, "conv", "a", "first relu", "ternary", (16, 16, 3, 3), padding=(1, 1), stride=(2, 2)),
        Node("relu", "a relu", ("a",)),
        weighted(rng, "conv", "b", "a relu", "binary", (16, 16, 3, 3), padding=(1, 1)),
        weighted(rng, "conv", "shortcut", "first relu", "ternary", (16, 16, 1, 1), stride=(2, 2)),
        Node("add", "sum", ("shortcut", "b") if swapped else ("b", "shortcut")),
        Node("relu", "sum relu", ("sum",)),
        weighted(rng, "conv", "c", "sum relu", "ternary", (16, 16, 3, 3), padding=(1, 1)),
        Node("add", "again", ("c", "sum relu")),
        Node("flatten", "flat", ("again",)),
        weighted(rng, "linear", "fc", "flat", "ternary", (7, 16 * 4 * 5)),
    ]
    shapes = {"flat": 320, "fc": 7}
    last = "fc"
    for k, name in enumerate(readers):
        channels = shapes.get(name, 16)
        source = name
        if name not in shapes:
            chain.append(Node("global_avg_pool", f"mean {k}", (name,)))
            source = f"mean {k}"
        zero = weighted(rng, "linear", f"zero {k}", source, "float", (7, channels))
        chain.append(replace(zero, scale=np.zeros(7, np.float32), bias=np.zeros(7, np.float32)))
        chain.append(Node("add", f"total {k}", (last, f"zero {k}")))
        last = f"total {k}"
    return network(chain, (3, 8, 9), 7)


def packed(content):
    """The network of an .elq file's content."""
    return PackedNetwork(*from_bytes(content))


def content_of(network):
    """The content of a network's .elq file."""
    return to_bytes(network.graph, network.metadata, network.int8)
