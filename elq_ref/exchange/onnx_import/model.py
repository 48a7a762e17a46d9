"""An ONNX file as plain values: nodes, arrays not yet decoded, what goes in and out. Nothing is computed here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ...errors import FormatError
from . import wire
from .arrays import Arrays, text

OLDEST = 9  # opset
MAX_NODES = 1 << 16  # of a file; a graph has at most 4,096, the others are arithmetic of shapes
_DOMAINS = ("", "ai.onnx")
_SHOWN = 60  # characters of a name in a message
_FLOATS = {1: "float", 10: "float16", 11: "double", 16: "bfloat16"}


@dataclass(frozen=True, eq=False)
class OnnxNode:
    """One node: op, where its values come from ("" for what is left out) and go to, attributes as Python values.

    An attribute that is a tensor is an array; one that is a graph (If, Loop) is None.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def input(self, position: int) -> str:
        """The name of an input, "" where it is left out."""
        return self.inputs[position] if position < len(self.inputs) else ""

    def __str__(self) -> str:
        return f"node {short(self.name or ''.join(self.outputs[:1]))} ({self.op})"


@dataclass(frozen=True, eq=False)
class OnnxModel:
    """What a file says. input: (name, axes), an axis None where it is symbolic; about: the object under "elq"."""

    opset: int
    nodes: tuple[OnnxNode, ...]
    input: tuple[str, tuple[int | None, ...]]
    output: str
    arrays: Arrays
    about: dict[str, Any]


def short(name: str) -> str:
    """A name from a file as a part of a message."""
    return ascii(name[:_SHOWN] + ("..." if len(name) > _SHOWN else ""))


def parse(content: bytes, folder: Path) -> OnnxModel:
    """The model in the bytes of a file; folder: where its external data lie.

    Raises ImportError where the package onnx is missing, FormatError for what is damaged or no model of one picture in,
    one value out.
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        raise ImportError("ONNX files need the package onnx: pip install 'elq_ref[onnx]'") from None
    if wire.nodes(content, MAX_NODES) > MAX_NODES:
        raise FormatError(f"it has more than {MAX_NODES:,} nodes")
    try:
        proto = onnx.ModelProto.FromString(content)
    except DecodeError:
        raise FormatError("it is damaged, cut off or no ONNX file") from None
    graph = proto.graph
    if not graph.node:
        raise FormatError("it is no ONNX file, or one without nodes")
    opset = _opset(proto, onnx.defs.onnx_opset_version())
    arrays = Arrays({text(t.name): t for t in graph.initializer}, folder)
    sparse = {text(t.values.name) for t in graph.sparse_initializer}
    inputs = [
        value for value in graph.input if text(value.name) not in arrays.protos
    ]  # older files list their arrays too
    if len(inputs) != 1:
        raise FormatError(f"it has {len(inputs)} inputs{_names(inputs)}, wanted one: pictures")
    if len(graph.output) != 1:
        raise FormatError(f"it has {len(graph.output)} outputs{_names(graph.output)}, wanted one: (N, classes)")
    nodes = tuple(_node(node, arrays, opset) for node in graph.node)
    if sparse & {name for node in nodes for name in node.inputs}:
        raise FormatError(f"the array {short(min(sparse))} is sparse, wanted dense arrays")
    output = text(graph.output[0].name)
    return OnnxModel(opset, _live(nodes, output), _input(inputs[0]), output, arrays, _about(proto))


def _names(values: Any) -> str:
    listed = ", ".join(short(text(value.name)) for value in values[:3])
    return f" ({listed}{', ...' if len(values) > 3 else ''})" if len(values) else ""


def _opset(proto: Any, newest: int) -> int:
    found = [entry.version for entry in proto.opset_import if entry.domain in _DOMAINS]
    if not found:
        raise FormatError("it names no opset of ONNX")
    opset = int(max(found))
    if not OLDEST <= opset <= newest:
        advice = "onnx.version_converter makes a newer one" if opset < OLDEST else "a newer package onnx may read it"
        raise FormatError(f"it is of opset {opset}, wanted {OLDEST} to {newest}: {advice}")
    return opset


def _node(proto: Any, arrays: Arrays, opset: int) -> OnnxNode:
    domain = "" if proto.domain in _DOMAINS else f"{text(proto.domain)}."
    inputs, outputs = tuple(map(text, proto.input)), tuple(map(text, proto.output))
    op = f"{domain}{text(proto.op_type)}"
    node = OnnxNode(op if op.isprintable() and len(op) <= _SHOWN else short(op), text(proto.name), inputs, outputs)
    try:
        attributes = {name: _attribute(a, arrays) for name, a in _known(node.op, proto, opset)}
    except ValueError as error:
        raise FormatError(f"{node}: {error}") from None
    return OnnxNode(node.op, node.name, inputs, outputs, attributes)


def _known(op: str, proto: Any, opset: int) -> Iterator[tuple[str, Any]]:
    """The attributes of a node by name; ValueError where one is not of the kind that the opset wants, or not of it."""
    kinds = _kinds(op, opset)
    for attribute in proto.attribute:
        name, kind = text(attribute.name), _kind(attribute)
        if kinds is None or kinds.get(name) == kind:
            yield name, attribute
        elif name in kinds:
            raise ValueError(f"its {name} is of the kind {kind or 'UNDEFINED'}, wanted {kinds[name]}")
        else:
            raise ValueError(f"it has the attribute {short(name)}, which is not in opset {opset}")


@lru_cache(512)
def _kinds(op: str, opset: int) -> dict[str, str] | None:
    """The kind of every attribute of an op, None for an op that ONNX does not have."""
    from onnx import defs

    try:
        schema = defs.get_schema(op, opset)
    except defs.SchemaError:
        return None
    return {name: str(attribute.type).rpartition(".")[2] for name, attribute in schema.attributes.items()}


def _kind(proto: Any) -> str:
    kinds = proto.AttributeType
    return str(kinds.Name(proto.type)) if proto.type in kinds.values() else ""


def _attribute(proto: Any, arrays: Arrays) -> Any:
    kind = _kind(proto)
    if kind in ("INT", "FLOAT"):
        return proto.i if kind == "INT" else proto.f
    if kind in ("INTS", "FLOATS"):
        return tuple(proto.ints if kind == "INTS" else proto.floats)
    if kind == "STRING":
        return proto.s.decode("utf-8", "replace")
    return arrays.decode(proto.t) if kind == "TENSOR" else None


def _input(value: Any) -> tuple[str, tuple[int | None, ...]]:
    kind = value.type.tensor_type
    name = text(value.name)
    if kind.elem_type not in _FLOATS:
        raise FormatError(f"its input {short(name)} holds no floats, wanted pictures as floats")
    axes = tuple(d.dim_value if d.WhichOneof("value") == "dim_value" and d.dim_value > 0 else None
                 for d in kind.shape.dim)  # fmt: skip
    if len(axes) != 4:
        raise FormatError(f"its input {short(name)} has {len(axes)} axes, wanted pictures: (N, C, H, W)")
    return name, axes


def _live(nodes: tuple[OnnxNode, ...], output: str) -> tuple[OnnxNode, ...]:
    """The nodes that the output depends on, in the order of the file."""
    wanted, kept = {output}, []
    for node in reversed(nodes):
        if not wanted.isdisjoint(filter(None, node.outputs)):
            wanted.update(node.inputs)
            kept.append(node)
    return tuple(reversed(kept))


def _about(proto: Any) -> dict[str, Any]:
    """What export_onnx writes beside a network; {} where something else stands there."""
    texts = [text(entry.value) for entry in proto.metadata_props if entry.key == "elq"]
    try:
        found = json.loads(texts[0]) if texts else {}
    except (ValueError, RecursionError) as error:
        raise FormatError(f"its metadata is damaged: {str(error)[:80]}") from None
    return found if isinstance(found, dict) else {}
