"""PackedNetwork: a graph with packed weights and what one needs to know to feed it."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..errors import shown
from ..files import atomic_write
from ..graph.nodes import Graph, Node, Weight, remade, required
from ..graph.shapes import Shape, check_packed, infer_shapes, operations
from .container import reading
from .format import from_bytes, to_bytes
from .integer import IntegerNetwork
from .metadata import Metadata
from .native import kernel_name

MOST_OPERATIONS = 10**11  # a picture: ResNet-50 at 224 x 224 takes 4 * 10**9


@dataclass(frozen=True, eq=False)
class PackedNetwork:
    """A network whose weights are codes in 1 or 2 bits; what `Session` runs and an .elq file holds.

    int8: what runs `graph` on int8 activations; None before `elq calibrate` (deploy.calibrate).
    Checked when it is made: ValueError names the node that is wrong.

    >>> _, test = elq.datasets.digits()
    >>> net = elq.models.digits_cnn()
    >>> elq.pack(net, test, quantized={"fc.weight": elq.ternarize(net.fc.weight.data)}).save("net.elq")
    >>> packed = elq.PackedNetwork.load("net.elq")
    >>> packed.layers["fc"].levels, packed.codes("fc").shape, packed.alpha("fc").shape, packed.layers["conv1"].levels
    ('ternary', (10, 64), (1,), 'float')
    """

    graph: Graph
    metadata: Metadata
    int8: IntegerNetwork | None = None
    shapes: Mapping[str, Shape] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_packed(self.graph)
        object.__setattr__(self, "shapes", infer_shapes(self.graph))
        output, classes = self.shapes[self.graph.output], len(self.metadata.classes)
        if output != (classes,):
            raise ValueError(f"the output has shape {output}, {classes} class name(s) want ({classes},)")
        channels, means = self.graph.input_shape[0], len(self.metadata.normalization.mean)
        if means != channels:
            raise ValueError(f"{means} mean(s) and std(s) for {channels} channel(s)")
        if self.int8 is not None and self.int8.graph is not self.graph:
            raise ValueError("int8 is that of another graph")

    __reduce__ = remade

    @property
    def layers(self) -> dict[str, Weight]:
        """The weights of convolutions and fully connected layers by node name, in order of computation."""
        return {node.name: required(node.weight) for node in self.graph.nodes if node.weight is not None}

    @property
    def macs(self) -> dict[str, int]:
        """Multiply-adds a picture of each such node: outputs * weights that reach one, padding included."""
        return {name: math.prod(self.shapes[name]) * math.prod(w.shape[1:]) for name, w in self.layers.items()}

    @property
    def operations(self) -> int:
        """What computing a picture takes: multiply-adds, elements of pooling windows, elements of other values."""
        return sum(operations(self.graph, self.shapes).values())

    def check_operations(self, most: int) -> None:
        """Refuse (ValueError) to run what takes more operations a picture."""
        if self.operations > most:
            raise ValueError(
                f"this network takes {self.operations:,} operations a picture, at most {most:,} are done unless "
                "most_operations, --most-operations of a command, asks for more"
            )

    @property
    def activation_bytes(self) -> int:
        """Bytes of all float32 values of a picture: no less than what lives at the same time, Session.arena_bytes."""
        return 4 * sum(map(math.prod, self.shapes.values()))

    def codes(self, layer: str) -> np.ndarray:
        """Codes int8 of a quantized layer, in the shape (O, I, KH, KW) or (O, I) of its weight."""
        return self._layer(layer).codes()

    def alpha(self, layer: str) -> np.ndarray:
        """alpha float32 of a quantized layer: (1), or (O) where each output channel has its own."""
        weight = self._layer(layer)
        if weight.alpha is None:
            raise ValueError(f"layer {layer!r} holds float weights, which have no alpha")
        return weight.alpha

    def _layer(self, name: str) -> Weight:
        layers = self.layers
        if name not in layers:
            raise KeyError(f"there is no layer {name!r}; there are: {', '.join(layers)}")
        return layers[name]

    @property
    def weight_bytes(self) -> int:
        """Bytes in memory of all weights of convolutions and fully connected layers as packed: codes and alphas."""
        return sum(weight.nbytes for weight in self.layers.values())

    @property
    def float_bytes(self) -> int:
        """Bytes of the same weights in float32."""
        return sum(4 * weight.size for weight in self.layers.values())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the .elq file (docs/format.md), atomically; the same network gives the same bytes."""
        content = to_bytes(self.graph, self.metadata, self.int8)
        with atomic_write(path) as temporary:
            temporary.write_bytes(content)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PackedNetwork:
        """Read an .elq file; FormatError says in one line what is wrong with it."""
        with reading(path) as content:
            return cls(*from_bytes(content))

    def summary(self) -> str:
        """A table: for every layer name, op, shape, levels, bits a weight, bytes, zeros, and the kernel
        that runs it here with float32 activations.
        """
        head = ("layer", "op", "shape", "levels", "bits/weight", "bytes", "zeros", "kernel")
        table = [head, *(_row(node, self.shapes) for node in self.graph.nodes if node.weight is not None)]
        size = sum(weight.size for weight in self.layers.values())
        bits = f"{8 * self.weight_bytes / max(size, 1):.2f}"
        table.append(("total", "", f"{size:,} weights", "", bits, f"{self.weight_bytes:,}", "", ""))
        widths = [max(len(row[i]) for row in table) for i in range(len(head))]
        right = {4, 5, 6}
        lines = [
            "  ".join(
                f"{t:>{w}}" if i in right else f"{t:<{w}}" for i, (t, w) in enumerate(zip(row, widths, strict=True))
            )
            for row in table
        ]
        ratio = self.float_bytes / max(self.weight_bytes, 1)
        lines.append(f"in float32: {self.float_bytes:,} bytes, {ratio:.1f} times as many")
        made = None if self.int8 is None else shown(", ".join(f"{k} {v}" for k, v in self.int8.calibration.items()))
        lines.append(f"int8 activations: {made or 'none, elq calibrate makes them'}")
        return "\n".join(line.rstrip() for line in lines)


def _row(node: Node, shapes: Mapping[str, Shape]) -> tuple[str, ...]:
    weight = required(node.weight)
    zeros: np.ndarray = weight.codes() == 0 if weight.alpha is not None else weight.data == 0
    return (
        node.name,
        node.op,
        "x".join(map(str, weight.shape)),
        weight.levels,
        f"{8 * weight.nbytes / weight.size:.2f}",
        f"{weight.nbytes:,}",
        f"{zeros.mean():.1%}",
        kernel_name(node, shapes[node.inputs[0]]),
    )
