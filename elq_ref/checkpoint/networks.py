"""Networks in checkpoint files, with what one must know to use them without the data they were trained on."""

from __future__ import annotations

import os

from ..graph.info import Described, NetworkInfo
from ..nn import Module
from . import tensors


def save(net: Module, path: str | os.PathLike[str], info: Described) -> None:
    """Write a network to a safetensors file, atomically, with all that is needed to use it without its data.

    info: a NetworkInfo, or the data set it was trained on, which does not say the model's name. `load` and the commands
    read the file.

    >>> train, test = elq.datasets.digits()
    >>> net = elq.models.digits_cnn(seed=1)
    >>> elq.save(net, "net.safetensors", train)
    >>> again = elq.models.digits_cnn(seed=2)
    >>> elq.load(again, "net.safetensors")["input_shape"]
    [1, 8, 8]
    >>> elq.accuracy(again, test) == elq.accuracy(net, test)
    True
    """
    tensors.save(path, net.state_dict(), {"kind": "network", **NetworkInfo.of(info).to_json()})
