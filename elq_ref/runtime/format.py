"""The .elq file: safetensors with one JSON text under the key "elq". docs/format.md describes every field.

The reader trusts nothing: everything is checked against what the graph implies before it is used, and
whatever is wrong becomes one FormatError of one line.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from ..errors import FormatError
from ..files import atomic_write
from .codes import row_bytes, rows
from .graph_types import LEVELS, Graph, Node, Weight
from .packed import Metadata, PackedNetwork
from .shapes import MAX_NODES, OPS, check_name, check_weight_shape

FORMAT_VERSION = 1
ARITHMETIC_VERSION = 1
ACTIVATIONS = "float32"
MAX_FILE = 1 << 31
MAX_HEADER = 1 << 24

_DTYPES = {np.dtype(np.uint8): "U8", np.dtype(np.float32): "F32"}
_TOP = ("format", "arithmetic", "activations", "library", "input", "classes", "method", "nodes", "output")
_INPUT = ("name", "shape", "mean", "std", "resize")


def to_bytes(network: PackedNetwork) -> bytes:
    """The content of the .elq file of `network`; the same network gives the same bytes."""
    tensors: dict[str, np.ndarray] = {}
    nodes = []
    for node in network.graph.nodes:
        entry: dict[str, Any] = {"op": node.op, "name": node.name, "inputs": list(node.inputs)}
        entry |= {key: list(v) if isinstance(v, tuple) else v for key, v in sorted(node.attributes.items())}
        if node.weight is not None:
            entry |= {"levels": node.weight.levels, "shape": list(node.weight.shape)}
            tensors[f"{node.name}.{_data_name(node.weight.levels)}"] = node.weight.data
            if node.weight.alpha is not None:
                tensors[f"{node.name}.alpha"] = node.weight.alpha
        if node.scale is not None:
            tensors |= {f"{node.name}.scale": node.scale, f"{node.name}.bias": node.bias}
        nodes.append(entry)
    meta, graph = network.metadata, network.graph
    text = {
        "format": FORMAT_VERSION,
        "arithmetic": ARITHMETIC_VERSION,
        "activations": ACTIVATIONS,
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
    }
    return safetensors.numpy.save(tensors, {"elq": json.dumps(text, allow_nan=False)})


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
    tensors, text = _open(content)
    top = _members("the metadata", _json(text, "the metadata"), _TOP)
    for key, wanted in (
        ("format", FORMAT_VERSION),
        ("arithmetic", ARITHMETIC_VERSION),
        ("activations", ACTIVATIONS),
    ):
        if type(top[key]) is not type(wanted) or top[key] != wanted:
            raise FormatError(f"{key} is {str(top[key])[:40]!r}, this version reads {wanted!r}")
    source = _members("input", top["input"], _INPUT)
    nodes = [_node(entry, tensors) for entry in _list("nodes", top["nodes"], MAX_NODES)]
    if tensors:
        raise FormatError(f"{len(tensors)} tensor(s) belong to no node, first {min(tensors)[:80]!r}")
    graph = Graph(source["name"], _integers("input shape", source["shape"]), tuple(nodes), top["output"])
    metadata = Metadata(
        classes=tuple(_list("classes", top["classes"])),
        mean=tuple(map(_number, _list("mean", source["mean"]))),
        std=tuple(map(_number, _list("std", source["std"]))),
        resize=source["resize"],
        method=top["method"],
        library=top["library"],
    )
    return PackedNetwork(graph, metadata)


def _open(content: bytes) -> tuple[dict[str, np.ndarray], str]:
    """The tensors by name and the JSON text under "elq" of a safetensors file."""
    if not content:
        raise FormatError("the file is empty")
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or not 2 <= length <= min(MAX_HEADER, len(content) - 8):
        raise FormatError(f"not an .elq file, or cut off: {len(content):,} bytes with a header of {length:,}")
    header = _json(content[8 : 8 + length], "the header")
    meta = header.get("__metadata__") if isinstance(header, dict) else None
    if not isinstance(meta, dict) or list(meta) != ["elq"] or not isinstance(meta["elq"], str):
        raise FormatError('not an .elq file: its header has no metadata "elq"')
    try:
        entries = safetensors.deserialize(content)
    except safetensors.SafetensorError as error:
        raise FormatError(f"damaged or cut off: {error}") from None
    tensors = {}
    for name, entry in entries:
        dtype = {v: k for k, v in _DTYPES.items()}.get(entry["dtype"])
        if dtype is None:
            raise FormatError(f"tensor {name[:80]!r} is {entry['dtype']}, wanted U8 or F32")
        tensors[name] = (
            np.frombuffer(entry["data"], dtype.newbyteorder("<"))
            .reshape(entry["shape"])
            .astype(dtype, copy=False)
        )
    return tensors, meta["elq"]


def _node(entry: Any, tensors: dict[str, np.ndarray]) -> Node:
    """One node from its JSON object; its tensors are taken out of `tensors`."""
    if not isinstance(entry, dict) or not isinstance(entry.get("op"), str) or entry["op"] not in OPS:
        raise FormatError(f"a node is {str(entry)[:80]}, wanted an object with a known op")
    op = OPS[entry["op"]]
    keys = ("op", "name", "inputs", *op.attributes, *(("levels", "shape") if op.weighted else ()))
    _members(f"node {str(entry.get('name'))[:80]!r}", entry, keys)
    name = entry["name"]
    check_name(name)

    def take(kind: str, dtype: type, *shapes: tuple[int, ...]) -> np.ndarray:
        array = tensors.pop(f"{name}.{kind}", None)
        if array is None:
            raise FormatError(f"tensor '{name}.{kind}' is missing")
        if array.dtype != dtype or array.shape not in shapes:
            raise FormatError(
                f"tensor '{name}.{kind}' is {_DTYPES[array.dtype]} {array.shape}, "
                f"wanted {_DTYPES[np.dtype(dtype)]} {' or '.join(map(str, shapes))}"
            )
        return array

    weight = None
    if op.weighted:
        levels, shape = entry["levels"], _integers(f"shape of {name!r}", entry["shape"])
        if levels not in LEVELS:
            raise FormatError(
                f"node {name!r} has levels {str(levels)[:40]!r}, wanted one of {', '.join(LEVELS)}"
            )
        check_weight_shape(entry["op"], shape)
        outputs = shape[:1]
        if levels == "float":
            weight = Weight(levels, shape, take("weight", np.float32, shape))
        else:
            data = take("codes", np.uint8, (shape[0], row_bytes(levels, rows(shape))))
            weight = Weight(levels, shape, data, take("alpha", np.float32, (1,), outputs))
    elif op.scaled:
        outputs = tensors[f"{name}.scale"].shape[:1] if f"{name}.scale" in tensors else (0,)
    scale, bias = (
        (take(kind, np.float32, outputs) for kind in ("scale", "bias")) if op.scaled else (None, None)
    )
    attributes = {key: _attribute(f"{key} of {name!r}", entry[key]) for key in op.attributes}
    inputs = tuple(_list(f"inputs of {name!r}", entry["inputs"], 2))
    if not all(isinstance(value, str) for value in inputs):
        raise FormatError(f"inputs of {name!r} are not names")
    return Node(entry["op"], name, inputs, attributes, weight, scale, bias)


def _data_name(levels: str) -> str:
    return "weight" if levels == "float" else "codes"


def _json(text: str | bytes, what: str) -> Any:
    """JSON read strictly: no key twice, no NaN or Infinity, no endless nesting."""

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) != len(pairs):
            raise ValueError("a key appears twice")
        return dict(pairs)

    def constant(name: str) -> Any:
        raise ValueError(f"{name} is no number")

    try:
        return json.loads(text, object_pairs_hook=members, parse_constant=constant)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{what} is no valid JSON: {str(error)[:80]}") from None


def _members(what: str, value: Any, keys: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != set(keys):
        given = sorted(value) if isinstance(value, dict) else type(value).__name__
        raise FormatError(f"{what} has members {str(given)[:120]}, wanted {sorted(keys)}")
    return value


def _list(what: str, value: Any, most: int = 1 << 20) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise FormatError(f"{what} is {str(value)[:40]}, wanted a list of at most {most}")
    return value


def _integers(what: str, value: Any) -> tuple[int, ...]:
    values = _list(what, value, 4)
    if not values or not all(type(v) is int for v in values):
        raise FormatError(f"{what} is {str(value)[:40]}, wanted integers")
    return tuple(values)


def _attribute(what: str, value: Any) -> int | tuple[int, ...]:
    return value if type(value) is int else _integers(what, value)


def _number(value: Any) -> float:
    if type(value) not in (int, float) or abs(value) > 1e30:
        raise FormatError(f"{str(value)[:40]} is no number of this file")
    return float(value)
