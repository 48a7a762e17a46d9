"""A reader of .elq files written from docs/format.md alone: bytes to Python numbers, one after the other.

It shares nothing with the package's own reader, whose results are compared with its. It believes the file.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from . import functions, geometry

Value = list[Any]  # [c][row][column] or [c], of int or Fraction
KINDS = {"U8": ("B", 1), "I8": ("b", 1), "I32": ("i", 4), "F32": ("f", 4)}  # of struct, and bytes


@dataclass
class Layer:
    """A node as the page describes it. w[o][c][i][j] or [o][c]: codes, or the floats of a float layer as Fractions;
    alpha, scale, bias and slope: one Fraction an output channel; int8: the weights that a float layer has for int8."""

    op: str
    name: str
    inputs: list[str]
    attributes: dict[str, Any]
    levels: str = ""
    shape: tuple[int, ...] = ()
    w: Value = field(default_factory=list)
    alpha: list[Fraction] = field(default_factory=list)
    scale: list[Fraction] = field(default_factory=list)
    bias: list[Fraction] = field(default_factory=list)
    slope: list[Fraction] = field(default_factory=list)
    int8: Value = field(default_factory=list)


@dataclass
class ElqFile:
    """What a file says. constants: of int8 values by name: "scale" and "l", "b", "q", "s", or "q", "s", or "tables";
    and "clamp" of one that bears the name of a clip."""

    text: dict[str, Any]
    layers: list[Layer]
    constants: dict[str, dict[str, Any]]
    table: Value
    factor: list[Fraction]

    @property
    def input(self) -> str:
        name: str = self.text["input"]["name"]
        return name


class _Tensors:
    """The tensors of a safetensors file as lists of Python numbers; those that all nodes share are read in order."""

    def __init__(self, content: bytes) -> None:
        (length,) = struct.unpack("<Q", content[:8])
        self.header = json.loads(content[8 : 8 + length])
        self.data = content[8 + length :]
        self.read: dict[str, int] = {}

    def all(self, name: str) -> list[Any]:
        entry = self.header[name]
        kind, size = KINDS[entry["dtype"]]
        begin, end = entry["data_offsets"]
        numbers = struct.unpack(f"<{(end - begin) // size}{kind}", self.data[begin:end])
        return [Fraction(n) for n in numbers] if kind == "f" else list(numbers)

    def next(self, name: str, count: int) -> list[Any]:
        start = self.read.get(name, 0)
        self.read[name] = start + count
        return self.all(name)[start : start + count]


def read(content: bytes) -> ElqFile:
    """What the bytes of an .elq file say."""
    tensors = _Tensors(content)
    text = json.loads(tensors.header["__metadata__"]["elq"])
    layers = [_layer(node, tensors) for node in text["nodes"]]
    constants: dict[str, dict[str, Any]] = {}
    table, factor = [], []
    if text["int8"] is not None:
        by_name, lengths = {layer.name: layer for layer in layers}, shapes(text, layers)
        for entry in text["int8"]["values"]:
            layer = by_name[entry["name"]]
            if layer.op == "relu" or "clamp" in entry:
                layer = by_name[layer.inputs[0]]
            if "l" in entry:
                count = _channels(layer, lengths)
                entry = entry | {key: tensors.next(key, count) for key in ("b", "q", "s")}
            elif layer.op in (*functions.NAMES, "concat"):
                rows = len(layer.inputs) if layer.op == "concat" else len(layer.slope) or 1
                entry = entry | {"tables": [tensors.next("tables", 256) for _ in range(rows)]}
            constants[entry["name"]] = entry
        flat = tensors.all("table")
        table = [flat[first : first + 256] for first in range(0, len(flat), 256)]
        factor = tensors.all("factor")
        for layer in layers:
            if layer.levels == "float":
                layer.int8 = _shaped(tensors.all(f"{layer.name}.int8"), layer.shape)
    return ElqFile(text, layers, constants, table, factor)


def shapes(text: dict[str, Any], layers: list[Layer]) -> dict[str, tuple[int, ...]]:
    """The shape of every value by name."""
    known: dict[str, tuple[int, ...]] = {text["input"]["name"]: tuple(text["input"]["shape"])}
    for layer in layers:
        operands = [known[name] for name in layer.inputs]
        known[layer.name] = geometry.shape(layer.op, layer.attributes, layer.shape, operands)
    return known


def _channels(layer: Layer, lengths: dict[str, tuple[int, ...]]) -> int:
    """How many b, q and s a value has."""
    if layer.op in geometry.AVERAGES:
        return len(geometry.counts(layer.op, layer.attributes, lengths[layer.inputs[0]]))
    return len(layer.scale) or 1


def _layer(node: dict[str, Any], tensors: _Tensors) -> Layer:
    known = ("op", "name", "inputs", "levels", "shape", "alphas", "channels")
    attributes = {key: value for key, value in node.items() if key not in known}
    layer = Layer(node["op"], node["name"], node["inputs"], attributes)
    outputs = node.get("channels", 0)
    if "levels" in node:
        layer.levels, layer.shape = node["levels"], tuple(node["shape"])
        outputs = layer.shape[0]
        if layer.levels == "float":
            layer.w = _shaped(tensors.all(f"{layer.name}.weight"), layer.shape)
        else:
            layer.w = in_shape(_rows(layer, tensors), layer.shape)
            alpha = tensors.next("alpha", node["alphas"])
            layer.alpha = alpha * (outputs // len(alpha))
    if layer.op == "prelu":
        layer.slope = tensors.next("slope", outputs)
    elif outputs:
        layer.scale, layer.bias = tensors.next("scale", outputs), tensors.next("bias", outputs)
    return layer


def _rows(layer: Layer, tensors: _Tensors) -> list[list[int]]:
    """Codes [o][k] of a quantized layer."""
    outputs, length = layer.shape[0], count_of(layer.shape[1:])
    if layer.levels == "binary":
        return fields(tensors.all(f"{layer.name}.codes"), outputs, length, 1)
    codes = []
    for byte in tensors.all(f"{layer.name}.trits"):
        for place in range(5):
            codes.append((0, 1, -1)[byte // 3**place % 3])
    return [codes[o * length : (o + 1) * length] for o in range(outputs)]


def fields(row_bytes: list[int], outputs: int, length: int, bits: int) -> list[list[int]]:
    """Codes [o][k] of rows that start at a byte, `bits` a code from the lowest bit on; 2: a field 10."""
    per_row = -(-length * bits // 8)
    meaning = {(1, 0): 1, (1, 1): -1, (2, 0b01): 1, (2, 0b00): 0, (2, 0b11): -1}
    rows = []
    for o in range(outputs):
        whole = sum(byte << 8 * k for k, byte in enumerate(row_bytes[o * per_row : (o + 1) * per_row]))
        rows.append([meaning.get((bits, whole >> bits * k & (1 << bits) - 1), 2) for k in range(length)])
        if whole >> bits * length:
            raise ValueError("bits are set behind the last code of a row")
    return rows


def in_shape(rows: list[list[int]], shape: tuple[int, ...]) -> Value:
    """Rows [o][k], k = (i KW + j) I + c, as w[o][c][i][j]; [o][c] as they are."""
    if len(shape) == 2:
        return rows
    _, inputs, height, width = shape
    return [
        [[[row[(i * width + j) * inputs + c] for j in range(width)] for i in range(height)] for c in range(inputs)]
        for row in rows
    ]


def count_of(shape: tuple[int, ...]) -> int:
    """The product of the lengths."""
    count = 1
    for length in shape:
        count *= length
    return count


def _shaped(flat: list[Any], shape: tuple[int, ...]) -> Value:
    """A flat list in the order of the axes as nested lists."""
    for length in shape[:0:-1]:
        flat = [flat[first : first + length] for first in range(0, len(flat), length)]
    return flat
