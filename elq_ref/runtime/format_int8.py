"""The int8 part of an .elq file: the integers of docs/arithmetic.md, stored so that no reader computes them again.

IntegerNetwork checks their ranges and proves the headroom of every sum; here are their places in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import FormatError
from ..graph.nodes import Graph, required
from ..graph.reading import Tensors, integers, items, members, number
from ..graph.shapes import Shape
from .integer import REQUANTIZED, SCALED, AddScales, Constants, IntegerNetwork, Requantize, fuse_relus, needs_weights

_NUMBERS = {"b": np.int32, "q": np.int32, "s": np.uint8}


def write_int8(network: IntegerNetwork, tensors: dict[str, np.ndarray]) -> dict[str, Any]:
    """The JSON object of `network`; its tensors are added to `tensors`."""
    values = []
    requantized = []
    for node in network.nodes:
        if node.op not in SCALED:
            continue
        entry: dict[str, Any] = {"name": node.name, "scale": network.scales[node.name]}
        if node.requantize is not None:
            entry["l"] = node.requantize.l
            requantized.append(node.requantize)
        else:
            add = required(node.add)
            entry |= {"q": [add.q1, add.q2], "s": add.s}
        values.append(entry)
    for kind in _NUMBERS:
        if requantized:
            tensors[kind] = np.concatenate([getattr(r, kind) for r in requantized])
    tensors |= {"table": network.table, "factor": network.factor}
    tensors |= {f"{name}.int8": weight for name, weight in network.weights.items()}
    return {
        "calibration": network.calibration,
        "scale": network.scales[network.graph.input],
        "values": values,
    }


def read_int8(entry: Any, graph: Graph, shapes: Mapping[str, Shape], tensors: Tensors) -> IntegerNetwork:
    """The integers of `graph` from their JSON object and tensors; ValueError for anything wrong."""
    members("int8", entry, ("calibration", "scale", "values"))
    fused = fuse_relus(graph)
    scaled = [(node, name) for node, name in fused if node.op in SCALED]
    values = items("values of int8", entry["values"])
    if len(values) != len(scaled):
        raise FormatError(f"int8 has {len(values)} values, the graph wants {len(scaled)}")
    scales = {graph.input: number(entry["scale"])}
    constants: dict[str, Constants] = {}
    for value, (node, name) in zip(values, scaled, strict=True):
        requantized = node.op in REQUANTIZED
        members(f"int8 value of {name!r}", value, ("name", "scale", *(("l",) if requantized else ("q", "s"))))
        if value["name"] != name:
            raise FormatError(f"an int8 value is named {str(value['name'])[:80]!r}, wanted {name!r}")
        scales[name] = number(value["scale"])
        try:
            if requantized:
                count = 1 if node.scale is None else len(required(node.scale))
                b, q, s = (tensors.next(kind, dtype, count) for kind, dtype in _NUMBERS.items())
                constants[name] = Requantize(value["l"], b, q, s)
            else:
                factors = integers("q", value["q"])
                if len(factors) != 2:
                    raise FormatError(f"q is {factors}, wanted two integers")
                constants[name] = AddScales(factors[0], factors[1], value["s"])
        except ValueError as error:
            raise FormatError(f"int8 value {name!r}: {error}") from None
    weights = {
        node.name: tensors.whole(f"{node.name}.int8", np.int8, required(node.weight).shape)
        for node, _ in fused
        if needs_weights(node)
    }
    table = tensors.whole("table", np.int8, (graph.input_shape[0], 256))
    factor = tensors.whole("factor", np.float32, shapes[graph.output])
    if not isinstance(entry["calibration"], dict):
        raise FormatError("calibration is no object")
    return IntegerNetwork(graph, scales, table, constants, weights, factor, entry["calibration"])
