"""A network for other classes: the last layer made anew, the rest as it was trained."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..checkpoint import Checkpoint
from ..graph.nodes import Node, Parameter
from ..graph_net import GraphNet
from ..nn import Module


def new_last_layer(net: GraphNet, classes: int, seed: int = 0) -> GraphNet:
    """A network with `classes` outputs that has all of the layers of `net` but the last, which is drawn from `seed`.

    The last layer is the last convolution or fully connected one in the order of computation; its weights are normal
    with variance 1 / (weights that reach an output), its bias 0, and a BatchNorm behind it starts anew. Names stay as
    they are, and `net` too. ValueError where there is no such layer, or what it computes is not what the network does.

    >>> digits = elq.models.digits_cnn()
    >>> other = elq.new_last_layer(elq.GraphNet(elq.to_graph(digits, (1, 8, 8)), digits.state_dict()), 3)
    >>> other.state_dict()["fc.weight"].shape
    (3, 64)
    """
    state = net.state_dict()
    nodes = list(net.graph.nodes)
    last = max((k for k, node in enumerate(nodes) if node.op in ("conv", "linear")), default=-1)
    if last < 0:
        raise ValueError("the network has no convolution and no fully connected layer that could be made anew")
    old = nodes[last].parameters["weight"].shape[0]
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(classes,)))
    for k in range(last, len(nodes)):
        resized: dict[str, Any] = {}
        for role, parameter in nodes[k].parameters.items():
            shape = (classes, *parameter.shape[1:])
            if parameter.shape[0] != old or role == "slope":
                raise ValueError(f"{nodes[k].name}, a {nodes[k].op} behind the last layer, has no {old} classes")
            state[parameter.name] = _drawn(role, shape, rng).astype(state[parameter.name].dtype)
            resized[role] = Parameter(parameter.name, shape)
        nodes[k] = replace(nodes[k], **resized)
    _check_alone(nodes, last)
    return GraphNet(replace(net.graph, nodes=tuple(nodes)), state)


def load_all_but_last(net: Module, file: Checkpoint) -> None:
    """Assign the tensors of a file to `net` but those of the last layer that `quantizable` lists, which stays as it is.

    Errors as of `Checkpoint.load_into`.
    """
    layer = list(net.quantizable())[-1].removesuffix("weight")
    kept = {name: array for name, array in file.network.items() if not name.startswith(layer)}
    kept |= {name: array for name, array in net.state_dict().items() if name.startswith(layer)}
    replace(file, tensors=kept).load_into(net)


def _drawn(role: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    if role == "weight":
        drawn: np.ndarray = rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
        return drawn
    return np.ones(shape) if role in ("scale", "var") else np.zeros(shape)


def _check_alone(nodes: list[Node], last: int) -> None:
    """ValueError where a tensor of the last layer is one of another node too: that one's would be changed."""
    own = {p.name for node in nodes[last:] for p in node.parameters.values()}
    for node in nodes[:last]:
        if shared := own & {p.name for p in node.parameters.values()}:
            raise ValueError(f"the last layer has {shared.pop()} in common with {node.name}: it cannot be made anew")
