"""The .elq file: a network as tensors and a JSON text, and back. docs/format.md describes every field.

The reader trusts nothing: everything is checked against what the graph implies before it is used.
graph.json has the nodes, format_int8 the int8 part, container what is around both.
"""

from __future__ import annotations

from ..errors import FormatError
from ..graph.json import nodes_from_json, nodes_to_json
from ..graph.nodes import Graph
from ..graph.reading import integers, items, members, number
from ..graph.shapes import infer_shapes
from ..preprocessing import Normalization
from .container import decode, encode
from .format_int8 import read_int8, write_int8
from .integer import IntegerNetwork
from .metadata import Metadata
from .versions import READ, versions

_TOP = ("format", "arithmetic", "library", "input", "classes", "method", "nodes", "output", "int8")
_INPUT = ("name", "shape", "mean", "std", "resize")


def to_bytes(graph: Graph, metadata: Metadata, int8: IntegerNetwork | None = None) -> bytes:
    """The content of the .elq file of a network; the same network gives the same bytes."""
    nodes, tensors = nodes_to_json(graph.nodes)
    version = versions(graph, infer_shapes(graph))
    text = {
        "format": version.format,
        "arithmetic": version.arithmetic,
        "library": metadata.library,
        "input": {
            "name": graph.input,
            "shape": list(graph.input_shape),
            "mean": list(map(float, metadata.normalization.mean)),
            "std": list(map(float, metadata.normalization.std)),
            "resize": metadata.resize,
        },
        "classes": list(metadata.classes),
        "method": metadata.method,
        "nodes": nodes,
        "output": graph.output,
        "int8": None if int8 is None else write_int8(int8, tensors),
    }
    return encode(tensors, text)


def from_bytes(content: bytes) -> tuple[Graph, Metadata, IntegerNetwork | None]:
    """What `to_bytes` was given; ValueError (FormatError or one of its parts') for anything wrong."""
    tensors, text = decode(content)
    if isinstance(text, dict) and not text.keys() & {"format", "nodes"}:
        raise FormatError("not an .elq file: a checkpoint, or something else without nodes")
    _check_version("format", text.get("format") if isinstance(text, dict) else None, [v.format for v in READ])
    top = members("the metadata", text, _TOP)
    source = members("input", top["input"], _INPUT)
    nodes = nodes_from_json(top["nodes"], tensors)
    shape = integers("input shape", source["shape"])
    if len(shape) != 3:
        raise FormatError(f"input shape is {shape}, wanted (C, H, W)")
    graph = Graph(source["name"], shape, nodes, top["output"])
    shapes = infer_shapes(graph)
    wanted = versions(graph, shapes)
    _check_version("format", top["format"], [wanted.format], " for these nodes")
    _check_version("arithmetic", top["arithmetic"], [wanted.arithmetic], " for these nodes")
    mean, std = (tuple(map(number, items(key, source[key]))) for key in ("mean", "std"))
    metadata = Metadata(
        classes=tuple(items("classes", top["classes"])),
        normalization=Normalization(mean, std),
        resize=source["resize"],
        method=top["method"],
        library=top["library"],
    )
    int8 = None if top["int8"] is None else read_int8(top["int8"], graph, shapes, tensors)
    tensors.finish()
    return graph, metadata, int8


def _check_version(key: str, given: object, wanted: list[int], where: str = "") -> None:
    if type(given) is not int or given not in wanted:
        raise FormatError(f"{key} is {str(given)[:40]!r}, wanted {' or '.join(map(str, wanted))}{where}")
