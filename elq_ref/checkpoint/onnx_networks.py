"""An ONNX file as a network."""

from __future__ import annotations

import os

from ..errors import FormatError
from ..exchange.onnx_import import read_onnx
from ..graph_net import GraphNet


def from_onnx(path: str | os.PathLike[str], input: tuple[int, int, int] | None = None) -> GraphNet:
    """The network of an ONNX file, to be trained, quantized, packed: a GraphNet with its graph and its names.

    input: the pictures (C, H, W), needed where the file leaves their size open. docs/onnx.md says what is read; what
    the file says of classes and normalization is in `checkpoint.read`. Raises FileNotFoundError, ImportError where the
    package onnx is missing, FormatError for a file that is damaged, hostile or not supported.

    >>> net = elq.from_onnx("theirs.onnx", (3, 224, 224))  # doctest: +SKIP
    >>> elq.accuracy(net, test)  # doctest: +SKIP
    """
    file = read_onnx(path, input)
    try:
        return GraphNet(file.graph, file.tensors)
    except ValueError as error:
        raise FormatError(f"{os.fspath(path)}: {error}") from None
