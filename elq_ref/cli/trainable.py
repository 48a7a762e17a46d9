"""The network that is trained: from a file, its last layer made anew, its BatchNorm put back or frozen."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from .. import checkpoint, models
from ..checkpoint import Checkpoint
from ..checkpoint.networks import is_onnx
from ..datasets import Batches, Dataset
from ..files import check_source
from ..graph.info import NetworkInfo
from ..graph_net import GraphNet
from ..nn import Module
from ..nn.norm import freeze_statistics
from ..training.restoring import restore_batch_norm
from ..training.transfer import load_all_but_last, new_last_layer
from .networks import model_name, open_network
from .output import say

SMALL = 64 * 64  # pixels of a picture up to which the usual batch is large
LARGE_BATCH = 128
OPTIONS = ("restore_batchnorm", "freeze_batchnorm")  # of `add_batchnorm`


def add_batchnorm(command: argparse.ArgumentParser) -> None:
    """--no-restore-batchnorm and --freeze-batchnorm, which `made_ready` reads."""
    about = "leave an .onnx file's convolutions without BatchNorm as they are; by default it is put back behind them"
    command.add_argument("--no-restore-batchnorm", dest="restore_batchnorm", action="store_false", help=about)
    about = "train with BatchNorm's statistics as they are, for small batches"
    command.add_argument("--freeze-batchnorm", action="store_true", help=about)


def network_file(args: argparse.Namespace, path: str) -> Checkpoint:
    """What `checkpoint.read` makes of the file; --input says how large the pictures of an ONNX file are."""
    if args.input is None:
        return checkpoint.read(path, args.key)
    check_source(path)
    return checkpoint.read(path, args.key, input=args.input if is_onnx(Path(path)) else None)


def opened(args: argparse.Namespace, file: Checkpoint, train: Dataset) -> tuple[Module, NetworkInfo]:
    """The network of the file for the pictures `train`, with a last layer for their classes by --classes-from data."""
    if getattr(args, "classes_from", None) != "data":
        return open_network(file, args.model, train)
    info = NetworkInfo.of(train)
    if file.graph is not None and args.model is None:
        return new_last_layer(file.graph_net(), len(info.classes), args.seed), replace(info, model=file.model)
    name = model_name(file, args.model)
    net = models.build(name, info.input_shape, len(info.classes), args.seed)
    load_all_but_last(net, file)
    return net, replace(info, model=name)


def made_ready(args: argparse.Namespace, file: Checkpoint, net: Module, batches: Batches) -> Module:
    """The network with BatchNorm behind the convolutions of an ONNX file, which is said, or with frozen BatchNorm."""
    if file.onnx and args.restore_batchnorm and isinstance(net, GraphNet):
        net, names = restore_batch_norm(net, batches)
        if names:
            say(f"BatchNorm is put back behind {len(names)} convolutions without it: {', '.join(names)}")
    if args.freeze_batchnorm:
        freeze_statistics(net)
    return net


def usual_batch_size(train: Dataset) -> int:
    """LARGE_BATCH pictures, or 32 of more than 64x64 pixels."""
    _, height, width = train.input_shape
    return LARGE_BATCH if height * width <= SMALL else 32


def usual_rate(lr: float, batch_size: int) -> float:
    """The learning rate for batches of another size than LARGE_BATCH, for which `lr` is right: in proportion, since
    as many pictures then move the weights as far (Goyal et al. 2017).
    """
    return lr * (batch_size / LARGE_BATCH)
