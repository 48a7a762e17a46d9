"""A Module as a Graph: what its forward pass computes, in order, with float weights."""

import numpy as np

from elq_ref.forward_pass import operations_of
from elq_ref.graph_builder import to_graph
from elq_ref.models import build
from elq_ref.nn import BatchNorm2d, Conv2d, GlobalAvgPool, ReLU, Sequential


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
    graph = to_graph(net, (2, 7, 5))
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
