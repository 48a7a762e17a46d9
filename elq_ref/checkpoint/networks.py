"""A checkpoint file as one value: tensors, and what it says of the network they belong to."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError
from ..exchange.onnx_import import read_onnx
from ..files import check_source
from ..graph.info import Described, NetworkInfo
from ..graph.nodes import Graph
from ..graph.parameters import graph_from_json, graph_to_json
from ..graph_builder import graph_of
from ..graph_net import GraphNet
from ..nn import Module
from .tensors import one_line, parse, write

BOOKKEEPING = "elq/"  # the names of a run's own tensors begin with this; a network's never do
CODES, ALPHA = f"{BOOKKEEPING}codes/", f"{BOOKKEEPING}alpha/"  # and the name of a weight
_START = 9  # bytes that tell what a file is
_ALL = {"input_shape", "classes", "normalization"}

Codes = tuple[np.ndarray, np.ndarray]  # of one weight: codes int8 in its shape, alpha


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a file holds: all tensors by name, in its order, and its metadata, JSON values ({} in others' files).

    stated: the fields of NetworkInfo that the file states; info: all of them, None if one but the model is missing;
    sha256: of the file's bytes, in hexadecimal digits; graph: what the network computes, None where the file does not
    say it: others' files, and networks of operations that no graph holds; onnx: whether it is an ONNX file.
    """

    path: Path
    tensors: dict[str, np.ndarray]
    metadata: dict[str, Any]
    stated: dict[str, Any]
    info: NetworkInfo | None
    sha256: str
    graph: Graph | None = None
    onnx: bool = False

    @property
    def model(self) -> str | None:
        """The name of the model in elq_ref.models, where the file states it."""
        return self.stated.get("model")

    @property
    def plan(self) -> dict[str, Any] | None:
        """How the weights came about, as `save` was given it."""
        return self.metadata.get("plan")

    def completed(self, usual: NetworkInfo) -> NetworkInfo:
        """The info, where the file does not state all of it as in `usual`."""
        return replace(usual, **self.stated)

    @property
    def network(self) -> dict[str, np.ndarray]:
        """The tensors of the network alone, for `Module.load_state_dict`; ValueError for one that is no float.

        What PyTorch's wrappers put into the names is dropped: "_orig_mod" (compile) wherever it stands, "module."
        (DataParallel) where all names begin with it. A run's bookkeeping and the counters num_batches_tracked, which
        nothing here reads, are passed over.
        """
        kept = {n: t for n, t in self.tensors.items() if not n.startswith(BOOKKEEPING)}
        state = {".".join(part for part in n.split(".") if part != "_orig_mod"): t for n, t in kept.items()}
        if len(state) != len(kept):
            raise ValueError(f"{self.path}: two of its tensors have one name but for _orig_mod")
        while state and all(name.startswith("module.") for name in state):
            state = {name.removeprefix("module."): t for name, t in state.items()}
        state = {n: t for n, t in state.items() if n.rpartition(".")[2] != "num_batches_tracked"}
        for name, array in state.items():
            if array.dtype.kind != "f":
                raise ValueError(f"{self.path}: {name} is {array.dtype}, wanted floats")
        return state

    @property
    def codes(self) -> dict[str, Codes]:
        """(codes int8, alpha) by name of the weight, as `save` was given them; FormatError for codes without alpha."""
        names = [name.removeprefix(CODES) for name in self.tensors if name.startswith(CODES)]
        bare = [name for name in names if ALPHA + name not in self.tensors]
        if bare:
            raise FormatError(f"{self.path} has codes of {bare[0]} and no {ALPHA}{bare[0]}")
        for name in names:
            if reason := _no_numbers(self.tensors[ALPHA + name], np.dtype(np.float32)):
                raise FormatError(f"{self.path}: {ALPHA}{name} {reason}")
        return {name: (self.tensors[CODES + name], self.tensors[ALPHA + name]) for name in names}

    def load_into(self, net: Module) -> None:
        """Assign the tensors of `network` to `net`, converted to its dtype.

        ValueError that lists what is missing, unexpected, of another shape or no float, or that names the tensor with
        values that are no numbers of that dtype; then `net` is as it was.
        """
        state = self.network
        own = {n: p.data for n, p in net.named_parameters()} | dict(net.named_buffers())
        if all(n in own and own[n].shape == a.shape for n, a in state.items()):  # no larger than the network
            for name, array in state.items():
                _check_values(self.path, name, array, own[name].dtype)
        try:
            net.load_state_dict(state)
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from None

    def graph_net(self) -> GraphNet:
        """The network of `graph` with the tensors of the file, in float32.

        ValueError where the file has no graph, or where a tensor is missing, of another shape, or holds what is no
        number.
        """
        if self.graph is None:
            raise ValueError(f"{self.path} does not say what its network computes")
        read = {name: self.tensors[name] for name in self.graph.parameters if name in self.tensors}
        for name, array in read.items():
            _check_values(self.path, name, array, np.dtype(np.float32))
        try:
            return GraphNet(self.graph, {name: array.astype(np.float32) for name, array in read.items()})
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from None


def _check_values(path: Path, name: str, array: np.ndarray, dtype: np.dtype) -> None:
    """Refuse (ValueError) what is to become the tensor `name` of a network of `dtype` and cannot."""
    if array.dtype.kind != "f":
        raise ValueError(f"{path}: {name} is {array.dtype}, wanted floats")
    reason = _no_numbers(array, dtype)
    if not reason and name.rpartition(".")[2] == "running_var" and (array < 0).any():
        reason = f"is a variance and has {array.min():g}"
    if reason:
        raise ValueError(f"{path}: {name} {reason}")


def _no_numbers(array: np.ndarray, dtype: np.dtype) -> str:
    """What is wrong with values that are to become finite ones of `dtype`; nothing if nothing is."""
    if count := array.size - np.count_nonzero(np.isfinite(array)):
        return f"has {count:,} value(s) of {array.size:,} that are no numbers (NaN or infinite)"
    with np.errstate(over="ignore"):
        if not np.isfinite(array.astype(dtype)).all():
            return f"has a value of {np.abs(array).max():g}, beyond {dtype}"
    return ""


def read(
    path: str | os.PathLike[str], key: str | None = None, *, input: tuple[int, int, int] | None = None
) -> Checkpoint:
    """The content of a safetensors file, of a PyTorch file, or of an ONNX file; the content tells which it is.

    key: of the entry of a PyTorch file that holds the tensors, names joined by "/", where the file has several.
    input: the pictures (C, H, W) that an ONNX file is read for; needed where the file leaves their size open.

    Raises FileNotFoundError, or FormatError for a file that is damaged, hostile or of another kind, or whose metadata
    states what cannot be; ImportError for an ONNX file where the package onnx is missing.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no checkpoint {path}")
    check_source(path)
    with open(path, "rb") as file:
        onnx = _as_onnx(path, file.read(_START))
        file.seek(0)
        content = b"" if onnx else file.read()
    if onnx:
        return _of_onnx(path, key, input)
    if input is not None:
        raise ValueError(f"{path} is no ONNX file: its pictures are not chosen by an input")
    try:
        tensors, metadata = parse(content, key)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from None
    stated, info = _stated(path, metadata)
    try:
        graph = None if metadata.get("graph") is None else graph_from_json(metadata["graph"])
    except ValueError as error:
        raise FormatError(f"{path}: its metadata is damaged: {one_line(error)}") from None
    return Checkpoint(path, tensors, metadata, stated, info, hashlib.sha256(content).hexdigest(), graph)


def _stated(path: Path, metadata: Mapping[str, Any]) -> tuple[dict[str, Any], NetworkInfo | None]:
    """The fields of NetworkInfo that metadata state, and all of it where they do; FormatError for what cannot be."""
    try:
        stated = NetworkInfo.stated(metadata)
        info = NetworkInfo(**stated) if stated.keys() >= _ALL else None
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise FormatError(f"{path}: its metadata is damaged: {one_line(error)}") from None
    return stated, info


def is_onnx(path: Path) -> bool:
    """Whether a file is to be read as ONNX: it is called so, or begins as a protobuf message with a version of ONNX."""
    with open(path, "rb") as file:
        return _as_onnx(path, file.read(_START))


def _as_onnx(path: Path, start: bytes) -> bool:
    return path.suffix.lower() == ".onnx" or (start[:1] == b"\x08" and start[8:9] != b"{" and b"\0" < start[1:2] < b"@")


def _of_onnx(path: Path, key: str | None, input: tuple[int, int, int] | None) -> Checkpoint:
    """An ONNX file: what export_onnx wrote of its pictures and classes is stated, and the shape of the pictures."""
    if key is not None:
        raise FormatError(f"{path}: it has no entries of which a key chooses one: it is no PyTorch file")
    file = read_onnx(path, input)
    about: dict[str, Any] = {"input_shape": list(file.graph.input_shape)}
    about |= {name: file.about[name] for name in ("classes", "resize") if name in file.about}
    if {"mean", "std"} <= file.about.keys():
        about["normalization"] = {"mean": file.about["mean"], "std": file.about["std"]}
    stated, info = _stated(path, about)
    return Checkpoint(path, file.tensors, {}, stated, info, file.sha256, file.graph, onnx=True)


def load(net: Module, path: str | os.PathLike[str], key: str | None = None) -> Checkpoint:
    """Assign the tensors of a checkpoint to `net`, converted to its dtype, and give back all that the file says.

    A safetensors file or one of PyTorch's, with its names and without PyTorch; key: as in `read`. Raises what `read`
    and `Checkpoint.load_into` raise.

    >>> info = elq.NetworkInfo((1, 28, 28), tuple("0123456789"), elq.datasets.Normalization((0.13,), (0.31,)), "lenet5")
    >>> elq.save(elq.models.lenet5(), "lenet5.safetensors", info)
    >>> elq.load(elq.models.lenet5(seed=1), "lenet5.safetensors").info == info
    True
    >>> elq.load(elq.models.digits_cnn(), "lenet5.safetensors")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: lenet5.safetensors: the tensors do not fit DigitsCNN: missing: bn1.weight (32,), ...
    """
    file = read(path, key)
    file.load_into(net)
    return file


def save(
    net: Module,
    path: str | os.PathLike[str],
    info: Described,
    *,
    codes: Mapping[str, Codes] | None = None,
    plan: Mapping[str, Any] | None = None,
) -> None:
    """Write a network to a safetensors file, atomically, with all that is needed to use it without its data and without
    the code that made it: its graph too (`elq.to_graph`), unless the network computes what a graph cannot hold.

    info: a NetworkInfo, or the data set that the network was trained on, which does not say the model's name.
    codes: (codes int8, alpha) of the quantized weights by name, kept beside W_hat; plan: how they came about, JSON
    values. `load` and the commands read the file.

    >>> train, test = elq.datasets.digits()
    >>> net, again = elq.models.digits_cnn(seed=1), elq.models.digits_cnn(seed=2)
    >>> elq.save(net, "net.safetensors", train)
    >>> elq.load(again, "net.safetensors").info.input_shape
    (1, 8, 8)
    >>> elq.accuracy(again, test) == elq.accuracy(net, test)
    True
    """
    tensors = net.state_dict()
    for name, (code, alpha) in (codes or {}).items():
        tensors |= {CODES + name: code, ALPHA + name: alpha}
    said = NetworkInfo.of(info)
    metadata: dict[str, Any] = {"kind": "network", **said.to_json()}
    metadata |= {} if plan is None else {"plan": dict(plan)}
    write(path, tensors, metadata | graph_metadata(graph_of(net, said.input_shape)))


def graph_metadata(graph: Graph | None) -> dict[str, Any]:
    """What the metadata of a checkpoint says of the graph of its network."""
    return {} if graph is None else {"graph": graph_to_json(graph)}
