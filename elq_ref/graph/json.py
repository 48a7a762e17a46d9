"""A graph as plain JSON values with tensors beside them, and back. docs/format.md describes every field.

The reader trusts nothing: what a node says is checked against its op before its tensors are taken.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import FormatError
from .codes import pack_trits, row_bytes, row_length, trit_bytes, unpack_trits
from .nodes import LEVELS, Node, Weight
from .reading import Tensors, integers, items, members
from .shapes import MAX_NODES, OPS, check_name, check_weight_shape


def nodes_to_json(nodes: tuple[Node, ...]) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """An object for every node, and the tensors of all."""
    tensors: dict[str, np.ndarray] = {}
    vectors: dict[str, list[np.ndarray]] = {"alpha": [], "scale": [], "bias": []}
    entries = []
    for node in nodes:
        entry: dict[str, Any] = {"op": node.op, "name": node.name, "inputs": list(node.inputs)}
        entry |= {key: list(v) if isinstance(v, tuple) else v for key, v in sorted(node.attributes.items())}
        weight = node.weight
        if weight is not None:
            entry |= {"levels": weight.levels, "shape": list(weight.shape)}
            if weight.levels == "ternary":
                tensors[f"{node.name}.trits"] = pack_trits(weight.data, row_length(weight.shape))
            else:
                tensors[f"{node.name}.{'weight' if weight.levels == 'float' else 'codes'}"] = weight.data
            if weight.alpha is not None:
                entry["alphas"] = len(weight.alpha)
                vectors["alpha"].append(weight.alpha)
        if node.scale is not None and node.bias is not None:
            if weight is None:
                entry["channels"] = len(node.scale)
            vectors["scale"].append(node.scale)
            vectors["bias"].append(node.bias)
        entries.append(entry)
    return entries, tensors | {name: np.concatenate(arrays) for name, arrays in vectors.items() if arrays}


def nodes_from_json(entries: Any, tensors: Tensors) -> tuple[Node, ...]:
    """The nodes of a JSON list, their tensors taken out of `tensors`; ValueError (a FormatError or one of the parts')
    for what is wrong in a node. How nodes fit each other is for `infer_shapes` to check."""
    return tuple(_node(entry, tensors) for entry in items("nodes", entries, MAX_NODES))


def _node(entry: Any, tensors: Tensors) -> Node:
    if not isinstance(entry, dict) or not isinstance(entry.get("op"), str) or entry["op"] not in OPS:
        raise FormatError(f"a node is {str(entry)[:80]}, wanted an object with a known op")
    op = OPS[entry["op"]]
    keys = ["op", "name", "inputs", *op.attributes]
    if op.weighted:
        keys += ["levels", "shape", *(["alphas"] if entry.get("levels") != "float" else [])]
    elif op.scaled:
        keys += ["channels"]
    members(f"node {str(entry.get('name'))[:80]!r}", entry, tuple(keys))
    name = entry["name"]
    check_name(name)
    weight = scale = bias = None
    if op.weighted:
        weight = _weight(entry, tensors)
    if op.scaled:
        channels = _count(name, entry["channels"]) if weight is None else weight.shape[0]
        scale, bias = (tensors.next(kind, np.float32, channels) for kind in ("scale", "bias"))
    attributes = {key: _attribute(f"{key} of {name!r}", entry[key]) for key in op.attributes}
    inputs = tuple(items(f"inputs of {name!r}", entry["inputs"], 2))
    if not all(isinstance(value, str) for value in inputs):
        raise FormatError(f"inputs of {name!r} are not names")
    return Node(entry["op"], name, inputs, attributes, weight, scale, bias)


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


def _attribute(what: str, value: Any) -> int | tuple[int, ...]:
    return value if type(value) is int else integers(what, value)
