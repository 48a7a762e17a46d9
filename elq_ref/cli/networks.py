"""Checkpoints as networks: what the commands of the training side share."""

from __future__ import annotations

from dataclasses import replace

from .. import models
from ..checkpoint import Checkpoint
from ..graph.info import Described, NetworkInfo
from ..graph.shapes import infer_shapes
from ..graph_net import GraphNet
from ..nn import Module


def model_name(file: Checkpoint, given: str | None) -> str:
    """`given`, which is --model, or what the file states; ValueError if neither says it."""
    name = given or file.model
    if name is None:
        raise ValueError(f"{file.path} does not say which model it is: give --model, one of {', '.join(models.MODELS)}")
    return name


def open_network(file: Checkpoint, model: str | None, usual: Described | None) -> tuple[Module, NetworkInfo]:
    """The network of a checkpoint and what it reads and means: what the graph in the file says, or the model `model`.

    model: --model, for a file that has no graph and does not state it; usual: the data set in use, for all else that it
    does not state.
    """
    name = None if model is None and file.graph is not None else model_name(file, model)
    info = file.info if usual is None else file.completed(NetworkInfo.of(usual))
    if info is not None and usual is not None:  # as `load_data` has read them, the options before the file
        info = replace(info, normalization=usual.normalization, resize=getattr(usual, "resize", None) or info.resize)
    if info is None:
        raise ValueError(f"{file.path} does not say which pictures its network reads: give --data")
    if name is None:
        return _of_graph(file, info), info
    net = models.build(name, info.input_shape, len(info.classes))
    file.load_into(net)
    return net, replace(info, model=name)


def _of_graph(file: Checkpoint, info: NetworkInfo) -> GraphNet:
    """The network of the file's graph; ValueError unless it reads and gives what `info` says."""
    net = file.graph_net()
    wanted, given = (
        (net.graph.input_shape, infer_shapes(net.graph)[net.graph.output]),
        (info.input_shape, (len(info.classes),)),
    )
    if wanted != given:
        raise ValueError(f"{file.path} reads {wanted[0]} and gives {wanted[1]}, wanted {given[0]} and {given[1]}")
    return net
