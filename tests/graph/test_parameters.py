"""A trainable graph as JSON: there and back, and nothing but ValueError for what is not one."""

import copy
import json

import numpy as np
import pytest
from random_graphs import trainable_graph

from elq_ref.graph.nodes import Node, Parameter
from elq_ref.graph.parameters import graph_from_json, graph_to_json, module_of
from elq_ref.graph.shapes import OPS


@pytest.mark.parametrize("seed", range(0, 120, 4))
def test_there_and_back(seed):
    graph, _ = trainable_graph(seed)
    said = json.loads(json.dumps(graph_to_json(graph), allow_nan=False))
    again = graph_from_json(said)
    assert graph_to_json(again) == said
    assert (again.input, again.input_shape, again.output) == (graph.input, graph.input_shape, graph.output)
    assert again.parameters == graph.parameters
    assert list(again.parameters) == list(graph.parameters)
    for one, other in zip(graph.nodes, again.nodes, strict=True):
        assert (one.op, one.name, one.inputs) == (other.op, other.name, other.inputs)
        assert dict(one.attributes) == dict(other.attributes)
        assert {key: type(v) for key, v in one.attributes.items()} == {
            key: type(v) for key, v in other.attributes.items()
        }
        assert one.parameters == other.parameters


def test_every_op_is_read_and_written():
    assert {node.op for seed in range(0, 120, 4) for node in trainable_graph(seed)[0].nodes} == set(OPS)


JUNK = [None, True, -1, 0, 1.5, 10**400, 1e308, "", "x" * 300, "\n", [], [1], [0, 0, 0, 0], [1] * 99, {}, {"a": 1}]


def deviations(value, rng):
    """Plain values with one thing in them that is another, is gone, or is there twice."""
    places = [((), value)]
    for path, inside in places:
        parts = inside.items() if isinstance(inside, dict) else enumerate(inside) if isinstance(inside, list) else ()
        places += [((*path, key), part) for key, part in parts]
    for path, _ in places[1:]:
        for way in ("junk", "gone", "twice"):
            changed = copy.deepcopy(value)
            *above, key = path
            holder = changed
            for part in above:
                holder = holder[part]
            if way == "junk":
                holder[key] = copy.deepcopy(JUNK[int(rng.integers(len(JUNK)))])
            elif way == "gone":
                del holder[key]
            elif isinstance(holder, list):
                holder.append(copy.deepcopy(holder[key]))
            else:
                holder[f"{key}2"] = copy.deepcopy(holder[key])
            yield changed


def test_whatever_is_changed_is_refused_or_another_graph():
    rng = np.random.default_rng(0)
    refused, read = [], 0
    for seed in range(0, 30, 3):
        said = graph_to_json(trainable_graph(seed)[0])
        for changed in deviations(said, rng):
            try:
                graph = graph_from_json(changed)
            except ValueError as error:
                refused.append(str(error))
            else:
                read += 1
                assert graph_to_json(graph_from_json(graph_to_json(graph))) == graph_to_json(graph)
    assert len(refused) > 2000
    assert read < len(refused) / 3
    assert not [said for said in refused if "\n" in said or len(said) > 700]


@pytest.mark.parametrize("value", JUNK)
def test_what_is_no_graph_is_refused(value):
    with pytest.raises(ValueError, match="the graph has members"):
        graph_from_json(value)


@pytest.mark.parametrize(
    ("op", "arrays", "wanted"),
    [
        ("conv", {"weight": "a.b.weight"}, "a.b"),
        ("conv", {"weight": "a.b.weight", "bias": "a.b.bias"}, "a.b"),
        ("conv", {"weight": "a.b.weight", "bias": "a.c.bias"}, None),
        ("conv", {"weight": "onnx::Conv_193"}, None),
        ("conv", {"weight": "weight"}, None),
        ("conv", {"weight": ".weight"}, ""),
        ("linear", {"weight": "fc.weight"}, "fc"),
        ("prelu", {"slope": "act.weight"}, "act"),
        ("batch_norm", {"scale": "n.weight", "bias": "n.bias", "mean": "n.running_mean", "var": "n.running_var"}, "n"),
        ("batch_norm", {"scale": "n.weight", "bias": "n.bias", "mean": "n.mean", "var": "n.running_var"}, None),
        ("relu", {}, None),
    ],
)
def test_the_module_of_a_node(op, arrays, wanted):
    node = Node(op, "n", ("input",), {}, **{role: Parameter(name, (1,)) for role, name in arrays.items()})
    assert module_of(node) == wanted
