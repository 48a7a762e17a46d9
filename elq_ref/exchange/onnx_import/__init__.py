"""ONNX in: what somebody's framework exported, as a trainable graph with its tensors. Needs the package onnx."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import FormatError
from ...files import check_source
from ...graph.nodes import Graph
from . import arithmetic, axes, layers, local_response, pooling
from .importer import whole_model
from .model import parse

MAX_BYTES = 1 << 31  # a protobuf message holds less


@dataclass(frozen=True, eq=False)
class OnnxFile:
    """What an ONNX file holds: a trainable graph and its tensors, float32 by name; what export_onnx wrote beside them
    ({} in others' files); sha256: of its bytes and of those of its external data, in hexadecimal digits.
    """

    graph: Graph
    tensors: dict[str, np.ndarray]
    about: dict[str, Any]
    sha256: str


def read_onnx(path: str | os.PathLike[str], input: tuple[int, int, int] | None = None) -> OnnxFile:
    """The network of an ONNX file of a classifier, for pictures (C, H, W): those of the file, or `input`.

    A softmax at its end is left out: the network's outputs are logits. Raises FileNotFoundError, ImportError where the
    package onnx is missing, and FormatError, which names the node, for what is damaged, hostile or not supported
    (docs/onnx.md).
    """
    path = Path(path)
    check_source(path)
    if path.stat().st_size >= MAX_BYTES:
        raise FormatError(f"{path}: it has {path.stat().st_size:,} bytes, an ONNX file has less than {MAX_BYTES:,}")
    content = path.read_bytes()
    try:
        model = parse(content, path.parent)
        found = whole_model(model, input)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from None
    digest = hashlib.sha256(content)
    for place, offset, length in sorted(model.arrays.places):
        with open(place, "rb") as file:
            file.seek(offset)
            digest.update(file.read(length))
    return OnnxFile(found.graph, found.tensors, found.about, digest.hexdigest())


__all__ = ["OnnxFile", "arithmetic", "axes", "layers", "local_response", "pooling", "read_onnx"]
