"""Folding: BatchNorm beside the weights, dropout gone, names and bits as they were."""

from fractions import Fraction

import numpy as np
import pytest
from random_graphs import trainable_graph

from elq_ref import Tensor
from elq_ref.graph.folding import folded
from elq_ref.graph.nodes import Graph, Node, Parameter
from elq_ref.graph.shapes import OPS, PACKED_OPS, check_packed, infer_shapes
from elq_ref.graph_net import GraphNet
from elq_ref.runtime import interpret

TRAINABLE = {name: i for i, name in enumerate(OPS)}


def halves(name, array, rng):
    """Numbers with which folding rounds nothing: few bits, variances that are powers of 4."""
    if name.endswith("running_var"):
        return rng.choice(np.array([0.25, 1, 4], np.float32), array.shape)
    return (np.round(array * 16) / 16).astype(np.float32)


@pytest.mark.parametrize("seed", range(120))
def test_a_folded_graph_computes_what_the_network_does(seed):
    """Interpreted in float64, to 1e-9: with these tensors no scale and no bias of the packed graph is rounded."""
    graph, tensors = trainable_graph(seed)
    rng = np.random.default_rng(seed)
    nodes = tuple(
        node if node.op != "batch_norm" else Node(node.op, node.name, node.inputs, {"eps": 0.0}, **node.parameters)
        for node in graph.nodes
    )
    graph = Graph(graph.input, graph.input_shape, nodes, graph.output)
    tensors = {name: halves(name, array, rng) for name, array in tensors.items()}
    packed = folded(graph, tensors)
    check_packed(packed)
    assert {node.op for node in packed.nodes} <= set(PACKED_OPS)
    x = rng.standard_normal((2, *graph.input_shape))
    net = GraphNet(graph, {name: array.astype(np.float64) for name, array in tensors.items()}).eval()
    wanted = net(Tensor(x)).data
    found = interpret(packed, x, np.float64)
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9 * max(1, np.abs(wanted).max()))
    assert infer_shapes(packed)[packed.output] == (5,)


def test_the_graphs_have_every_op():
    assert {node.op for seed in range(120) for node in trainable_graph(seed)[0].nodes} == set(OPS)


def norm(name, read, channels=2):
    arrays = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
    parameters = {role: Parameter(f"{name}.{end}", (channels,)) for role, end in arrays.items()}
    return Node("batch_norm", name, (read,), {"eps": 0.5}, **parameters)


def linear(name, read, module=None, bias=True):
    module = module or name
    parts = {"weight": Parameter(f"{module}.weight", (2, 2))}
    return Node("linear", name, (read,), {}, **parts, **({"bias": Parameter(f"{module}.bias", (2,))} if bias else {}))


def tensors_of(graph, seed=0):
    rng = np.random.default_rng(seed)
    made = {name: rng.uniform(-1, 1, p.shape).astype(np.float32) for name, p in graph.parameters.items()}
    return {name: np.abs(a) if name.endswith("var") else a for name, a in made.items()}


def chain(*nodes):
    first = Node("global_avg_pool", "means", ("input",))
    return Graph("input", (2, 3, 3), (first, *nodes), nodes[-1].name)


def test_the_numbers_of_a_fold():
    graph = chain(linear("fc", "means"), Node("dropout", "drop", ("fc",), {"rate": 0.5}), norm("bn", "drop"))
    tensors = tensors_of(graph)
    packed = folded(graph, tensors)
    _, layer = packed.nodes
    assert (layer.name, packed.output) == ("fc", "fc")
    t = {name: [Fraction(float(v)) for v in array.ravel()] for name, array in tensors.items()}
    for o in range(2):
        root = float(t["bn.running_var"][o] + Fraction(1, 2)) ** 0.5
        scale = float(t["bn.weight"][o]) / root
        shift = float(t["fc.bias"][o] - t["bn.running_mean"][o]) * scale + float(t["bn.bias"][o])
        assert abs(layer.scale[o] - scale) <= np.spacing(np.float32(abs(scale)))
        assert abs(layer.bias[o] - shift) <= 2 * np.spacing(np.float32(abs(shift)))
    np.testing.assert_array_equal(layer.weight.data, tensors["fc.weight"])


def test_where_nothing_is_folded():
    """A BatchNorm of the picture, of a layer that two read, of one that is the output, of a sum."""
    two = chain(linear("fc", "means"), norm("bn", "fc"), Node("add", "sum", ("fc", "bn")))
    assert [n.op for n in folded(two, tensors_of(two)).nodes] == ["global_avg_pool", "linear", "scale_shift", "add"]
    drop = Node("dropout", "drop", ("fc",), {"rate": 0.5})
    hidden = chain(linear("fc", "means"), drop, norm("bn", "drop"), Node("add", "sum", ("fc", "bn")))
    assert [n.op for n in folded(hidden, tensors_of(hidden)).nodes] == [
        "global_avg_pool",
        "linear",
        "scale_shift",
        "add",
    ]
    first = chain(norm("bn", "means"), linear("fc", "bn"))
    assert [n.name for n in folded(first, tensors_of(first)).nodes] == ["means", "bn", "fc"]
    base = chain(linear("fc", "means"), norm("bn", "fc"))
    output = Graph(base.input, base.input_shape, base.nodes, "fc")
    assert [n.op for n in folded(output, tensors_of(base)).nodes] == ["global_avg_pool", "linear", "scale_shift"]


def test_layers_are_named_like_the_modules_of_their_weights():
    graph = chain(
        linear("Gemm_7", "means", "fc1"),
        Node("relu", "fc1", ("Gemm_7",)),
        linear("again", "fc1", "fc1"),
        linear("last", "again", "input", bias=False),
    )
    packed = folded(graph, tensors_of(graph))
    assert [(n.op, n.name, n.inputs) for n in packed.nodes] == [
        ("global_avg_pool", "means", ("input",)), ("linear", "fc1", ("means",)), ("relu", "fc1#3", ("fc1",)),
        ("linear", "fc1#2", ("fc1#3",)), ("linear", "input#2", ("fc1#2",)),
    ]  # fmt: skip
    assert packed.output == "input#2"
    np.testing.assert_array_equal(packed.nodes[-1].bias, [0, 0])


def test_one_slope_becomes_one_for_every_channel():
    graph = Graph("input", (3, 2, 2), (Node("prelu", "act", ("input",), slope=Parameter("act.weight", (1,))),), "act")
    (node,) = folded(graph, {"act.weight": np.array([0.25], np.float32)}).nodes
    np.testing.assert_array_equal(node.slope, np.full(3, 0.25, np.float32))


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        (lambda t: t.pop("fc.bias"), ValueError, r"tensor fc\.bias \(2,\) is missing"),
        (lambda t: t.update({"fc.bias": np.ones(3, np.float32)}), ValueError, r"fc\.bias has shape \(3,\), the graph"),
        (
            lambda t: t.update({"fc.weight": np.ones((2, 2))}),
            TypeError,
            r"wants a float32 network, fc\.weight is float64",
        ),
        (lambda t: t["bn.bias"].__setitem__(0, np.nan), ValueError, "bias holds a value that is not finite"),
    ],
)
def test_tensors_that_do_not_fit(change, error, reason):
    graph = chain(linear("fc", "means"), norm("bn", "fc"))
    tensors = tensors_of(graph)
    change(tensors)
    with pytest.raises(error, match=reason):
        folded(graph, tensors)


def test_tensors_stay_as_they_are():
    graph = chain(linear("fc", "means"), norm("bn", "fc"))
    tensors = tensors_of(graph)
    before = {name: array.tobytes() for name, array in tensors.items()}
    packed = folded(graph, tensors)
    tensors["fc.weight"] += 1
    assert packed.nodes[1].weight.data.tobytes() == before.pop("fc.weight")
    assert before == {name: tensors[name].tobytes() for name in before}
