"""A graph as plain JSON values with tensors beside them, and back. docs/format.md describes every field.

A packed graph has its nodes here and its arrays beside them; graph.parameters writes trainable graphs.
The reader trusts nothing: what a node says is checked against its op before its tensors are taken.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import numpy as np

from ..errors import FormatError
from .codes import pack_trits, row_bytes, row_length, trit_bytes, unpack_trits
from .nodes import DEFAULTS, LEVELS, Node, Weight, required
from .reading import Tensors, integers, items
from .shapes import (
    MAX_NODES,
    MAX_NUMBER,
    MAX_OPERANDS,
    OPS,
    PACKED_OPS,
    Integers,
    Number,
    check_name,
    check_weight_shape,
)


def nodes_to_json(nodes: tuple[Node, ...]) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """An object for every node of a packed graph, and the tensors of all."""
    tensors: dict[str, np.ndarray] = {}
    vectors: dict[str, list[np.ndarray]] = {"alpha": [], "scale": [], "bias": [], "slope": []}
    entries = []
    for node in nodes:
        entry = to_entry(node)
        if node.weight is not None:
            weight = required(node.weight)
            entry |= {"levels": weight.levels, "shape": list(weight.shape)}
            if weight.levels == "ternary":
                tensors[f"{node.name}.trits"] = pack_trits(weight.data, row_length(weight.shape))
            else:
                tensors[f"{node.name}.{'weight' if weight.levels == 'float' else 'codes'}"] = weight.data
            if weight.alpha is not None:
                entry["alphas"] = len(weight.alpha)
                vectors["alpha"].append(weight.alpha)
        for role in OPS[node.op].packed or ():
            if role != "weight":
                array = required(getattr(node, role))
                vectors[role].append(array)
                if node.weight is None:
                    entry["channels"] = len(array)
        entries.append(entry)
    return entries, tensors | {name: np.concatenate(arrays) for name, arrays in vectors.items() if arrays}


def to_entry(node: Node) -> dict[str, Any]:
    """What a node says besides its arrays; an attribute that is its default is left out."""
    entry: dict[str, Any] = {"op": node.op, "name": node.name, "inputs": list(node.inputs)}
    usual = DEFAULTS.get(node.op, {})
    said = {key: v for key, v in sorted(node.attributes.items()) if key not in usual or usual[key] != v}
    return entry | {key: list(v) if isinstance(v, tuple) else v for key, v in said.items()}


def nodes_from_json(entries: Any, tensors: Tensors) -> tuple[Node, ...]:
    """The nodes of a JSON list, their tensors taken out of `tensors`; ValueError (a FormatError or one of the parts')
    for what is wrong in a node. How nodes fit each other is for `infer_shapes` to check."""
    return tuple(_node(entry, tensors) for entry in items("nodes", entries, MAX_NODES))


def _node(entry: Any, tensors: Tensors) -> Node:
    op = op_of(entry, PACKED_OPS)
    roles = OPS[op].packed or ()
    keys: tuple[str, ...] = ()
    if "weight" in roles:
        keys = ("levels", "shape", *(["alphas"] if entry.get("levels") != "float" else []))
    elif roles:
        keys = ("channels",)
    name, inputs, attributes = from_entry(entry, keys)
    arrays: dict[str, Any] = {"weight": _weight(entry, tensors)} if "weight" in roles else {}
    for role in roles:
        if role != "weight":
            length = arrays["weight"].shape[0] if "weight" in roles else _count(name, entry["channels"])
            arrays[role] = tensors.next(role, np.float32, length)
    return Node(op, name, inputs, attributes, **arrays)


def op_of(entry: Any, ops: Container[str]) -> str:
    """The op of a node's JSON object, one of `ops`."""
    if not isinstance(entry, dict) or not isinstance(entry.get("op"), str) or entry["op"] not in ops:
        raise FormatError(f"a node is {str(entry)[:80]}, wanted an object with a known op")
    op: str = entry["op"]
    return op


def from_entry(entry: dict[str, Any], keys: tuple[str, ...]) -> tuple[str, tuple[str, ...], dict[str, Any]]:
    """(name, inputs, attributes) of a node's JSON object that has the members `keys` and those of its op."""
    op = OPS[entry["op"]]
    usual = DEFAULTS.get(entry["op"], {})
    wanted = {"op", "name", "inputs", *op.attributes, *keys}
    if not wanted - usual.keys() <= entry.keys() <= wanted:
        what = f"node {str(entry.get('name'))[:80]!r}"
        raise FormatError(f"{what} has members {str(sorted(entry))[:120]}, wanted {sorted(wanted - usual.keys())}")
    name = entry["name"]
    check_name(name)
    attributes = {
        key: _attribute(f"{key} of {name!r}", kind, entry[key]) for key, kind in op.attributes.items() if key in entry
    }
    inputs = tuple(items(f"inputs of {name!r}", entry["inputs"], MAX_OPERANDS))
    if not all(isinstance(value, str) for value in inputs):
        raise FormatError(f"inputs of {name!r} are not names")
    return name, inputs, attributes


def _weight(entry: dict[str, Any], tensors: Tensors) -> Weight:
    """The weight of a conv or linear node from its JSON object and tensors."""
    name, levels, shape = entry["name"], entry["levels"], integers(f"shape of {entry['name']!r}", entry["shape"])
    if levels not in LEVELS:
        raise FormatError(f"node {name!r} has levels {str(levels)[:40]!r}, wanted one of {', '.join(LEVELS)}")
    check_weight_shape(entry["op"], shape)
    outputs, length = shape[0], row_length(shape)
    if levels == "float":
        return Weight(levels, shape, tensors.whole(f"{name}.weight", np.float32, shape))
    if levels == "ternary":
        trits = tensors.whole(f"{name}.trits", np.uint8, (trit_bytes(outputs * length),))
        try:
            data = unpack_trits(trits, outputs, length)
        except ValueError as error:
            raise FormatError(f"tensor '{name}.trits': {error}") from None
    else:
        data = tensors.whole(f"{name}.codes", np.uint8, (outputs, row_bytes(levels, length)))
    alphas = entry["alphas"]
    if type(alphas) is not int or alphas not in (1, outputs):
        raise FormatError(f"alphas of {name!r} is {str(alphas)[:40]}, wanted 1 or {outputs}")
    return Weight(levels, shape, data, tensors.next("alpha", np.float32, alphas))


def _count(name: str, value: Any) -> int:
    if type(value) is not int or value < 0:
        raise FormatError(f"channels of {name!r} is {str(value)[:40]}, wanted a count")
    return value


def _attribute(what: str, kind: Integers | Number, value: Any) -> Any:
    """A list as a tuple, a number as what the op wants; whether it may be that is for `infer_shapes` to check."""
    if isinstance(kind, Number):
        if type(value) not in (int, float) or not abs(value) <= MAX_NUMBER:
            raise FormatError(f"{what} is {str(value)[:40]}, wanted a number")
        return float(value)
    return value if type(value) is int else integers(what, value)
