"""A trained network as a PackedNetwork: its graph, with codes in the place of the weights that stand on levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, overload

import numpy as np

from .. import __version__
from ..graph.codes import pack_codes
from ..graph.folding import folded
from ..graph.info import Described, NetworkInfo
from ..graph.nodes import Weight
from ..graph_builder import to_graph
from ..nn import Module
from ..preprocessing import Normalization
from ..runtime.metadata import Metadata
from ..runtime.packed import PackedNetwork

Codes = tuple[np.ndarray, np.ndarray]
MeanStd = tuple[Sequence[float], Sequence[float]]


@overload
def pack(
    net: Module,
    about: Described,
    *,
    quantized: Mapping[str, Codes] | None = None,
    resize: str = "stretch",
    metadata: Mapping[str, Any] | None = None,
) -> PackedNetwork: ...
@overload
def pack(
    net: Module,
    about: Mapping[str, Codes] | None = None,
    *,
    quantized: Mapping[str, Codes] | None = None,
    input_shape: tuple[int, int, int],
    normalization: Normalization | MeanStd,
    classes: Sequence[str],
    resize: str = "stretch",
    metadata: Mapping[str, Any] | None = None,
) -> PackedNetwork: ...
def pack(
    net: Module,
    about: Described | Mapping[str, Codes] | None = None,
    *,
    quantized: Mapping[str, Codes] | None = None,
    input_shape: tuple[int, int, int] | None = None,
    normalization: Normalization | MeanStd | None = None,
    classes: Sequence[str] | None = None,
    resize: str = "stretch",
    metadata: Mapping[str, Any] | None = None,
) -> PackedNetwork:
    """The network `net` with its quantized weights as codes, ready to save and to run.

    about: a data set or a NetworkInfo, which say input shape, normalization and classes; or these three by keyword:
    input_shape (C, H, W), normalization (a Normalization, or mean and std on x / 255, one a channel), classes.
    quantized: parameter name -> (codes int8 in the parameter's shape, alpha float32, one or one an output channel), as
    `State.codes` gives; in the place of `about` too. Without it the weights say it themselves: what stands on levels
    {-a, 0, a}, one a for the layer or one an output channel, becomes codes that give it back bit for bit (a zero as
    +0.0). Where nothing stands on levels, ValueError; {} packs a float network as it is.
    A layer without a zero code takes 1 bit a weight, another quantized one 2; the other conv and linear weights stay
    float32, and so does all else (`to_graph`). resize: what is done to pictures of another size (docs/format.md).
    metadata: how the weights came about, anything that JSON can hold.
    Raises ValueError if the network computes what a packed graph cannot hold, or names and shapes do not fit;
    TypeError for a network that is not float32, and where `about` and the keywords say too little or say it twice.

    >>> _, test = elq.datasets.digits()
    >>> net = elq.models.digits_cnn()
    >>> for w in net.quantizable().values():
    ...     codes, alpha = elq.ternarize(w.data)
    ...     w.data = alpha * codes  # what elq.quantize does, stage by stage and with training
    >>> packed = elq.pack(net, test)
    >>> packed.float_bytes, packed.weight_bytes
    (224896, 14096)
    >>> packed.save("net.elq")
    >>> elq.Session("net.elq")(test.images[:5]).shape
    (5, 10)
    """
    if isinstance(about, Mapping):
        if quantized is not None:
            raise TypeError("pack is given codes twice: in the place of `about` and as quantized=")
        about, quantized = None, about
    info = _info(about, {"input_shape": input_shape, "normalization": normalization, "classes": classes})
    graph, tensors = to_graph(net, info.input_shape), net.state_dict()
    names = [n.parameters["weight"].name for n in graph.nodes if n.weight is not None]
    weights = {name: tensors[name] for name in names}
    if quantized is None:
        quantized = _found_codes(weights)
    missing = sorted(set(quantized) - set(weights))
    if missing:
        raise ValueError(f"no conv or linear weight of the network is named {', '.join(missing)}")
    packed = {name: _weight(name, weights[name], codes) for name, codes in quantized.items()}
    graph = folded(graph, tensors)
    in_order = iter(names)  # folding keeps the layers' order
    nodes = tuple(
        n if n.weight is None else replace(n, weight=packed.get(next(in_order), n.weight)) for n in graph.nodes
    )
    method = {} if info.model is None else {"model": info.model}
    method |= metadata or {}
    said = Metadata(info.classes, info.normalization, resize, method, __version__)
    return PackedNetwork(replace(graph, nodes=nodes), said)


def unpack(packed: PackedNetwork) -> dict[str, np.ndarray]:
    """W_hat float32 of every conv and linear weight by parameter name, bit for bit; float weights as they are.

    >>> _, test = elq.datasets.digits()
    >>> net = elq.models.digits_cnn()
    >>> packed = elq.pack(net, test, quantized={"fc.weight": elq.binarize(net.fc.weight.data)})
    >>> weights = elq.unpack(packed)
    >>> list(weights)
    ['conv1.weight', 'conv2.weight', 'conv3.weight', 'fc.weight']
    >>> bool((np.sign(weights["fc.weight"]) == np.sign(net.fc.weight.data)).all())
    True
    """
    names = {name: _module(name) for name in packed.layers}
    return {
        "weight" if names[layer] == "weight" else f"{names[layer]}.weight": weight.values()
        for layer, weight in packed.layers.items()
    }


def codes_of(w: np.ndarray) -> Codes | None:
    """(codes int8, alpha float32) of a weight (O, ...) that stands on levels {-a, 0, a} or {-a, a}; None for another.

    One a for the layer, (1), or where there is none, one an output channel, (O), 0 for a channel of zeros. Zeros that
    lie in such channels alone get the code +1, as binary levels have them. One weight alone stands on a level whatever
    it is, so a row of one says nothing.
    """
    for rows in (w.reshape(1, -1), w.reshape(len(w), -1)):
        size = np.abs(rows)
        alpha = size.max(1)
        if rows.shape[1] > 1 and ((size == alpha[:, None]) | (size == 0)).all():
            codes = np.sign(rows).astype(np.int8)
            if codes[alpha > 0].all():
                codes[alpha == 0] = 1
            return codes.reshape(w.shape), alpha
    return None


def _info(about: Described | None, stated: dict[str, Any]) -> NetworkInfo:
    """What the network reads and means, said either by `about` or by all of the keywords."""
    given = [name for name, value in stated.items() if value is not None]
    if about is not None:
        if given:
            raise TypeError(f"{given[0]}= is given, and a {type(about).__name__} that says it too")
        return NetworkInfo.of(about)
    if len(given) < len(stated):
        missing = ", ".join(f"{name}=" for name in stated if name not in given)
        raise TypeError(f"pack wants a data set or a NetworkInfo, or {missing}")
    shape, normalization, classes = stated.values()
    if not isinstance(normalization, Normalization):
        try:
            mean, std = (tuple(map(float, values)) for values in normalization)
        except (TypeError, ValueError):
            wanted = "a Normalization or a pair (mean, std) of one number a channel each"
            raise TypeError(f"normalization is {str(normalization)[:80]}, wanted {wanted}") from None
        normalization = Normalization(mean, std)
    return NetworkInfo(tuple(shape), tuple(classes), normalization)


def _module(node: str) -> str:
    """The module that a node of a weight is named after; a second node of one weight is called NAME#2."""
    return node.partition("#")[0]


def _found_codes(weights: Mapping[str, np.ndarray]) -> dict[str, Codes]:
    """Codes by name of all weights that stand on levels; ValueError if none does."""
    read = {name: codes_of(w) for name, w in weights.items()}
    found = {name: codes for name, codes in read.items() if codes is not None}
    if not any(alpha.any() for _, alpha in found.values()):
        raise ValueError(
            "no weight of the network stands on levels {-a, 0, a}: give quantized=step.state.codes() of the last step "
            "if the method keeps other weights to the end, or quantized={} to pack a float network"
        )
    return found


def _weight(name: str, w: np.ndarray, quantized: Codes) -> Weight:
    """The weight `w` of parameter `name` as these codes."""
    codes, alpha = quantized
    alpha = np.asarray(alpha)
    if codes.shape != w.shape:
        raise ValueError(f"codes of {name} have shape {codes.shape}, the weight has {w.shape}")
    if alpha.dtype != np.float32 or alpha.size not in (1, len(w)) or (alpha.ndim and alpha.shape[0] != alpha.size):
        raise ValueError(f"alpha of {name} is {alpha.dtype} {alpha.shape}, wanted float32, 1 or {len(w)} values")
    levels = "ternary" if (codes == 0).any() else "binary"
    return Weight(levels, w.shape, pack_codes(codes, levels), alpha.reshape(-1).copy())
