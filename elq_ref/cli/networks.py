"""Checkpoints as networks, and the data sets that go with them: what the commands of the training side share."""

from __future__ import annotations

import argparse
from dataclasses import replace

from .. import datasets, models
from ..checkpoint import Checkpoint
from ..datasets import Dataset
from ..datasets.sources import Split
from ..graph.info import Described, NetworkInfo
from ..graph.shapes import infer_shapes
from ..graph_net import GraphNet
from ..nn import Module


def add_data(command: argparse.ArgumentParser, *, required: bool = True, when: str = "") -> None:
    """--data and --data-dir; when: begins the help of --data."""
    what = "digits, mnist, cifar10, the path of such a folder or, to evaluate, of one with a sub-folder for each class"
    command.add_argument("--data", required=required, help=when + what)
    command.add_argument("--data-dir", help="folder of the data sets (default: the environment variable ELQ_DATA)")


def load_data(args: argparse.Namespace, file: Checkpoint, split: Split) -> Dataset:
    """`split` of --data for the network of `file`, which says what an image folder is read as."""
    if file.stated.keys() >= {"input_shape", "classes"}:
        shape, classes = file.stated["input_shape"], file.stated["classes"]
        return datasets.load_for(args.data, args.data_dir, split, shape, classes)
    return datasets.load(args.data, args.data_dir, split)


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
