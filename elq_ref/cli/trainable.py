"""The network that is trained: from a file, its last layer made anew, its BatchNorm put back or frozen."""

from __future__ import annotations

import argparse
from dataclasses import replace

from ..checkpoint import Checkpoint
from ..datasets import Batches, Dataset
from ..graph.info import NetworkInfo
from ..graph_builder import to_graph
from ..graph_net import GraphNet
from ..nn import BatchNorm2d, Module
from ..training.restoring import restore_batch_norm
from ..training.transfer import new_last_layer
from .networks import open_network
from .output import say

SMALL = 64 * 64  # pixels of a picture up to which the usual batch is large
OPTIONS = ("restore_batchnorm", "freeze_batchnorm")  # of `add_batchnorm`


def add_batchnorm(command: argparse.ArgumentParser) -> None:
    """--no-restore-batchnorm and --freeze-batchnorm, which `made_ready` reads."""
    about = "leave an .onnx file's convolutions without BatchNorm as they are; by default it is put back behind them"
    command.add_argument("--no-restore-batchnorm", dest="restore_batchnorm", action="store_false", help=about)
    about = "train with BatchNorm's statistics as they are, for small batches"
    command.add_argument("--freeze-batchnorm", action="store_true", help=about)


def opened(args: argparse.Namespace, file: Checkpoint, train: Dataset) -> tuple[Module, NetworkInfo]:
    """The network of the file for the pictures `train`, with a last layer for its classes by --classes-from data."""
    if getattr(args, "classes_from", None) != "data":
        return open_network(file, args.model, train)
    net, info = open_network(file, args.model, None)
    if not isinstance(net, GraphNet):
        net = GraphNet(to_graph(net, info.input_shape), net.state_dict())
    net = new_last_layer(net, len(train.classes), args.seed)
    return net, replace(info, classes=train.classes, model=None)


def made_ready(args: argparse.Namespace, file: Checkpoint, net: Module, batches: Batches) -> Module:
    """The network with BatchNorm behind the convolutions of an .onnx file, which is said, or with frozen BatchNorm."""
    if file.path.suffix == ".onnx" and args.restore_batchnorm and isinstance(net, GraphNet):
        net, names = restore_batch_norm(net, batches)
        if names:
            say(f"BatchNorm is put back behind {len(names)} convolutions without it: {', '.join(names)}")
    if getattr(args, "freeze_batchnorm", False):
        for _, module in net.named_modules():
            if isinstance(module, BatchNorm2d):
                module.frozen = True
    return net


def usual_batch_size(train: Dataset) -> int:
    """128 pictures, or 32 of more than 64x64 pixels."""
    _, height, width = train.input_shape
    return 128 if height * width <= SMALL else 32
