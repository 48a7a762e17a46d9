"""What several commands share: data and models by name, progress, pictures of a run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from .. import checkpoint, datasets, models
from ..datasets import Dataset
from ..errors import FormatError
from ..nn import Module

T = TypeVar("T")
Result = tuple[dict[str, Any], str, int]


def add_data(command: argparse.ArgumentParser) -> None:
    """--data and --data-dir."""
    command.add_argument("--data", required=True, help="digits, mnist, cifar10, or a path to such a folder")
    command.add_argument("--data-dir", help="folder of the data sets (default: the environment variable ELQ_DATA)")


def progress(items: Iterable[T], total: int, label: str) -> Iterator[T]:
    """`items` with a progress bar on standard error, for what takes longer than half a second; a log file gets a line
    every ten seconds."""
    slow = 0.1 if sys.stderr.isatty() else 10
    yield from tqdm(items, total=total, desc=label, file=sys.stderr, mininterval=slow, delay=0.5, leave=False)


def network_metadata(model: str, dataset: Dataset) -> dict[str, Any]:
    """What a checkpoint keeps beside its tensors, so that it can be used without the data it was trained on."""
    return {
        "kind": "network",
        "model": model,
        "input_shape": list(dataset.input_shape),
        "classes": list(dataset.classes),
        "normalization": {"mean": list(dataset.normalization.mean), "std": list(dataset.normalization.std)},
    }


def is_packed(path: str | Path) -> bool:
    """Whether a file is a packed network, by its name: .elq."""
    return Path(path).suffix == ".elq"


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


def table(rows: list[list[str]]) -> str:
    """Rows of cells as aligned columns, the first left, the others right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]).rstrip()
        for row in rows
    )
