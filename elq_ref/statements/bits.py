"""Chapter "packed": the bits of codes and of files, against a separate reader of what docs/format.md says."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from ..graph.codes import flip_rows, nonzeros, pack_codes, pack_trits, to_rows, trit_bytes, unpack_rows, unpack_trits
from ..graph.nodes import DEFAULTS, Weight, required
from ..runtime.format import from_bytes
from ..runtime.packed import PackedNetwork
from . import loops
from .elq_file import ElqFile, Layer, fields, in_shape
from .line import Counted, Line
from .networks import Case, cases

PATTERNS = {"ternary": {0: 0b00, 1: 0b01, -1: 0b11}, "binary": {1: 0, -1: 1}}
BITS = {"ternary": 2, "binary": 1}


def lines() -> Iterator[Line]:
    """Rows in memory, trits, the whole file, what is read back, what is refused."""
    yield _rows()
    yield _trits()
    seen, back, refused = Counted(), Counted(), Counted()
    for case in cases():
        _same(seen, case.made, case.file)
        _same(back, case.network, case.file)
    yield seen.line(
        "packed the bytes of a file",
        "the bytes say the network, number for number",
        "{count} codes, scales, attributes and integers of a network against a separate reader of the file's bytes",
    )
    yield back.line(
        "packed what is read is what was written",
        "read(write(network)) = network",
        "{count} codes, scales, attributes and integers that the package reads against a separate reader",
    )
    for case in cases()[2:4]:
        for content in _broken(case):
            refused.see(_is_refused(partial(_read, content)), True)
    for byte in (0b10, 0b1000, 0b100000, 0b10000000):
        wrong = np.array([[byte]], np.uint8)
        refused.see(_is_refused(partial(Weight, "ternary", (1, 4), wrong, np.ones(1, np.float32))), True)
    yield refused.line(
        "packed what the page forbids is refused",
        "a byte of trits > 242, bits behind the last code, 10, other versions, integers without headroom",
        "{count} files and rows with one mistake each",
    )


def _rows() -> Line:
    """Every length of a row from 1 to 17, and kernels, where k = (i KW + j) I + c."""
    seen, rng = Counted(), np.random.default_rng(0)
    shapes = [(3, n) for n in range(1, 18)] + [(2, 3, 2, 2), (3, 2, 3, 1), (1, 5, 1, 3)]
    for levels, patterns in PATTERNS.items():
        bits = BITS[levels]
        for shape in shapes:
            codes = rng.choice(list(patterns), shape).astype(np.int8)
            length = codes[0].size
            packed = pack_codes(codes, levels)
            seen.see(in_shape(fields(packed.ravel().tolist(), shape[0], length, bits), shape), codes)
            rows = [[row] if len(shape) == 2 else row for row in codes.tolist()]
            order = [_in_order(row) if len(shape) == 4 else row[0] for row in rows]
            seen.see(to_rows(codes), order)
            whole = [sum(patterns[code] << bits * k for k, code in enumerate(row)) for row in order]
            size = -(-length * bits // 8)
            data = np.array([list(n.to_bytes(size, "little")) for n in whole], np.uint8)
            seen.see(packed, data)
            seen.see(unpack_rows(data, levels, length), order)
            seen.see(Weight(levels, shape, data, np.ones(1, np.float32)).codes(), codes)
            chosen = rng.random(shape[0]) < 0.5
            sign = np.where(chosen, -1, 1)[:, None]
            seen.see(unpack_rows(flip_rows(data, levels, length, chosen), levels, length), sign * np.array(order))
            seen.see(flip_rows(data, levels, length, chosen), pack_codes((sign * order).astype(np.int8), levels))
            seen.see(nonzeros(data, levels, length), [sum(code != 0 for code in row) for row in order])
    return seen.line(
        "packed codes in bits",
        "code k of a row at its bits k b .. k b + b - 1: 01, 00, 11 (b = 2), 0, 1 (b = 1)",
        "{count} codes and bytes of rows of 1 to 17 codes and of kernels, there and back, against shifted integers",
    )


def _in_order(kernel: list[Any]) -> list[int]:
    """w[c][i][j] in the order KH KW I."""
    inputs, height, width = len(kernel), len(kernel[0]), len(kernel[0][0])
    return [kernel[c][i][j] for i in range(height) for j in range(width) for c in range(inputs)]


def _trits() -> Line:
    """All bytes of five codes, and rows of every length."""
    seen = Counted()
    for byte in range(243):
        codes = [[(0, 1, -1)[byte // 3**k % 3] for k in range(5)]]
        row = pack_codes(np.array(codes, np.int8), "ternary")
        seen.see(pack_trits(row, 5), [byte])
        seen.see(unpack_rows(unpack_trits(np.array([byte], np.uint8), 1, 5), "ternary", 5), codes)
    rng = np.random.default_rng(1)
    for outputs, length in ((1, 1), (2, 3), (3, 7), (7, 4), (2, 40), (6, 11)):
        rows = rng.integers(-1, 2, (outputs, length)).astype(np.int8)
        digits = [code % 3 for code in rows.ravel().tolist()]
        wanted = [sum(d * 3**k for k, d in enumerate(digits[n : n + 5])) for n in range(0, len(digits), 5)]
        packed = pack_codes(rows, "ternary")
        seen.see(pack_trits(packed, length), wanted)
        seen.see(unpack_trits(np.array(wanted, np.uint8), outputs, length), packed)
        seen.see(trit_bytes(rows.size), len(wanted))
    return seen.line(
        "packed trits",
        "byte = t_0 + 3 t_1 + 9 t_2 + 27 t_3 + 81 t_4, t = 0, 1, 2 for 0, +1, -1",
        "{count} codes and bytes, all 243 bytes, rows without gaps, there and back, against digits of base 3",
    )


def _same(seen: Counted, network: PackedNetwork, file: ElqFile) -> None:
    """Everything that a network holds and what the separate reader found in its file."""
    graph, text = network.graph, file.text
    said = network.metadata
    seen.see([graph.input, graph.output, *said.classes], [file.input, text["output"], *text["classes"]])
    seen.see(list(graph.input_shape), text["input"]["shape"])
    seen.see([*said.normalization.mean, *said.normalization.std], text["input"]["mean"] + text["input"]["std"])
    seen.see(said.resize, text["input"]["resize"])
    seen.see(json.dumps(dict(said.method), sort_keys=True), json.dumps(text["method"], sort_keys=True))
    seen.see([n.name for n in graph.nodes], [layer.name for layer in file.layers])
    for node, layer in zip(graph.nodes, file.layers, strict=True):
        seen.see([node.op, *node.inputs], [layer.op, *layer.inputs])
        usual = DEFAULTS.get(node.op, {})
        plain = {key: list(v) if isinstance(v, tuple) else v for key, v in node.attributes.items()}
        unusual = {key: v for key, v in plain.items() if key not in usual or tuple(v) != usual[key]}
        seen.see(unusual == layer.attributes, True)
        if node.weight is not None:
            weight = required(node.weight)
            seen.see(weight.levels, layer.levels)
            w = weight.data if weight.alpha is None else weight.codes()
            seen.see(w, numbers(layer.w))
            if weight.alpha is not None:
                seen.see(np.broadcast_to(weight.alpha, layer.shape[:1]), numbers(layer.alpha))
        if node.scale is not None and node.bias is not None:
            seen.see(node.scale, numbers(layer.scale))
            seen.see(node.bias, numbers(layer.bias))
        if node.slope is not None:
            seen.see(node.slope, numbers(layer.slope))
    _same_integers(seen, network, file)


def _same_integers(seen: Counted, network: PackedNetwork, file: ElqFile) -> None:
    int8 = network.int8
    assert int8 is not None
    seen.see(int8.table, file.table)
    seen.see(int8.factor, numbers(file.factor))
    seen.see(int8.scales[file.input], file.text["int8"]["scale"])
    by_name: dict[str, Layer] = {layer.name: layer for layer in file.layers}
    for node in int8.nodes:
        constants = file.constants.get(node.name, {})
        if constants:
            seen.see(int8.scales[node.name], constants["scale"])
        if node.requantize is not None:
            r = node.requantize
            for key, value in (("l", r.l), ("b", r.b), ("q", r.q), ("s", r.s)):
                seen.see(value, constants[key])
        if node.add is not None:
            seen.see([node.add.q1, node.add.q2, node.add.s], [*constants["q"], constants["s"]])
        if node.tables is not None:
            seen.see(node.tables, constants["tables"])
        if "clamp" in constants:
            seen.see([node.lo, node.hi], constants["clamp"])
        if node.source in int8.weights:
            seen.see(int8.weights[node.source], by_name[node.source].int8)


def numbers(nested: Any) -> Any:
    """Nested lists with Fractions as floats, exactly, for they were float32."""
    return [numbers(inside) for inside in nested] if isinstance(nested, list) else float(nested)


def _read(content: bytes) -> PackedNetwork:
    return PackedNetwork(*from_bytes(content))


def _is_refused(read: Callable[[], object]) -> bool:
    try:
        read()
    except ValueError:
        return True
    return False


def _broken(case: Case) -> Iterator[bytes]:
    """The bytes of a file with one mistake each."""
    (length,) = struct.unpack("<Q", case.content[:8])
    header, data = json.loads(case.content[8 : 8 + length]), case.content[8 + length :]

    def changed(name: str, index: int, raw: bytes) -> bytes:
        begin = header[name]["data_offsets"][0] + index * len(raw)
        return case.content[: 8 + length] + data[:begin] + raw + data[begin + len(raw) :]

    for layer in case.file.layers:
        if layer.levels == "ternary":
            name = f"{layer.name}.trits"
            begin, end = header[name]["data_offsets"]
            yield changed(name, 0, bytes([243]))
            spare = -(layer.shape[0] * len(list(loops.flat(layer.w[0])))) % 5
            if spare:
                yield changed(name, end - begin - 1, bytes([data[end - 1] + 3**4]))
        if layer.levels == "binary" and len(list(loops.flat(layer.w[0]))) % 8:
            end = header[f"{layer.name}.codes"]["data_offsets"][1]
            yield changed(f"{layer.name}.codes", end - header[f"{layer.name}.codes"]["data_offsets"][0] - 1,
                          bytes([data[end - 1] | 0x80]))  # fmt: skip
    yield changed("alpha", 0, struct.pack("<f", -1.0))
    yield changed("q", 0, struct.pack("<i", 2**30 - 1))
    yield changed("s", 0, bytes([32]))
    yield changed("s", 0, bytes([63]))
    yield changed("b", 0, struct.pack("<i", 2**31 - 1))
    yield changed("factor", 0, struct.pack("<f", -1.0))
    for key in ("format", "arithmetic"):
        wrong = json.dumps(case.file.text | {key: 3})
        text = json.dumps(header | {"__metadata__": {"elq": wrong}}).encode()
        yield struct.pack("<Q", len(text)) + text + data
