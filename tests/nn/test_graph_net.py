"""GraphNet: the bits of hand-written networks, a Module like any other, and graphs that it refuses."""

import copy
import pickle
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from random_graphs import trainable_graph
from small_runs import batches

from elq_ref import SGD, GraphNet, Plan, Tensor, drawing, fit, no_grad, ops, pack, quantize, to_graph
from elq_ref.graph.nodes import Graph, Node, Parameter
from elq_ref.graph.parameters import graph_to_json
from elq_ref.models import SMALL, build
from elq_ref.nn import BatchNorm2d, Conv2d, Linear, Module
from elq_ref.runtime.format import to_bytes
from elq_ref.tensor import watched

SHAPES = {"digits_cnn": (1, 8, 8), "lenet5": (1, 28, 28), "resnet18": (3, 33, 33), "resnet50": (3, 33, 33)}


def pair(name, seed=3):
    """A model and the GraphNet of its graph."""
    shape = SHAPES.get(name, (3, 16, 16))
    net = build(name, shape, 10, seed)
    return net, GraphNet(to_graph(net, shape), net.state_dict()), shape


def bits(state):
    return {name: array.tobytes() for name, array in state.items()}


def step(net, x, labels):
    """(logits, loss, gradients) of one pass in training mode."""
    logits = net(Tensor(x))
    loss = ops.softmax_cross_entropy(logits, labels)
    loss.backward()
    return logits.data.tobytes(), loss.item(), {n: p.grad.tobytes() for n, p in net.named_parameters()}


@pytest.mark.parametrize("name", [*(f.__name__ for f in SMALL), "resnet18", "resnet50"])
def test_a_model_and_its_graph_have_the_same_bits(name):
    """Names and their order; in training logits, loss, gradients, batch statistics, a step of SGD; the evaluation."""
    net, made, shape = pair(name)
    assert list(made.state_dict()) == list(net.state_dict())
    assert [n for n, _ in made.named_parameters()] == [n for n, _ in net.named_parameters()]
    assert list(made.quantizable()) == list(net.quantizable())
    x = np.random.default_rng(1).standard_normal((4, *shape)).astype(np.float32)
    labels = np.arange(4)
    assert step(made.train(), x, labels) == step(net.train(), x, labels)
    for each in (net, made):
        sgd = SGD(0.1, momentum=0.9, weight_decay=1e-3)
        for _, p in each.named_parameters():
            p.data, _ = sgd.update(p.data, p.grad, np.ones_like(p.data), sgd.lr)
    assert bits(made.state_dict()) == bits(net.state_dict())
    with no_grad():
        assert made.eval()(Tensor(x)).data.tobytes() == net.eval()(Tensor(x)).data.tobytes()


def operations(net, x):
    """The operations of a pass by their names."""
    seen = []
    with watched(lambda op, *_: seen.append(op)):
        net(Tensor(x))
    return seen


@pytest.mark.parametrize("name", ["resnet18", "resnet20", "vgg_small"])
def test_it_does_what_the_model_does(name):
    """BatchNorm, the sum and the ReLU behind it are one operation, as in the model: it takes no more time."""
    net, made, shape = pair(name)
    x = np.ones((2, *shape), np.float32)
    assert operations(made, x) == operations(net, x)


def test_a_run_of_elq_has_the_same_bits():
    results = []
    for index in (0, 1):
        data = batches()
        net = build("digits_cnn", data.dataset.input_shape, 3, seed=1)
        net = (net, GraphNet(to_graph(net, data.dataset.input_shape), net.state_dict()))[index]
        for _ in fit(net, data, 1, SGD(0.05)):
            pass
        *_, last = quantize(net, data, Plan(sigma2=(0.5, 0.0), epochs=(0.3, 0.3, 0.3)))
        packed = pack(net.eval(), data.dataset, quantized=last.state.codes())
        results.append((bits(net.state_dict()), to_bytes(packed.graph, packed.metadata)))
    assert results[0] == results[1]


@pytest.mark.parametrize("seed", range(60))
def test_random_graphs(seed):
    """The graph of the network is its own; what is traced computes the same bits and has the same tensors."""
    graph, tensors = trainable_graph(seed)
    net = GraphNet(graph, tensors)
    assert graph_to_json(to_graph(net, graph.input_shape)) == graph_to_json(graph)
    assert bits({n: net.state_dict()[n] for n in graph.parameters}) == bits(tensors)
    wrapped = Module()
    wrapped.net, wrapped.forward = net, lambda x: net(x)
    traced = to_graph(wrapped, graph.input_shape)
    assert {f"net.{n}": p.shape for n, p in graph.parameters.items()} == {
        n: p.shape for n, p in traced.parameters.items()
    }
    again = GraphNet(traced, wrapped.state_dict())
    x = Tensor(np.random.default_rng(seed).standard_normal((3, *graph.input_shape)).astype(np.float32))
    assert again.eval()(x).data.tobytes() == net.eval()(x).data.tobytes()
    with drawing(0, 0, np.arange(3)):
        one = net.train()(x).data.tobytes()
    with drawing(0, 0, np.arange(3)):
        assert again.train()(x).data.tobytes() == one
    assert bits(again.state_dict()) == bits(wrapped.state_dict())


def test_a_module_like_any_other():
    net, made, shape = pair("resnet20")
    first = made.layer1
    assert isinstance(getattr(first, "0").conv1, Conv2d)
    assert isinstance(getattr(first, "0").bn1, BatchNorm2d)
    assert isinstance(made.linear, Linear)
    assert getattr(made.layer2, "0").conv1.stride == (2, 2)
    assert type(first) is Module
    made.eval()
    assert not made.bn1.training
    made.train()
    x = Tensor(np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32))
    for clone in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert clone(x).data.tobytes() == net(x).data.tobytes()
        assert graph_to_json(clone.graph) == graph_to_json(made.graph)
        clone.linear.bias.data = clone.linear.bias.data + 1
        assert bits(clone.state_dict()) != bits(made.state_dict())
    wide = made.astype(np.float64)
    assert wide.bn1.running_var.dtype == wide.conv1.weight.dtype == np.float64
    assert wide(Tensor(x.data.astype(np.float64))).dtype == np.float64
    assert "layer3.2.conv2.weight  64x64x3x3" in made.summary()


def test_the_dtype_is_that_of_the_tensors():
    graph, tensors = trainable_graph(1)
    assert {p.dtype for _, p in GraphNet(graph, tensors).named_parameters()} == {np.dtype(np.float32)}
    wide = {name: array.astype(np.float64) for name, array in tensors.items()}
    assert {p.dtype for _, p in GraphNet(graph, wide).named_parameters()} == {np.dtype(np.float64)}
    half = {name: array.astype(np.float16) for name, array in tensors.items()}
    assert {p.dtype for _, p in GraphNet(graph, half).named_parameters()} == {np.dtype(np.float32)}


def test_no_layer_draws_weights():
    """A network whose layers were given no generator starts the same, whatever graphs were built before."""
    counts = []
    for _ in range(2):
        pair("lenet5")
        counts.append(Linear(4, 4).weight.data.tobytes())
    from elq_ref.nn import layers

    before = next(layers._streams)
    pair("lenet5")
    assert next(layers._streams) == before + 1


def linear(name, read, weight, shape=(4, 4), bias=None):
    extra = {} if bias is None else {"bias": Parameter(bias, shape[:1])}
    return Node("linear", name, (read,), {}, Parameter(weight, shape), **extra)


def graph_of_nodes(*nodes):
    return Graph("input", (1, 2, 2), (Node("flatten", "flat", ("input",)), *nodes), nodes[-1].name)


def ones(graph):
    return {name: np.ones(p.shape, np.float32) for name, p in graph.parameters.items()}


def test_one_tensor_of_two_nodes():
    graph = graph_of_nodes(
        linear("a", "flat", "one.weight", bias="one.bias"),
        linear("b", "a", "one.weight", bias="two.bias"),
        linear("c", "b", "one.weight"),
    )
    rng = np.random.default_rng(0)
    tensors = {name: rng.standard_normal(p.shape).astype(np.float32) for name, p in graph.parameters.items()}
    net = GraphNet(graph, tensors)
    assert list(net.state_dict()) == ["one.weight", "one.bias", "two.bias"]
    assert list(net.quantizable()) == ["one.weight"]
    x = rng.standard_normal((3, 4)).astype(np.float32)
    w, first, second = (tensors[n].astype(np.float64) for n in net.state_dict())
    wanted = ((x @ w.T + first) @ w.T + second) @ w.T
    y = net(Tensor(x.reshape(3, 1, 2, 2)))
    np.testing.assert_allclose(y.data, wanted, rtol=1e-4, atol=1e-4)
    y.backward(np.ones((3, 4), np.float32))
    one = np.ones((3, 4))
    u, v = x @ w.T + first, (x @ w.T + first) @ w.T + second
    grad = one.T @ v + (one @ w).T @ u + (one @ w @ w).T @ x
    np.testing.assert_allclose(net.one.weight.grad, grad, rtol=1e-4, atol=1e-3)


def test_a_weight_of_another_name_is_trained_and_not_quantized():
    graph = graph_of_nodes(linear("a", "flat", "onnx::MatMul_7"), linear("b", "a", "deep.er.weight"))
    net = GraphNet(graph, ones(graph))
    assert list(net.quantizable()) == ["deep.er.weight"]
    assert [n for n, _ in net.named_parameters()] == ["onnx::MatMul_7", "deep.er.weight"]
    np.testing.assert_array_equal(net(Tensor(np.ones((1, 1, 2, 2), np.float32))).data, [[16] * 4])


@pytest.mark.parametrize(
    "name",
    [
        "forward.weight",
        "a.training",
        "graph.weight",
        "_steps.x",
        "a.eval.weight",
        "b.stride.weight",
        "b.stride",
        "b.c.d",
        "",
    ],
)
def test_names_that_modules_cannot_have(name):
    nodes = [Node("scale_shift", "a", ("input",), scale=Parameter(name, (1,)), bias=Parameter("b.c", (1,)))]
    conv = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    nodes.append(Node("conv", "b", ("a",), conv, Parameter("b.weight", (1, 1, 1, 1))))
    graph = Graph("input", (1, 2, 2), tuple(nodes), "b", ("b.weight", "b.c"))
    with pytest.raises(ValueError, match=r"no tensor can be named|cannot be the name|a value is named"):
        GraphNet(graph, ones(graph))


def test_a_dotless_and_an_empty_part_are_refused():
    graph = graph_of_nodes(linear("a", "flat", ".weight"))
    with pytest.raises(ValueError, match="cannot be the name of a tensor"):
        GraphNet(graph, ones(graph))


def norm(name, names, eps=1e-5):
    roles = zip(("scale", "bias", "mean", "var"), names, strict=True)
    return Node("batch_norm", name, ("input",), {"eps": eps}, **{role: Parameter(n, (1,)) for role, n in roles})


def test_batch_norms_are_modules():
    usual = ["n.weight", "n.bias", "n.running_mean", "n.running_var"]
    twice = (norm("a", usual), replace(norm("b", usual), inputs=("a",)))
    net = GraphNet(Graph("input", (1, 2, 2), twice, "b"), dict.fromkeys(usual, np.ones(1)))
    assert [type(m) for _, m in net.named_modules()] == [GraphNet, BatchNorm2d]
    net.n.momentum = None
    net.train()(Tensor(np.arange(8.0).reshape(2, 1, 2, 2)))
    assert net.n.running_mean.tolist() == [1.0]
    odd = Graph("input", (1, 2, 2), (norm("a", ["n.weight", "n.bias", "m.mean", "m.var"]),), "a")
    with pytest.raises(ValueError, match=r"'a' reads n\.weight, n\.bias, m\.mean, m\.var, wanted the tensors of one"):
        GraphNet(odd, ones(odd))
    differ = Graph("input", (1, 2, 2), (twice[0], replace(norm("b", usual, 0.5), inputs=("a",))), "b")
    with pytest.raises(ValueError, match="'a' and 'b' are one BatchNorm and differ"):
        GraphNet(differ, ones(differ))


@pytest.mark.parametrize(
    "nodes",
    [
        [("relu", "bn"), ("add", "relu", "input")],
        [("relu", "bn"), ("add", "input", "relu"), ("relu#2", "add")],
        [("add", "bn", "input"), ("relu", "add"), ("add#2", "relu", "input")],
        [("add", "input", "bn"), ("add#2", "add", "input"), ("relu", "add#2")],
        [("relu", "bn"), ("relu#2", "relu"), ("add", "relu#2", "bn")],
        [("add", "bn", "bn"), ("relu", "add")],
        [("relu", "bn"), ("add", "relu", "bn")],
        [("global_avg_pool", "bn"), ("add", "bn", "input"), ("mul", "add", "bn"), ("relu", "mul")],
        [("avg_pool", "input"), ("add", "avg_pool", "bn"), ("relu", "add")],
        [("bn2", "input"), ("add", "bn2", "bn"), ("relu", "add")],
        [("relu", "bn"), ("sigmoid", "bn"), ("add", "sigmoid", "relu")],
        [("add", "bn", "input"), ("relu", "add"), ("mul", "relu", "add")],
    ],
)
def test_what_is_joined_computes_what_the_nodes_say(nodes):
    """BatchNorm, sums and ReLUs in every order, against one operation after the other."""
    whole = {"kernel": (3, 3), "stride": (1, 1)}
    usual = ["weight", "bias", "running_mean", "running_var"]
    made = [norm("bn", [f"bn.{n}" for n in usual])]
    for name, *read in nodes:
        op = name.partition("#")[0]
        node = Node(op, name, tuple(read), whole if op == "avg_pool" else {})
        made.append(norm("bn2", [f"bn2.{n}" for n in usual]) if name == "bn2" else node)
    graph = Graph("input", (1, 3, 3), tuple(made), made[-1].name)
    rng = np.random.default_rng(0)
    tensors = {n: rng.uniform(0.5, 1.5, p.shape) for n, p in graph.parameters.items()}
    x = rng.standard_normal((4, 1, 3, 3))
    values = {"input": x}
    for node in graph.nodes:
        a, b = (*[values[name] for name in node.inputs], None)[:2]
        if node.op == "batch_norm":
            t = [tensors[f"{node.name}.{n}"] for n in usual]
            values[node.name] = (a - t[2]) / np.sqrt(t[3] + 1e-5) * t[0] + t[1]
        else:
            values[node.name] = {
                "relu": lambda a=a: np.maximum(a, 0),
                "add": lambda a=a, b=b: a + b,
                "mul": lambda a=a, b=b: a * b,
                "sigmoid": lambda a=a: 1 / (1 + np.exp(-a)),
                "global_avg_pool": lambda a=a: a.mean((2, 3)),
                "avg_pool": lambda a=a: a.mean((2, 3), keepdims=True),
            }[node.op]()
    net = GraphNet(graph, tensors).eval()
    np.testing.assert_allclose(net(Tensor(x)).data, values[graph.output], rtol=1e-12, atol=1e-12)


def test_tensors_that_do_not_fit():
    graph, tensors = trainable_graph(1)
    first, second = list(graph.parameters)[:2]
    few = {n: a for n, a in tensors.items() if n != first} | {second: np.ones((2, 2, 2), np.float32)}
    with pytest.raises(ValueError, match=rf"missing: {first} \(.*\); shapes: {second} \(2, 2, 2\) instead of"):
        GraphNet(graph, few)
    GraphNet(graph, {**tensors, "nobody reads it": np.ones(7)})


def test_a_hostile_graph_takes_no_memory():
    """2^24 channels, 2^15 x 2^15 kernels, activations of a terabyte: refused before an array is made."""
    huge = Parameter("a.weight", (1 << 24, 1 << 24))
    step = (1 << 15, 1 << 15)
    conv = {"stride": (1, 1), "padding": step, "dilation": (1, 1), "groups": 1}
    graphs = [
        graph_of_nodes(linear("a", "flat", "a.weight", (1 << 24, 4)), linear("b", "a", "b.weight", (1 << 24, 1 << 24))),
        Graph("input", (1, 2, 2), (Node("conv", "a", ("input",), conv, Parameter("a.weight", (1, 1, *step))),), "a"),
        Graph("input", (1, 2, 2), (Node("adaptive_avg_pool", "a", ("input",), {"output": step}),), "a"),
        Graph(
            "input", (1 << 24, 2, 2), (Node("flatten", "f", ("input",)), linear("a", "f", "a.weight", huge.shape)), "a"
        ),
    ]
    tracemalloc.start()
    for graph in graphs:
        with pytest.raises(ValueError, match=r"missing|activations|does not fit"):
            GraphNet(graph, {})
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_a_packed_graph_is_refused():
    net, _, shape = pair("lenet5")
    packed = pack(net, quantized={}, input_shape=shape, normalization=((0,), (1,)), classes=list("0123456789"))
    with pytest.raises(ValueError, match="'conv1' holds its weight: a packed graph, wanted a trainable one"):
        GraphNet(packed.graph, net.state_dict())


def test_values_are_let_go_of():
    """Without a tape a chain of sums holds a few values at a time, not all of them."""
    nodes = [Node("relu", "v0", ("input",))]
    nodes += [Node("add", f"v{i}", (f"v{i - 1}", f"v{i - 1}")) for i in range(1, 60)]
    net = GraphNet(Graph("input", (1, 64, 64), tuple(nodes), "v59"), {})
    x = Tensor(np.zeros((4, 1, 64, 64), np.float32))
    with no_grad():
        net(x)
        tracemalloc.start()
        net(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * x.data.nbytes
