"""The .elq file: a network as tensors and a JSON text, and back. docs/format.md describes every field.

The reader trusts nothing: everything is checked against what the graph implies before it is used, and
whatever is wrong becomes one FormatError of one line. Version 2 is written; version 1 is read too.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError
from ..files import atomic_write
from ..graph.codes import pack_trits, row_bytes, rows, trit_bytes, unpack_trits
from ..graph.nodes import LEVELS, Graph, Node, Weight
from ..graph.shapes import MAX_NODES, OPS, check_name, check_weight_shape
from .container import Tensors, closed, integers, items, members, number, opened
from .format_int8 import read_int8, write_int8
from .integer import ARITHMETIC_VERSION
from .packed import Metadata, PackedNetwork

FORMAT_VERSION = 2
MAX_FILE = 1 << 31
_INPUT = ("name", "shape", "mean", "std", "resize")
_TOP = ("format", "arithmetic", "library", "input", "classes", "method", "nodes", "output")
_VERSIONS = {1: (*_TOP, "activations"), 2: (*_TOP, "int8")}  # members of the JSON text


def to_bytes(network: PackedNetwork) -> bytes:
    """The content of the .elq file of `network`; the same network gives the same bytes."""
    tensors: dict[str, np.ndarray] = {}
    numbers: dict[str, list[np.ndarray]] = {"alpha": [], "scale": [], "bias": []}
    nodes = []
    for node in network.graph.nodes:
        entry: dict[str, Any] = {"op": node.op, "name": node.name, "inputs": list(node.inputs)}
        entry |= {key: list(v) if isinstance(v, tuple) else v for key, v in sorted(node.attributes.items())}
        weight = node.weight
        if weight is not None:
            entry |= {"levels": weight.levels, "shape": list(weight.shape)}
            if weight.levels == "ternary":
                tensors[f"{node.name}.trits"] = pack_trits(weight.data, rows(weight.shape))
            else:
                tensors[f"{node.name}.{_data_name(weight.levels)}"] = weight.data
            if weight.alpha is not None:
                entry["alphas"] = len(weight.alpha)
                numbers["alpha"].append(weight.alpha)
        if node.scale is not None:
            if weight is None:
                entry["channels"] = len(node.scale)
            numbers["scale"].append(node.scale)
            numbers["bias"].append(node.bias)
        nodes.append(entry)
    tensors |= {name: np.concatenate(arrays) for name, arrays in numbers.items() if arrays}
    meta, graph = network.metadata, network.graph
    text = {
        "format": FORMAT_VERSION,
        "arithmetic": ARITHMETIC_VERSION,
        "library": meta.library,
        "input": {
            "name": graph.input,
            "shape": list(graph.input_shape),
            "mean": list(meta.mean),
            "std": list(meta.std),
            "resize": meta.resize,
        },
        "classes": list(meta.classes),
        "method": meta.method,
        "nodes": nodes,
        "output": graph.output,
        "int8": None if network.int8 is None else write_int8(network.int8, tensors),
    }
    return closed(tensors, text)


def write(network: PackedNetwork, path: str | os.PathLike[str]) -> None:
    """Write `network` to `path`, atomically."""
    content = to_bytes(network)
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def read(path: str | os.PathLike[str]) -> PackedNetwork:
    """Read an .elq file. FileNotFoundError if there is none, FormatError for anything that is not as it
    should be.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise FormatError(f"{path}: not a regular file")
    size = path.stat().st_size
    if size > MAX_FILE:
        raise FormatError(f"{path}: {size:,} bytes, at most {MAX_FILE:,} are read")
    try:
        return from_bytes(path.read_bytes())
    except (ValueError, RecursionError) as error:
        line = " ".join(str(error).split())
        raise FormatError(f"{path}: {line[:300]}") from None


def from_bytes(content: bytes) -> PackedNetwork:
    """The network of an .elq file's content; ValueError (FormatError or one of its parts') for anything
    wrong.
    """
    tensors, text = opened(content)
    version = text.get("format") if isinstance(text, dict) else None
    if type(version) is not int or version not in _VERSIONS:
        raise FormatError(f"format is {str(version)[:40]!r}, this version reads {' and '.join(map(str, _VERSIONS))}")
    top = members("the metadata", text, _VERSIONS[version])
    for key, wanted in (("arithmetic", ARITHMETIC_VERSION), ("activations", "float32")):
        if key in top and (type(top[key]) is not type(wanted) or top[key] != wanted):
            raise FormatError(f"{key} is {str(top[key])[:40]!r}, this version reads {wanted!r}")
    source = members("input", top["input"], _INPUT)
    nodes = [_node(entry, tensors, version) for entry in items("nodes", top["nodes"], MAX_NODES)]
    graph = Graph(source["name"], integers("input shape", source["shape"]), tuple(nodes), top["output"])
    metadata = Metadata(
        classes=tuple(items("classes", top["classes"])),
        mean=tuple(map(number, items("mean", source["mean"]))),
        std=tuple(map(number, items("std", source["std"]))),
        resize=source["resize"],
        method=top["method"],
        library=top["library"],
    )
    network = PackedNetwork(graph, metadata)
    if top.get("int8") is not None:
        network = PackedNetwork(graph, metadata, read_int8(top["int8"], network, tensors))
    tensors.finish()
    return network


def _node(entry: Any, tensors: Tensors, version: int) -> Node:
    """One node from its JSON object; its tensors are taken out of `tensors`."""
    if not isinstance(entry, dict) or not isinstance(entry.get("op"), str) or entry["op"] not in OPS:
        raise FormatError(f"a node is {str(entry)[:80]}, wanted an object with a known op")
    op = OPS[entry["op"]]
    keys = ["op", "name", "inputs", *op.attributes, *(("levels", "shape") if op.weighted else ())]
    if version > 1:  # version 1 has the counts in the shapes of tensors
        keys += ["alphas"] if op.weighted and entry.get("levels") != "float" else []
        keys += ["channels"] if op.scaled and not op.weighted else []
    members(f"node {str(entry.get('name'))[:80]!r}", entry, tuple(keys))
    name = entry["name"]
    check_name(name)

    def take(kind: str, count: int) -> np.ndarray:
        """float32 (count)"""
        if version == 1:
            return tensors.whole(f"{name}.{kind}", np.float32, (count,))
        return tensors.next(kind, np.float32, count)

    weight = None
    if op.weighted:
        weight = _weight(entry, tensors, version)
        channels = weight.shape[0]
    elif op.scaled:
        channels = tensors.length(f"{name}.scale") if version == 1 else _count(name, entry["channels"])
    scale, bias = (take("scale", channels), take("bias", channels)) if op.scaled else (None, None)
    attributes = {key: _attribute(f"{key} of {name!r}", entry[key]) for key in op.attributes}
    inputs = tuple(items(f"inputs of {name!r}", entry["inputs"], 2))
    if not all(isinstance(value, str) for value in inputs):
        raise FormatError(f"inputs of {name!r} are not names")
    return Node(entry["op"], name, inputs, attributes, weight, scale, bias)


def _weight(entry: dict[str, Any], tensors: Tensors, version: int) -> Weight:
    """The weight of a conv or linear node from its JSON object and tensors."""
    name, levels, shape = entry["name"], entry["levels"], integers(f"shape of {entry['name']!r}", entry["shape"])
    if levels not in LEVELS:
        raise FormatError(f"node {name!r} has levels {str(levels)[:40]!r}, wanted one of {', '.join(LEVELS)}")
    check_weight_shape(entry["op"], shape)
    outputs, length = shape[0], rows(shape)
    if levels == "float":
        return Weight(levels, shape, tensors.whole(f"{name}.weight", np.float32, shape))
    if levels == "ternary" and version > 1:
        trits = tensors.whole(f"{name}.trits", np.uint8, (trit_bytes(outputs * length),))
        try:
            data = unpack_trits(trits, outputs, length)
        except ValueError as error:
            raise FormatError(f"tensor '{name}.trits': {error}") from None
    else:
        data = tensors.whole(f"{name}.codes", np.uint8, (outputs, row_bytes(levels, length)))
    if version == 1:
        return Weight(levels, shape, data, tensors.whole(f"{name}.alpha", np.float32, (1,), (outputs,)))
    alphas = entry["alphas"]
    if type(alphas) is not int or alphas not in (1, outputs):
        raise FormatError(f"alphas of {name!r} is {str(alphas)[:40]}, wanted 1 or {outputs}")
    return Weight(levels, shape, data, tensors.next("alpha", np.float32, alphas))


def _data_name(levels: str) -> str:
    return "weight" if levels == "float" else "codes"


def _count(name: str, value: Any) -> int:
    if type(value) is not int or value < 0:
        raise FormatError(f"channels of {name!r} is {str(value)[:40]}, wanted a count")
    return value


def _attribute(what: str, value: Any) -> int | tuple[int, ...]:
    return value if type(value) is int else integers(what, value)
