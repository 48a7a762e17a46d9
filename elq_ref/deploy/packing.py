"""A trained network as a PackedNetwork: traced, BatchNorm folded beside the codes, weights packed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .. import __version__
from ..graph.codes import pack_codes
from ..graph.nodes import Graph, Node, Weight
from ..nn import Module
from ..preprocessing import Normalization
from ..runtime.metadata import Metadata
from ..runtime.packed import PackedNetwork
from ..tracing import INPUT, Traced, trace

Codes = tuple[np.ndarray, np.ndarray]


def pack(
    net: Module,
    quantized: Mapping[str, Codes],
    *,
    input_shape: tuple[int, int, int],
    normalization: tuple[Sequence[float], Sequence[float]],
    classes: Sequence[str],
    resize: str = "stretch",
    metadata: Mapping[str, Any] | None = None,
) -> PackedNetwork:
    """The network `net` with the weights of `quantized` as codes, ready to save and to run.

    quantized: parameter name -> (codes int8 in the parameter's shape, alpha float32, one or one per output
    channel); a layer without a zero code takes 1 bit a weight, another one 2. A conv or linear weight that
    it does not name stays float32. Everything else (biases, BatchNorm with its running statistics) is taken
    from `net`, a float32 network: scale_o = gamma_o / sqrt(var_o + eps), bias_o = (b_o - mean_o) scale_o +
    beta_o, computed in float64. input_shape (C, H, W); normalization (mean, std), one per channel, on x /
    255; metadata: how the weights came about, anything that JSON can hold.
    Raises ValueError if the network computes what a packed graph cannot hold, or names and shapes do not fit;
    TypeError for a network that is not float32.
    """
    parameters = dict(net.named_parameters())
    wide = [name for name, p in parameters.items() if p.dtype != np.float32]
    if wide:
        raise TypeError(f"pack wants a float32 network, {wide[0]} is {parameters[wide[0]].dtype}")
    builder = _Builder({name: p.data for name, p in parameters.items()}, quantized, trace(net, input_shape))
    missing = sorted(set(quantized) - builder.packed)
    if missing:
        raise ValueError(f"no conv or linear weight of the network is named {', '.join(missing)}")
    mean, std = (tuple(map(float, values)) for values in normalization)
    channels, height, width = map(int, input_shape)
    graph = Graph(INPUT, (channels, height, width), tuple(builder.nodes.values()), builder.output)
    about = Metadata(tuple(classes), Normalization(mean, std), resize, dict(metadata or {}), __version__)
    return PackedNetwork(graph, about)


def unpack(packed: PackedNetwork) -> dict[str, np.ndarray]:
    """W_hat float32 of every conv and linear weight by parameter name, bit for bit; weights kept in float as
    they are.
    """
    names = {name: name.partition("#")[0] for name in packed.layers}
    return {
        "weight" if names[layer] == "weight" else f"{names[layer]}.weight": weight.values()
        for layer, weight in packed.layers.items()
    }


class _Builder:
    """Turns traced operations into nodes, in order. `values` maps a traced value to the node that computes
    it.
    """

    def __init__(
        self, arrays: dict[str, np.ndarray], quantized: Mapping[str, Codes], traced: list[Traced]
    ) -> None:
        self.arrays, self.quantized = arrays, quantized
        self.nodes: dict[str, Node] = {}
        self.packed: set[str] = set()
        self.values = {INPUT: INPUT}
        self.readers: dict[str, int] = {}
        for op in traced:
            for name in op.inputs:
                self.readers[name] = self.readers.get(name, 0) + 1
        for op in traced:
            self.values[op.output] = self._translate(op)
        self.output = self.values[traced[-1].output]

    def _add(
        self, op: str, name: str, inputs: tuple[str, ...], attributes: dict[str, Any], **arrays: Any
    ) -> str:
        """Append a node; a name that is taken gets #2, #3, ..."""
        unique, count = name, 1
        while unique in self.nodes or unique == INPUT:
            count += 1
            unique = f"{name}#{count}"
        self.nodes[unique] = Node(op, unique, inputs, attributes, **arrays)
        return unique

    def _translate(self, op: Traced) -> str:
        """Append the nodes of one operation; the name of the value that it computes."""
        a = op.attributes
        if op.op in ("conv2d", "linear"):
            keys = ("stride", "padding", "dilation", "groups") if op.op == "conv2d" else ()
            return self._weighted(
                "conv" if op.op == "conv2d" else "linear", op, {key: a[key] for key in keys}
            )
        if op.op == "batch_norm":
            return self._batch_norm(op)
        inputs = tuple(self._value(name, op) for name in op.inputs)
        if op.op in ("relu", "add", "global_avg_pool"):
            return self._add(op.op, op.op, inputs, {})
        if op.op in ("max_pool", "avg_pool"):
            return self._add(op.op, op.op, inputs, {"kernel": a["kernel"], "stride": a["stride"]})
        if op.op == "subsample":
            return self._add(op.op, op.op, inputs, {"step": a["step"]})
        if op.op == "pad" and len(op.shape) == 3 and a["before"][0] == a["after"][0] == 0:
            return self._add(op.op, op.op, inputs, {"before": a["before"][1:], "after": a["after"][1:]})
        if op.op == "reshape" and len(op.shape) == 1:
            return self._add("flatten", "flatten", inputs, {})
        raise ValueError(f"{op.op} to shape {op.shape} does not fit a packed graph")

    def _value(self, name: str, op: Traced) -> str:
        if name not in self.values:
            raise ValueError(f"{op.op} reads the parameter {name}, which a packed graph does not hold")
        return self.values[name]

    def _weighted(self, kind: str, op: Traced, attributes: dict[str, Any]) -> str:
        name, outputs = op.inputs[1], self._array(op, 1).shape[0]
        bias = self._array(op, 2) if len(op.inputs) > 2 else np.zeros(outputs, np.float32)
        self.packed.add(name)
        return self._add(
            kind,
            name.removesuffix(".weight"),
            (self._value(op.inputs[0], op),),
            attributes,
            weight=self._weight(name),
            scale=np.ones(outputs, np.float32),
            bias=bias.copy(),
        )

    def _array(self, op: Traced, position: int) -> np.ndarray:
        name = op.inputs[position]
        if name not in self.arrays:
            raise ValueError(f"{op.op} computes with {name} where a packed graph wants a parameter")
        return self.arrays[name]

    def _weight(self, name: str) -> Weight:
        w = self.arrays[name]
        if name not in self.quantized:
            return Weight("float", w.shape, w.copy())
        codes, alpha = self.quantized[name]
        alpha = np.asarray(alpha)
        if codes.shape != w.shape:
            raise ValueError(f"codes of {name} have shape {codes.shape}, the weight has {w.shape}")
        if (
            alpha.dtype != np.float32
            or alpha.size not in (1, len(w))
            or (alpha.ndim and alpha.shape[0] != alpha.size)
        ):
            raise ValueError(
                f"alpha of {name} is {alpha.dtype} {alpha.shape}, wanted float32, 1 or {len(w)} values"
            )
        levels = "ternary" if (codes == 0).any() else "binary"
        return Weight(levels, w.shape, pack_codes(codes, levels), alpha.reshape(-1).copy())

    def _batch_norm(self, op: Traced) -> str:
        """Folded beside the codes of the convolution before it if nobody else reads that one's result."""
        x, gamma, beta = self._value(op.inputs[0], op), self._array(op, 1), self._array(op, 2)
        mean, var = (op.attributes[key].astype(np.float64) for key in ("mean", "var"))
        scale = gamma / np.sqrt(var + op.attributes["eps"])  # float64: var is
        before = self.nodes.get(x)
        layer = op.inputs[1].removesuffix(".weight")
        if before is not None and before.weight is not None and self.readers[op.inputs[0]] == 1:
            bias = (before.bias - mean) * scale + beta
            scale = before.scale * scale
            self.nodes[x] = replace(before, scale=scale.astype(np.float32), bias=bias.astype(np.float32))
        else:
            shift = (beta - mean * scale).astype(np.float32)
            x = self._add("scale_shift", layer, (x,), {}, scale=scale.astype(np.float32), bias=shift)
        if len(op.inputs) > 3:
            x = self._add("add", f"{layer}.add", (x, self._value(op.inputs[3], op)), {})
        if op.attributes["relu"]:
            x = self._add("relu", f"{layer}.relu", (x,), {})
        return x
