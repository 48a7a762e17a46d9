"""A Module as a Graph: what its forward pass computes, in order."""

import numpy as np
import pytest

from elq_ref import Tensor, ops
from elq_ref.forward_pass import operations_of
from elq_ref.graph.folding import folded
from elq_ref.graph.nodes import Parameter
from elq_ref.graph.parameters import graph_to_json
from elq_ref.graph.shapes import OPS
from elq_ref.graph_builder import graph_of, to_graph
from elq_ref.graph_net import GraphNet
from elq_ref.models import build
from elq_ref.nn import BatchNorm2d, Conv2d, GlobalAvgPool, Linear, Module, ReLU, Sequential


def test_a_forward_pass_changes_nothing_and_names_every_value():
    net = build("resnet20", (3, 8, 8))
    net.train()
    net.layer1.training = False
    before = net.state_dict()
    found = operations_of(net, (3, 8, 8))
    assert net.training
    assert not net.layer1.training
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    parameters = {name for name, _ in net.named_parameters()}
    known = {"input"} | parameters
    for op in found:
        assert set(op.inputs) <= known
        assert op.output not in known
        known.add(op.output)
    assert parameters == {name for op in found for name in op.inputs if name in parameters}
    assert (found[0].op, found[0].inputs, found[0].shape) == ("conv2d", ("input", "conv1.weight"), (16, 8, 8))
    assert (found[-1].op, found[-1].shape) == ("linear", (10,))


def test_nodes_are_named_like_modules_and_hold_the_weights():
    net = Sequential(Conv2d(2, 4, 3, stride=2, bias=False), BatchNorm2d(4), ReLU(), GlobalAvgPool())
    net[1].running_mean[:], net[1].running_var[:], net[1].eps = (1, 2, 3, 4), (0.25, 1, 4, 16), 0.0
    net[1].bias.data = np.array([0, 0, 1, 1], np.float32)
    trainable = to_graph(net, (2, 7, 5))
    assert [(n.op, n.name, n.inputs) for n in trainable.nodes] == [
        ("conv", "0", ("input",)), ("batch_norm", "1", ("0",)), ("relu", "relu", ("1",)),
        ("global_avg_pool", "global_avg_pool", ("relu",)),
    ]  # fmt: skip
    assert trainable.nodes[0].parameters == {"weight": Parameter("0.weight", (4, 2, 3, 3))}
    assert [p.name for p in trainable.nodes[1].parameters.values()] == [
        "1.weight", "1.bias", "1.running_mean", "1.running_var"
    ]  # fmt: skip
    assert dict(trainable.nodes[1].attributes) == {"eps": 0.0}
    graph = folded(trainable, net.state_dict())
    conv, _, pool = graph.nodes
    assert [(n.op, n.name, n.inputs) for n in graph.nodes] == [
        ("conv", "0", ("input",)), ("relu", "relu", ("0",)), ("global_avg_pool", "global_avg_pool", ("relu",)),
    ]  # fmt: skip
    assert (graph.input_shape, graph.output) == ((2, 7, 5), pool.name)
    assert dict(conv.attributes) == {"stride": (2, 2), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    assert conv.weight.levels == "float"
    np.testing.assert_array_equal(conv.weight.data, net[0].weight.data)
    np.testing.assert_array_equal(conv.scale, [2, 1, 0.5, 0.25])
    np.testing.assert_array_equal(conv.bias, [-2, -2, -0.5, 0])


class EveryOp(Module):
    """Each operation that a graph holds, once at least, of pictures (4, 6, 6)."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.conv = Conv2d(4, 4, (3, 2), stride=(1, 2), padding=(2, 1), dilation=(2, 1), groups=2, rng=rng)
        self.bn = BatchNorm2d(4, eps=1e-3)
        self.slope = Tensor(np.full(4, 0.25, np.float32), requires_grad=True)
        self.gain, self.shift = (Tensor(np.full(4, v, np.float32), requires_grad=True) for v in (2, 3))
        self.fc = Linear(8 * 3 * 2, 5, rng=rng)
        self.last = Linear(5, 3, bias=False, rng=rng)

    def forward(self, x):
        y = self.bn(self.conv(x))  # (4, 6, 4)
        y = ops.dropout(ops.prelu(y, self.slope), 0.25, training=self.training)
        y = ops.scale_shift(y, self.gain, self.shift)
        y = ops.add(y, ops.mul(y, ops.sigmoid(ops.avg_pool(y, (6, 4)))))
        y = ops.clip(y, -1, 6)
        y = ops.concat([ops.channel_slice(y, 0, 2), ops.channel_slice(y, 2, 4), y])
        y = ops.channel_shuffle(y, 4)
        y = ops.max_pool(y, 3, 2, padding=1, ceil_mode=True)  # (8, 4, 3)
        y = ops.avg_pool(y, 2, 1, padding=(1, 0), count_include_pad=False)  # (8, 5, 2)
        y = ops.avg_pool(y, 2, 1, padding=1)  # (8, 6, 3)
        y = ops.adaptive_avg_pool(y, (4, 5))
        y = ops.local_response_norm(y, 3, 0.1, 0.5, 2.0)
        y = ops.pad(ops.subsample(y, 2), (0, 0, 1, 0), (0, 0, 0, 0))  # (8, 3, 3)
        y = ops.pad(y, (0, 0, 0, 0), (0, 0, 0, 1))
        y = ops.max_pool(y, (1, 2))
        y = ops.reshape(ops.relu(y), (x.shape[0], -1))
        y = self.fc(y)
        for f in (ops.tanh, ops.silu, ops.hard_sigmoid, ops.hard_swish, ops.elu, ops.leaky_relu, ops.gelu):
            y = f(y)
        return self.last(ops.gelu(y, "tanh"))


def test_every_operation_is_translated():
    net = EveryOp()
    graph = to_graph(net, (4, 6, 6))
    assert {node.op for node in graph.nodes} == set(OPS) - {"global_avg_pool"}
    assert list(graph.parameters) == list(net.state_dict())
    made = GraphNet(graph, net.state_dict())
    x = Tensor(np.random.default_rng(1).standard_normal((3, 4, 6, 6)).astype(np.float32))
    np.testing.assert_array_equal(made.eval()(x).data, net.eval()(x).data)


def test_a_convolution_with_four_paddings_is_a_pad_before_it():
    net = Sequential(Conv2d(1, 2, 3, rng=np.random.default_rng(0)))
    net.forward = lambda x: ops.conv2d(x, net[0].weight, net[0].bias, padding=(1, 0, 2, 1))
    pad, conv = to_graph(net, (1, 5, 5)).nodes
    assert dict(pad.attributes) == {"before": (0, 1, 0), "after": (0, 2, 1)}
    assert conv.attributes["padding"] == (0, 0)


def test_a_graph_net_has_its_own_graph_and_another_size_is_traced():
    net = build("digits_cnn", (1, 8, 8))
    graph = to_graph(net, (1, 8, 8))
    made = GraphNet(graph, net.state_dict())
    assert to_graph(made, (1, 8, 8)) is graph
    other = to_graph(made, (1, 16, 16))
    assert other.input_shape == (1, 16, 16)
    assert graph_to_json(other) == graph_to_json(to_graph(net, (1, 16, 16)))
    made.fc = Linear(64, 3)
    assert to_graph(made, (1, 8, 8)).parameters["fc.weight"].shape == (3, 64)


def test_no_graph():
    class Odd(Module):
        def __init__(self):
            self.fc = Linear(4, 2)

        def forward(self, x):
            return self.fc(ops.reshape(ops.reshape(x, (x.shape[0], 1, 4)), (x.shape[0], 4)))

    assert graph_of(Odd(), (1, 2, 2)) is None
    assert graph_of(build("lenet5", (1, 28, 28)), (3, 28, 28)) is None


def test_two_batch_norms_that_share_a_tensor_are_no_graph():
    """Each has a module of its own, or all of one."""
    net = Sequential(BatchNorm2d(1), BatchNorm2d(1), GlobalAvgPool())
    net[1].weight = net[0].weight
    with pytest.raises(ValueError, match=r"0\.weight, 1\.bias, 1\.running_mean, 1\.running_var, wanted the tensors of"):
        to_graph(net, (1, 2, 2))
    twice = Sequential(net[0], net[0], GlobalAvgPool())
    assert [node.name for node in to_graph(twice, (1, 2, 2)).nodes] == ["0", "0#2", "global_avg_pool"]
