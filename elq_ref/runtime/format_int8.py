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
from .integer import IntegerNetwork, has_clamp, largest_sums, table_rows
from .integer_constants import AddScales, Clamp, Constants, Requantize, Tables
from .integer_weights import needs_weights
from .steps import REQUANTIZED, SCALED, TABLED, Step, int8_steps

_NUMBERS = {"b": np.int32, "q": np.int32, "s": np.uint8}


def write_int8(network: IntegerNetwork, tensors: dict[str, np.ndarray]) -> dict[str, Any]:
    """The JSON object of `network`; its tensors are added to `tensors`."""
    values = []
    requantized, tables = [], []
    for node in network.nodes:
        if node.op not in SCALED:
            continue
        entry: dict[str, Any] = {"name": node.name, "scale": network.scales[node.name]}
        if node.requantize is not None:
            entry["l"] = node.requantize.l
            requantized.append(node.requantize)
        elif node.add is not None:
            entry |= {"q": [node.add.q1, node.add.q2], "s": node.add.s}
        else:
            tables.append(required(node.tables).reshape(-1))
        if node.name in network.clamps:
            entry["clamp"] = list(network.clamps[node.name])
        values.append(entry)
    for kind in _NUMBERS:
        if requantized:
            tensors[kind] = np.concatenate([getattr(r, kind) for r in requantized])
    if tables:
        tensors["tables"] = np.concatenate(tables)
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
    running = int8_steps(graph)
    scaled = [step for step in running if step.node.op in SCALED]
    values = items("values of int8", entry["values"])
    if len(values) != len(scaled):
        raise FormatError(f"int8 has {len(values)} values, the graph wants {len(scaled)}")
    scales = {graph.input: number(entry["scale"])}
    constants: dict[str, Constants] = {}
    clamps: dict[str, Clamp] = {}
    for value, step in zip(values, scaled, strict=True):
        name, clipped = step.name, has_clamp(step)
        members(f"int8 value of {name!r}", value, ("name", "scale", *_members(step), *(["clamp"] if clipped else [])))
        if value["name"] != name:
            raise FormatError(f"an int8 value is named {str(value['name'])[:80]!r}, wanted {name!r}")
        scales[name] = number(value["scale"])
        try:
            constants[name] = _constants(value, step, shapes, tensors)
            if clipped:
                clamps[name] = _pair("clamp", value["clamp"])
        except ValueError as error:
            raise FormatError(f"int8 value {name!r}: {error}") from None
    weights = {
        node.name: tensors.whole(f"{node.name}.int8", np.int8, required(node.weight).shape)
        for node in (step.node for step in running)
        if needs_weights(node)
    }
    table = tensors.whole("table", np.int8, (graph.input_shape[0], 256))
    factor = tensors.whole("factor", np.float32, shapes[graph.output])
    if not isinstance(entry["calibration"], dict):
        raise FormatError("calibration is no object")
    return IntegerNetwork(graph, scales, table, constants, weights, factor, entry["calibration"], clamps)


def _members(step: Step) -> tuple[str, ...]:
    """Of the JSON object of a value, besides its name, scale and clamp."""
    if step.node.op in TABLED:
        return ()
    return ("l",) if step.node.op in REQUANTIZED else ("q", "s")


def _constants(value: dict[str, Any], step: Step, shapes: Mapping[str, Shape], tensors: Tensors) -> Constants:
    """Of one value, from its JSON object and the next numbers of the tensors."""
    node = step.node
    if node.op in TABLED:
        return Tables(tensors.next("tables", np.int8, 256 * table_rows(node)).reshape(-1, 256))
    if node.op in REQUANTIZED:
        count = len(largest_sums(node, None, shapes)) if node.scale is None else len(required(node.scale))
        b, q, s = (tensors.next(kind, dtype, count) for kind, dtype in _NUMBERS.items())
        return Requantize(value["l"], b, q, s)
    return AddScales(*_pair("q", value["q"]), value["s"])


def _pair(what: str, value: Any) -> tuple[int, int]:
    pair = integers(what, value)
    if len(pair) != 2:
        raise FormatError(f"{what} is {pair}, wanted two integers")
    return pair[0], pair[1]
