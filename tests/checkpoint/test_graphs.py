"""Checkpoints carry the graph of their network: read without the code that made it, refused where it is hostile."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from random_graphs import trainable_graph
from small_runs import batches

from elq_ref import (
    SGD,
    FormatError,
    GraphNet,
    NetworkInfo,
    Plan,
    State,
    Tensor,
    checkpoint,
    no_grad,
    ops,
    quantize,
    record,
)
from elq_ref.checkpoint.tensors import MAX_HEADER
from elq_ref.cli.networks import open_network
from elq_ref.datasets import Normalization
from elq_ref.graph.nodes import Graph, Node, Parameter
from elq_ref.graph.parameters import graph_to_json
from elq_ref.graph.shapes import MAX_NODES, infer_shapes
from elq_ref.graph_builder import graph_of
from elq_ref.models import build
from elq_ref.models.resnet_cifar import ResNetCifar
from elq_ref.nn import BatchNorm2d, Conv2d, Linear, Module
from elq_ref.training.evaluate import count_correct
from elq_ref.training.float_training import fit

RGB = Normalization((0.5,) * 3, (0.25,) * 3)


def info(shape, classes=10):
    return NetworkInfo(shape, tuple(map(str, range(classes))), Normalization((0.5,) * shape[0], (0.25,) * shape[0]))


class ByHand(Module):
    """A hand-written class: a tied weight, a sum, a gate, a parameter of its own, no name in elq_ref.models."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.gain, self.shift = (Tensor(rng.uniform(0.5, 1, 6).astype(np.float32), requires_grad=True) for _ in "12")
        self.stem = Conv2d(1, 6, 3, padding=1, bias=False, rng=rng)
        self.bn = BatchNorm2d(6)
        self.mix = Conv2d(6, 6, 1, rng=rng)
        self.module = Linear(6, 6, rng=rng)
        self.tied = Linear(6, 6, rng=rng)
        self.tied.weight = self.module.weight
        self.fc = Linear(6, 3, rng=rng)

    def forward(self, x):
        y = self.bn(self.stem(x), relu=True)
        y = ops.mul(y, ops.hard_sigmoid(self.mix(ops.avg_pool(y, y.shape[2:]))))
        y = ops.scale_shift(y, self.gain, self.shift)
        y = ops.global_avg_pool(ops.add(y, ops.max_pool(y, 3, 1, padding=1)))
        return self.fc(ops.silu(self.tied(ops.relu(self.module(y)))))


def opened(path):
    """The network of a file, without a name of a model."""
    net, about = open_network(checkpoint.read(path), None, None)
    assert isinstance(net, GraphNet)
    return net, about


def test_a_hand_written_network_is_read_without_its_class(tmp_path):
    net, data = ByHand(1), batches()
    for _ in fit(net, data, 2, SGD(0.05)):
        pass
    checkpoint.save(net, tmp_path / "net.safetensors", data.dataset)
    again, about = opened(tmp_path / "net.safetensors")
    assert about == NetworkInfo.of(data.dataset)
    assert count_correct(again, data.dataset) == count_correct(net, data.dataset) > 20
    x = Tensor(np.random.default_rng(0).standard_normal((5, 1, 6, 6)).astype(np.float32))
    with no_grad():
        assert again.eval()(x).data.tobytes() == net.eval()(x).data.tobytes()
    assert list(again.quantizable()) == list(net.quantizable())
    assert "tied.weight" not in again.state_dict()
    assert {n: a.tobytes() for n, a in again.state_dict().items()} == {
        n: a.tobytes() for n, a in net.state_dict().items() if n != "tied.weight"
    }
    checkpoint.save(again, tmp_path / "again.safetensors", data.dataset)
    assert graph_to_json(checkpoint.read(tmp_path / "again.safetensors").graph) == graph_to_json(again.graph)
    other = ByHand(2)
    checkpoint.load(other, tmp_path / "again.safetensors")  # one of the names of a tied weight is enough
    assert other.eval()(x).data.tobytes() == net(x).data.tobytes()


def test_a_model_of_another_size_is_read_without_its_name(tmp_path):
    net = ResNetCifar(14, (3, 12, 12), 7, seed=0)
    x = np.random.default_rng(0).standard_normal((4, 3, 12, 12)).astype(np.float32)
    net.train()(Tensor(x))
    checkpoint.save(net, tmp_path / "net.safetensors", info((3, 12, 12), 7))
    again, _ = opened(tmp_path / "net.safetensors")
    assert again.eval()(Tensor(x)).data.tobytes() == net.eval()(Tensor(x)).data.tobytes()
    assert list(again.state_dict()) == list(net.state_dict())  # safetensors itself sorts them


@pytest.mark.parametrize("seed", range(0, 60, 3))
def test_random_graphs(seed, tmp_path):
    graph, tensors = trainable_graph(seed)
    net = GraphNet(graph, tensors)
    checkpoint.save(net, tmp_path / "net.safetensors", info(graph.input_shape, 5))
    again, _ = opened(tmp_path / "net.safetensors")
    assert graph_to_json(again.graph) == graph_to_json(graph)
    assert {n: a.tobytes() for n, a in again.state_dict().items()} == {
        n: a.tobytes() for n, a in net.state_dict().items()
    }


def test_a_state_of_a_run_carries_it_and_goes_on(tmp_path):
    plan, data = Plan(sigma2=(0.5, 0.0), epochs=(0.5, 0.5, 0.5)), batches()
    net = ByHand(1)
    for step in quantize(net, data, plan):
        if step.step == 2:
            step.state.save(tmp_path / "run.safetensors")
    file = checkpoint.read(tmp_path / "run.safetensors")
    other = file.graph_net()
    state = State.of(file, ByHand(3))
    assert graph_to_json(state.graph) == graph_to_json(file.graph)
    assert state.graph.parameters == other.graph.parameters
    state.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "run.safetensors").read_bytes()
    state = State.of(checkpoint.read(tmp_path / "again.safetensors"), last := ByHand(4))
    *_, _ = quantize(last, data, plan, state=state)
    assert {n: a.tobytes() for n, a in last.state_dict().items()} == {
        n: a.tobytes() for n, a in net.state_dict().items()
    }


def test_a_state_of_before_graphs_gets_one(tmp_path):
    plan, data = Plan(sigma2=(0.0,), epochs=(0.5, 0.5)), batches()
    for step in quantize(ByHand(1), data, plan):
        step.state.graph = None
        step.state.save(tmp_path / "old.safetensors")
        break
    file = checkpoint.read(tmp_path / "old.safetensors")
    assert file.graph is None
    net = ByHand(1)
    for step in quantize(net, data, plan, state=State.of(file, net)):
        step.state.save(tmp_path / "new.safetensors")
        break
    made = checkpoint.read(tmp_path / "new.safetensors").graph
    assert graph_to_json(made) == graph_to_json(graph_of(ByHand(1), data.dataset.input_shape))


def test_a_graph_net_is_resumed_from_its_own_state(tmp_path):
    plan, data = Plan(sigma2=(0.5, 0.0), epochs=(0.5, 0.5, 0.5)), batches()
    start = ByHand(1)
    checkpoint.save(start, tmp_path / "net.safetensors", data.dataset)
    net, _ = opened(tmp_path / "net.safetensors")
    for step in quantize(net, data, plan):
        if step.step == 2:
            step.state.save(tmp_path / "run.safetensors")
    file = checkpoint.read(tmp_path / "run.safetensors")
    other = file.graph_net()
    *_, _ = quantize(other, data, plan, state=State.of(file, other))
    assert {n: a.tobytes() for n, a in other.state_dict().items()} == {
        n: a.tobytes() for n, a in net.state_dict().items()
    }
    *_, last = quantize(start, data, plan)
    assert last.state.done
    assert start.state_dict()["fc.weight"].tobytes() == net.state_dict()["fc.weight"].tobytes()


def test_a_network_that_no_graph_holds_is_saved_without(tmp_path):
    net = ByHand(1)
    net.forward = lambda x: net.fc(record("cube", ops.global_avg_pool(x).data.repeat(6, 1), (x,), lambda dy: [None]))
    checkpoint.save(net, tmp_path / "net.safetensors", info((1, 6, 6), 3))
    file = checkpoint.read(tmp_path / "net.safetensors")
    assert file.graph is None
    with pytest.raises(ValueError, match="does not say which model it is: give --model"):
        open_network(file, None, None)
    with pytest.raises(ValueError, match="does not say what its network computes"):
        file.graph_net()


def rewritten(path, change):
    """The file with its metadata, or its tensors, changed."""
    file = checkpoint.read(path)
    metadata, tensors = json.loads(json.dumps(file.metadata)), dict(file.tensors)
    change(metadata, tensors)
    checkpoint.write(path, tensors, metadata)
    return path


@pytest.fixture
def saved(tmp_path):
    checkpoint.save(build("digits_cnn", (1, 8, 8)), tmp_path / "net.safetensors", info((1, 8, 8)))
    return tmp_path / "net.safetensors"


def nodes(metadata):
    return {node["name"]: node for node in metadata["graph"]["nodes"]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m, t: m.update(graph=[]), "the graph has members list"),
        (lambda m, t: m["graph"].update(output="nobody"), "the output 'nobody' is computed by no node"),
        (lambda m, t: nodes(m)["conv1"].update(op="sort"), "wanted an object with a known op"),
        (lambda m, t: nodes(m)["conv1"].update(stride=[0, 1]), "node 'conv1': stride is"),
        (lambda m, t: nodes(m)["conv1"].update(padding=[32768, 32768]), "activations of more than"),
        (lambda m, t: nodes(m)["bn1"].update(eps="a"), "eps of 'bn1' is a, wanted a number"),
        (lambda m, t: nodes(m)["bn1"].update(mean="nobody"), "mean of 'bn1' is nobody, wanted the name of a tensor"),
        (lambda m, t: m["graph"]["tensors"].update({"more": [1]}), "no node reads the tensor 'more'"),
        (lambda m, t: m["graph"]["tensors"].update({"fc.bias": [1 << 30]}), "wanted axes from 1"),
        (lambda m, t: m["graph"].update(nodes=m["graph"]["nodes"] * 500), "wanted a list of at most 4096"),
    ],
)
def test_a_damaged_graph_is_refused_when_it_is_read(saved, change, said):
    rewritten(saved, change)
    with pytest.raises(FormatError, match=rf"net\.safetensors: its metadata is damaged: .*{re.escape(said)}"):
        checkpoint.read(saved)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m, t: t.pop("fc.bias"), "missing: fc.bias (10,)"),
        (lambda m, t: t.update({"fc.bias": np.ones(11, np.float32)}), "shapes: fc.bias (11,) instead of (10,)"),
        (lambda m, t: t.update({"fc.bias": np.full(10, np.nan, np.float32)}), "10 value(s) of 10 that are no numbers"),
        (lambda m, t: t.update({"fc.bias": np.full(10, 1e300)}), "fc.bias has a value of 1e+300, beyond float32"),
        (lambda m, t: t.update({"bn1.running_var": -np.ones(32, np.float32)}), "is a variance and has -1"),
        (lambda m, t: t.update({"fc.bias": np.ones(10, np.int32)}), "fc.bias is int32, wanted floats"),
        (lambda m, t: m.update(input_shape=[1, 9, 9]), "reads (1, 8, 8) and gives (10,), wanted (1, 9, 9) and (10,)"),
        (lambda m, t: m.update(classes=["a"]), "reads (1, 8, 8) and gives (10,), wanted (1, 8, 8) and (1,)"),
    ],
)
def test_tensors_that_are_not_those_of_the_graph(saved, change, said):
    rewritten(saved, change)
    with pytest.raises(ValueError, match=rf"net\.safetensors.*{re.escape(said)}"):
        open_network(checkpoint.read(saved), None, None)


def test_a_file_without_a_graph_is_read_as_before(saved):
    def without(metadata, tensors):
        del metadata["graph"]
        metadata["model"] = "digits_cnn"

    net, _ = open_network(checkpoint.read(saved), None, None)
    rewritten(saved, without)
    file = checkpoint.read(saved)
    assert file.graph is None
    old, about = open_network(file, None, None)
    assert about.model == "digits_cnn"
    assert not isinstance(old, GraphNet)
    assert {n: a.tobytes() for n, a in old.state_dict().items()} == {
        n: a.tobytes() for n, a in net.state_dict().items()
    }


def test_half_precision_becomes_float32(saved):
    rewritten(saved, lambda m, t: t.update({n: a.astype(np.float16) for n, a in t.items()}))
    net, _ = open_network(checkpoint.read(saved), None, None)
    assert {p.dtype for _, p in net.named_parameters()} == {np.dtype(np.float32)}


def test_large_graphs_fit_the_header(tmp_path):
    """400 layers with long names take a small part of it; as many nodes as a graph may have fit too."""
    rest = [Node("global_avg_pool", "mean", ("input",))]
    for i in range((MAX_NODES - 2) // 2):
        name = f"features.stage{i // 40}.block{i}.layers.linear"
        last = rest[-1].name
        parameters = {"weight": Parameter(f"{name}.weight", (2, 2)), "bias": Parameter(f"{name}.bias", (2,))}
        rest += [Node("linear", name, (last,), {}, **parameters), Node("relu", f"{name}.relu", (name,))]
    for count, share in ((801, 10), (len(rest), 2)):
        graph = Graph("input", (2, 3, 3), tuple(rest[:count]), rest[count - 1].name)
        infer_shapes(graph)
        net = GraphNet(graph, {n: np.ones(p.shape, np.float32) for n, p in graph.parameters.items()})
        checkpoint.save(net, tmp_path / "net.safetensors", info((2, 3, 3), 2))
        header = int.from_bytes((tmp_path / "net.safetensors").read_bytes()[:8], "little")
        assert header < MAX_HEADER / share
        assert len(checkpoint.read(tmp_path / "net.safetensors").graph.nodes) == count


def test_nobody_else_writes_checkpoints():
    """What writes a file of a network says its graph: `save` and `State.save`, and nothing beside them."""
    package = Path(checkpoint.__file__).parents[1]
    found = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if re.search(r"checkpoint\.write\(|^\s+write\(path, tensors", path.read_text(), re.M)
    }
    assert found == {"checkpoint/networks.py", "training/state.py"}
