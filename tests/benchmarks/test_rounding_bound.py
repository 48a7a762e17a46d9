"""The bound of two programs' logits: its pieces by brute force, and measured errors of float32 beside it."""

import itertools
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from random_graphs import trainable_graph

import elq_ref as elq
from elq_ref.elq.levels import dequantize, ternarize
from elq_ref.graph import Graph
from elq_ref.graph.folding import folded
from elq_ref.graph.functions import FUNCTIONS
from elq_ref.graph.nodes import Node, Parameter
from elq_ref.graph.shapes import OPS
from elq_ref.runtime.interpreter import interpret, run_node

ROOT = Path(__file__).parents[2]
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("benchmarks/ is not here (tests run from a copy)", allow_module_level=True)
sys.path.append(str(ROOT))  # at the end: an elq_ref that is installed goes before the checkout's

from benchmarks.accuracy import local_errors, rounding_bound, winograd_errors  # noqa: E402
from benchmarks.accuracy.rounding_bound import U, bound, deviations, quantile  # noqa: E402

KNOWN = tuple(op for op in OPS if op != "lrn")


def made(input_shape, *nodes, **tensors):
    """(Graph, tensors) of nodes (op, inputs, attributes, {role: name of a tensor}), each named by its number."""
    float32 = {name: np.asarray(values, np.float32) for name, values in tensors.items()}
    graph_nodes = tuple(
        Node(op, str(k), inputs, attributes, **{role: Parameter(n, float32[n].shape) for role, n in roles.items()})
        for k, (op, inputs, attributes, roles) in enumerate(nodes)
    )
    return Graph("x", input_shape, graph_nodes, str(len(nodes) - 1)), float32


def logits(net, x):
    net.eval()
    with elq.no_grad():
        return np.asarray(net(elq.Tensor(x)).data)


def test_none_of_so_many_logits_is_beyond_the_quantile_but_for_the_risk():
    t = quantile(10**7, 1e-6)
    assert math.isclose(10**7 * 2 * math.exp(-t * t / 2), 1e-6)
    assert bound(3.0, 4.0, 10**7) == quantile(10**7) * 5


def test_the_quantile_holds_of_all_sums_with_signs():
    parts = np.random.default_rng(0).exponential(size=14)
    sums = np.abs(np.array(list(itertools.product((-1, 1), repeat=14))) @ parts) / np.linalg.norm(parts)
    for t in (1, 2, 3):
        assert (sums > t).mean() <= 2 * math.exp(-t * t / 2)
    assert (sums > 2).any()


def test_no_partial_sum_in_any_order_is_larger_than_the_local_error_says():
    rng = np.random.default_rng(1)
    graph, tensors = made((1, 1, 9), ("flatten", ("x",), {}, {}), ("linear", ("0",), {}, {"weight": "w", "bias": "b"}),
                          w=rng.standard_normal((3, 9)), b=rng.standard_normal(3))  # fmt: skip
    node, magnitude = (of.nodes[1] for of in (folded(graph, tensors), local_errors.magnitudes(graph, tensors)))
    x = rng.standard_normal((1, 9))
    own = local_errors.errors(node, magnitude, [x], run_node(node, x)).own / math.sqrt(9 + local_errors.TAIL)
    for o in range(3):
        terms = [*(tensors["w"][o].astype(np.float64) * x[0]), float(tensors["b"][o])]
        largest = max(
            abs(sum(some)) for count in range(11) for some in itertools.combinations(terms, count)
        )  # of a sum in some order
        assert math.isclose(own[0, o], largest, rel_tol=1e-6)


def test_errors_of_a_linear_network_come_to_the_square_root_of_their_squares():
    rng = np.random.default_rng(2)
    w1, w2 = rng.standard_normal((6, 5)), rng.standard_normal((4, 6))
    graph, tensors = made((5, 1, 1), ("flatten", ("x",), {}, {}), ("linear", ("0",), {}, {"weight": "w1"}),
                          ("linear", ("1",), {}, {"weight": "w2"}), w1=w1, w2=w2)  # fmt: skip
    x = rng.standard_normal((1, 5, 1, 1)).astype(np.float32)
    got = deviations(graph, tensors, x, False, draws=20000).values[0]
    w1, w2, x = tensors["w1"].astype(np.float64), tensors["w2"].astype(np.float64), x.reshape(5)
    y = w1 @ x
    first = math.sqrt(5 + 5) * U * (abs(w1) @ abs(x) + abs(y)) / 2
    second = math.sqrt(6 + 5) * U * (abs(w2) @ abs(y) + abs(w2 @ y)) / 2
    np.testing.assert_allclose(got.std(0), np.sqrt(w2**2 @ first**2 + second**2), rtol=0.03)
    assert (abs(got.mean(0)) < 0.03 * got.std(0)).all()


@pytest.mark.parametrize("times", [(3.0, 4.0), (0.0, 0.0)], ids=["constants", "weights alone"])
def test_a_rounded_constant_is_wrong_in_one_direction_for_all_pixels(times, monkeypatch):
    """Behind a mean over 400 pixels nothing is left of errors of pixels; those of scale, shift and weight stay."""
    for name, value in zip(("SCALE", "SHIFT"), times, strict=True):
        monkeypatch.setattr(local_errors, name, value)
    monkeypatch.setattr(local_errors, "AVERAGES", ())
    monkeypatch.setattr(local_errors, "EXACT", (*local_errors.EXACT, "global_avg_pool"))
    rng = np.random.default_rng(3)
    numbers = {name: rng.uniform(0.5, 1.5, 2) for name in ("gamma", "beta", "mean", "var")}
    norm = {"scale": "gamma", "bias": "beta", "mean": "mean", "var": "var"}
    graph, tensors = made((1, 20, 20), ("conv", ("x",), {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1),
                                                       "groups": 1}, {"weight": "w"}),
                          ("batch_norm", ("0",), {"eps": 0.0}, norm), ("global_avg_pool", ("1",), {}, {}),
                          w=rng.uniform(1, 2, (2, 1, 1, 1)), **numbers)  # fmt: skip
    x = np.ones((1, 1, 20, 20), np.float32)
    scale = tensors["gamma"] / np.sqrt(tensors["var"])
    product, mean = scale * tensors["w"].reshape(2), scale * tensors["mean"]
    y = product - mean + tensors["beta"]
    terms = abs(product) + abs(mean) + abs(tensors["beta"])
    shared = [times[0] * product, times[1] * (abs(mean) + abs(tensors["beta"])), product]
    own = math.sqrt(1 + local_errors.TAIL) * (terms + abs(y)) / 2 / math.sqrt(400)
    wanted = U * np.sqrt(sum(part**2 for part in (*shared, own)))
    got = deviations(graph, tensors, x, False, draws=1500).values[0]
    np.testing.assert_allclose(got.std(0), wanted, rtol=0.08)


def test_a_mean_has_one_rounded_constant_and_the_roundings_of_its_sum():
    graph, tensors = made((2, 3, 5), ("global_avg_pool", ("x",), {}, {}))
    node, magnitude = (of.nodes[0] for of in (folded(graph, tensors), local_errors.magnitudes(graph, tensors)))
    x = np.random.default_rng(4).standard_normal((1, 2, 3, 5))
    found = local_errors.errors(node, magnitude, [x], x.mean((2, 3)))
    positive, negative = (np.maximum(sign * x, 0).mean((2, 3)) for sign in (1, -1))
    np.testing.assert_allclose(found.own, math.sqrt(15 + local_errors.TAIL) * np.maximum(positive, negative))
    np.testing.assert_allclose(found.shared[0], math.sqrt(2) * abs(x.mean((2, 3))))


def test_a_bias_is_bounded_by_what_it_is_made_of():
    graph, tensors = made((2, 1, 1), ("flatten", ("x",), {}, {}), ("linear", ("0",), {}, {"weight": "w", "bias": "b"}),
                          ("batch_norm", ("1",), {"eps": 0.0},
                           {"scale": "g", "bias": "beta", "mean": "m", "var": "v"}),
                          w=[[1, -2]], b=[-3], g=[-2], beta=[-5], m=[-7], v=[4])  # fmt: skip
    (_, node), (_, magnitude) = folded(graph, tensors).nodes, local_errors.magnitudes(graph, tensors).nodes
    assert node.bias[0] == (-3 + 7) * -1 - 5
    assert magnitude.bias[0] == (3 + 7) * 1 + 5
    assert magnitude.scale[0] == 1
    assert magnitude.weight.data.tolist() == [[1, 2]]


@pytest.mark.parametrize("kind", ["module", "packed"])
def test_float32_stays_within_the_bound_and_not_far_below(kind):
    """Random networks of every op: the trained form beside the folded one, and W_hat beside its codes."""
    ratios = []
    for seed in range(len(KNOWN)):  # each op for sure
        graph, tensors = trainable_graph(seed, KNOWN)
        x = np.random.default_rng(seed).standard_normal((2, *graph.input_shape)).astype(np.float32)
        net = elq.GraphNet(graph, tensors)
        if kind == "packed":
            codes = {name: ternarize(p.data, per_channel=True) for name, p in net.quantizable().items()}
            net.load_state_dict(net.state_dict() | {name: dequantize(*pair) for name, pair in codes.items()})
            codes = {name: (c, a.reshape(-1)) for name, (c, a) in codes.items()}
            mean_std = (0.5,) * graph.input_shape[0], (0.5,) * graph.input_shape[0]
            packed = elq.pack(net, codes, input_shape=graph.input_shape, normalization=mean_std, classes=list("abcde"))
            other = elq.Session(packed)(x)
        else:
            other = interpret(folded(graph, tensors), x)
        found = deviations(graph, net.state_dict(), x, True)
        most = bound(found.sigma, found.sigma, other.size)
        difference = np.abs(logits(net, x) - other).max()
        assert difference <= most, f"seed {seed}"
        if most:
            ratios.append(difference / most)
    assert np.median(ratios) > 1e-3, np.sort(ratios)
    assert max(ratios) > 0.01


def test_sigma_is_of_the_worst_logit_on_the_worst_photograph():
    values = np.array([[[3, -1], [-3, 1]], [[6, 2], [6, -2]]])  # two photographs, two draws, two classes
    assert math.isclose(rounding_bound.Deviations(values).sigma, math.sqrt(22.5) * math.sqrt(20 / 12.5))


@pytest.mark.parametrize("tail", [5, -36])
def test_a_layer_by_winograd_has_its_errors_times_the_scale_besides(tail, monkeypatch):
    """And where a sum of products would have none, its alone."""
    monkeypatch.setattr(local_errors, "TAIL", tail)
    monkeypatch.setattr(local_errors, "made_of_others", lambda node: False)
    rng = np.random.default_rng(6)
    geometry = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    norm = {"scale": "g", "bias": "b", "mean": "m", "var": "v"}
    conv, after = ("conv", ("x",), geometry, {"weight": "w"}), ("batch_norm", ("0",), {"eps": 0.0}, norm)
    graph, tensors = made((4, 4, 4), conv, after, ("flatten", ("1",), {}, {}),
                          w=rng.standard_normal((2, 4, 3, 3)), g=[3, 0.1], b=[1, 2], m=[-1, 1], v=[1, 1])  # fmt: skip
    x = rng.standard_normal((1, 4, 4, 4)).astype(np.float32)
    got = deviations(graph, tensors, x, True, draws=1500).values[0]
    tiles = np.array(list(winograd_errors.drawn(x, tensors["w"], (1, 1), rng, 1500))) * tensors["g"][:, None, None]
    sizes = interpret(local_errors.magnitudes(graph, tensors), abs(x)), interpret(folded(graph, tensors), x)
    plain = math.sqrt(36 + tail) * (sizes[0] + abs(sizes[1]))[0] / 2
    wanted = U * np.sqrt(np.square(tiles.std(0)).reshape(-1) + np.square(plain))
    np.testing.assert_allclose(got.std(0), wanted, rtol=0.13)


def test_deviations_go_with_the_size_of_the_errors():
    graph, tensors = trainable_graph(5, ("conv", "batch_norm", "relu", "max_pool", "add"))
    x = np.random.default_rng(0).standard_normal((3, *graph.input_shape)).astype(np.float32)
    whole, small = (deviations(graph, tensors, x, True, scale=scale).values for scale in (1, 2**-8))
    np.testing.assert_allclose(whole, 256 * small, rtol=0.01, atol=1e-3 * np.abs(whole).max())
    assert whole.any()


def test_what_is_rounded_in_another_way_is_refused():
    graph, tensors = trainable_graph(0, ("lrn", "relu"))
    with pytest.raises(ValueError, match="no local error is known of lrn"):
        deviations(graph, tensors, np.ones((1, *graph.input_shape), np.float32), False)


GRID = np.concatenate([np.linspace(-12, 12, 400_001), np.geomspace(1e-6, 1, 50_000), -np.geomspace(1e-6, 1, 50_000)])
ATTRIBUTES = {"hard_sigmoid": {"alpha": 1 / 6, "beta": 0.5}, "elu": {"alpha": 1.0}}


def excess(op, got):
    """The largest |error| of what a program has of GRID, as a part of what local_errors says."""
    x = GRID.astype(np.float32).astype(np.float64)
    y = FUNCTIONS[op](x, Node(op, op, ("x",), ATTRIBUTES.get(op, {})))
    size = local_errors.FUNCTIONS[op](x, y)
    return (np.abs(got.astype(np.float64) - y) / np.maximum(U * size, 1e-30))[(size > 0) | (got != y)].max()


@pytest.mark.parametrize("op", local_errors.FUNCTIONS)
def test_our_functions_are_as_near_as_their_local_error_says(op):
    call = {"gelu_tanh": lambda x: elq.ops.gelu(x, "tanh")}.get(op) or getattr(elq.ops, op)
    y = call(elq.Tensor(GRID.astype(np.float32)[None]), **ATTRIBUTES.get(op, {})).data[0]
    assert 0.05 < excess(op, y) <= 1


THEIRS = {"sigmoid": "Sigmoid", "tanh": "Tanh", "hard_sigmoid": "HardSigmoid", "hard_swish": "HardSwish", "elu": "Elu",
          "gelu": "Gelu", "gelu_tanh": "Gelu", "silu": "Sigmoid"}  # fmt: skip


@pytest.mark.parametrize("op", local_errors.FUNCTIONS)
def test_the_functions_of_onnxruntime_are_as_near_as_their_local_error_says(op):
    onnx = pytest.importorskip("onnx", reason="the package onnx is not installed")
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    make, said = onnx.helper, ATTRIBUTES.get(op, {}) | ({"approximate": "tanh"} if op == "gelu_tanh" else {})
    nodes = [make.make_node(THEIRS[op], ["x"], ["s" if op == "silu" else "y"], **said)]
    if op == "silu":
        nodes.append(make.make_node("Mul", ["x", "s"], ["y"]))
    ends = [make.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None]) for name in "xy"]
    model = make.make_model(make.make_graph(nodes, "g", ends[:1], ends[1:]),
                            opset_imports=[make.make_opsetid("", 20)], ir_version=9)  # fmt: skip
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": GRID.astype(np.float32)})
    assert 0.05 < excess(op, y) <= 1
