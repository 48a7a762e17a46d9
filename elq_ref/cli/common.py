"""What several commands share: data, models and checkpoints by name."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .. import checkpoint, datasets, models
from ..datasets import Dataset
from ..errors import FormatError
from ..nn import Module
from .output import Result, is_packed, progress, table

__all__ = [
    "Result",
    "add_data",
    "is_packed",
    "load_data",
    "load_network",
    "network_metadata",
    "progress",
    "save_network",
    "table",
    "with_normalization",
]


def add_data(command: argparse.ArgumentParser) -> None:
    """--data and --data-dir."""
    what = "digits, mnist, cifar10, the path of such a folder or, to evaluate, of one with a sub-folder for each class"
    command.add_argument("--data", required=True, help=what)
    command.add_argument("--data-dir", help="folder of the data sets (default: the environment variable ELQ_DATA)")


def network_metadata(model: str, dataset: Dataset) -> dict[str, Any]:
    """What a checkpoint keeps beside its tensors, so that it can be used without the data it was trained on."""
    return {
        "kind": "network",
        "model": model,
        "input_shape": list(dataset.input_shape),
        "classes": list(dataset.classes),
        "normalization": {"mean": list(dataset.normalization.mean), "std": list(dataset.normalization.std)},
    }


def load_data(args: argparse.Namespace, path: str, split: str) -> Dataset:
    """--data for the checkpoint `path`, which says what an image folder is read as."""
    _, metadata = checkpoint.read(path)
    if {"input_shape", "classes"} <= metadata.keys():
        return datasets.load_for(args.data, args.data_dir, split, tuple(metadata["input_shape"]), metadata["classes"])
    return datasets.load(args.data, args.data_dir, split)


def load_network(path: str, model: str | None, dataset: Dataset) -> tuple[Module, dict[str, Any]]:
    """(network, metadata) of a checkpoint; the model's name comes from the file where the caller gives none."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}")
    if is_packed(path):
        raise FormatError(f"{path} is a packed network (.elq), wanted a checkpoint")
    _, metadata = checkpoint.read(path)
    name = model or metadata.get("model")
    if name is None:
        raise ValueError(f"{path} does not say which model it is: give --model, one of {', '.join(models.MODELS)}")
    net = models.build(name, dataset.input_shape, len(dataset.classes))
    checkpoint.load(net, path)
    return net, {**network_metadata(name, dataset), **metadata}


def save_network(net: Module, path: str | Path, metadata: dict[str, Any]) -> None:
    """Write a network's tensors with its metadata, atomically."""
    checkpoint.save(path, net.state_dict(), metadata)


def with_normalization(dataset: Dataset, metadata: dict[str, Any]) -> Dataset:
    """The data set normalized as the checkpoint's network was trained, if the checkpoint says how."""
    stored = metadata.get("normalization")
    return datasets.renormalized(dataset, tuple(stored["mean"]), tuple(stored["std"])) if stored else dataset
