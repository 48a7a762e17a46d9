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
from ..files import check_source
from ..graph.info import Described, NetworkInfo
from ..nn import Module
from .tensors import one_line, parse, write

BOOKKEEPING = "elq/"  # the names of a run's own tensors begin with this; a network's never do
CODES, ALPHA = f"{BOOKKEEPING}codes/", f"{BOOKKEEPING}alpha/"  # and the name of a weight
_ALL = {"input_shape", "classes", "normalization"}

Codes = tuple[np.ndarray, np.ndarray]  # of one weight: codes int8 in its shape, alpha


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a file holds: all tensors by name, in its order, and its metadata, JSON values ({} in others' files).

    stated: the fields of NetworkInfo that the file states; info: all of them, None if one but the model is missing;
    sha256: of the file's bytes, in hexadecimal digits.
    """

    path: Path
    tensors: dict[str, np.ndarray]
    metadata: dict[str, Any]
    stated: dict[str, Any]
    info: NetworkInfo | None
    sha256: str

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

        A prefix "module." of all names (PyTorch's DataParallel) is dropped; a run's bookkeeping and the counters
        num_batches_tracked, which nothing here reads, are passed over.
        """
        state = {n: t for n, t in self.tensors.items() if not n.startswith(BOOKKEEPING)}
        if all(name.startswith("module.") for name in state):
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
        return {name: (self.tensors[CODES + name], self.tensors[ALPHA + name]) for name in names}

    def load_into(self, net: Module) -> None:
        """Assign the tensors of `network` to `net`, converted to its dtype.

        ValueError that lists what is missing, unexpected, of another shape or no float; then `net` is as it was.
        """
        state = self.network
        try:
            net.load_state_dict(state)
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from None


def read(path: str | os.PathLike[str]) -> Checkpoint:
    """The content of a safetensors file or of a PyTorch file; the content tells which it is.

    Raises FileNotFoundError, or FormatError for a file that is damaged, hostile or of another kind, or whose metadata
    states what cannot be.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no checkpoint {path}")
    check_source(path)
    content = path.read_bytes()
    try:
        tensors, metadata = parse(content)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from None
    try:
        stated = NetworkInfo.stated(metadata)
        info = NetworkInfo(**stated) if stated.keys() >= _ALL else None
    except (ValueError, TypeError, KeyError) as error:
        raise FormatError(f"{path}: its metadata is damaged: {one_line(error)}") from None
    return Checkpoint(path, tensors, metadata, stated, info, hashlib.sha256(content).hexdigest())


def load(net: Module, path: str | os.PathLike[str]) -> Checkpoint:
    """Assign the tensors of a checkpoint to `net`, converted to its dtype, and give back all that the file says.

    A safetensors file or one of PyTorch's, with its names and without PyTorch. Raises what `read` and
    `Checkpoint.load_into` raise.

    >>> info = elq.NetworkInfo((1, 28, 28), tuple("0123456789"), elq.datasets.Normalization((0.13,), (0.31,)), "lenet5")
    >>> elq.save(elq.models.lenet5(), "lenet5.safetensors", info)
    >>> elq.load(elq.models.lenet5(seed=1), "lenet5.safetensors").info == info
    True
    >>> elq.load(elq.models.digits_cnn(), "lenet5.safetensors")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: lenet5.safetensors: the tensors do not fit DigitsCNN: missing: bn1.weight (32,), ...
    """
    file = read(path)
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
    """Write a network to a safetensors file, atomically, with all that is needed to use it without its data.

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
    metadata: dict[str, Any] = {"kind": "network", **NetworkInfo.of(info).to_json()}
    write(path, tensors, metadata if plan is None else metadata | {"plan": dict(plan)})
