"""Chapter "integers": tables of functions, ends of clamps and products on int8, against exact arithmetic."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from ..deploy.derive import derive
from ..graph.nodes import Node
from ..preprocessing import Normalization
from ..runtime.format import to_bytes
from ..runtime.integer_interpreter import accumulate, requantize
from ..runtime.packed import PackedNetwork
from . import functions, loops
from .deriving import nearest, worths
from .elq_file import ElqFile, Layer, read
from .line import Compared, Counted, Line
from .networks import cases, network

HALF = Fraction(1, 2)
NEAR = Fraction(1, 2**40)  # of a tie: what float64 may decide
NUMBERS = {
    "clip": {"low": -1.3, "high": 2.6},
    "leaky_relu": {"slope": 0.1},
    "hard_sigmoid": {"alpha": 1 / 6, "beta": 0.5},
    "elu": {"alpha": 0.8},
}
SCALES = ((0.0371, 0.0123), (0.11, 0.0079), (0.4, 0.5))


def lines() -> Iterator[Line]:
    """Tables, clamps, products."""
    tables, clamps = Counted(), Counted()
    for file in (*(case.file for case in cases()), *_edges()):
        for layer, name, ends, of in worths(file):
            if layer.op in loops.TABLED:
                _table(tables, layer, file.constants[name]["tables"], of[name], [of[i] for i in layer.inputs])
            if "clamp" in file.constants.get(name, {}):
                clip = next(other for other in file.layers if other.name == name)
                wanted = [nearest(Fraction(clip.attributes[end]) / of[name]) for end in ("low", "high")]
                clamps.see(list(ends), wanted)
    yield tables.line(
        "integers tables",
        "t(x) = clamp(floor(f(s_in x) / s_out + 1/2), -128, 127)",
        f"{{count}} entries of {', '.join(functions.NAMES)} and concat against fractions and decimals of 60 digits",
    )
    yield clamps.line(
        "integers ends of a clamp",
        "lo = clamp(floor(low / s + 1/2), -128, 127), hi = clamp(floor(high / s + 1/2), -128, 127)",
        "{count} ends of clips that went into sums, products and additions, both signs, ties and beyond int8",
    )
    yield _products()


def _table(seen: Counted, layer: Layer, tables: list[list[int]], s_out: Fraction, inputs: list[Fraction]) -> None:
    """Every entry is the nearest integer, half up; of a real number that is a tie but for 2^-40, either."""
    for k, table in enumerate(tables):
        s_in = inputs[k] if layer.op == "concat" else inputs[0]
        for x, got in enumerate(table, -128):
            real = s_in * x
            if layer.op != "concat":
                real = functions.value(layer.op, loops.numbers(layer, k), real)
            steps = real / s_out
            tie = abs(steps - math.floor(steps) - HALF) < NEAR
            if tie and got == loops.clamp(math.floor(steps)):
                continue
            seen.see(got, nearest(steps + NEAR if tie else steps))


def _edges() -> Iterator[ElqFile]:
    """Every function at scales that use its whole range, that saturate, and coarse ones; prelu with slopes of both
    signs; clips whose ends are ties, beyond int8, and of one number."""
    rule = Normalization((0.0,) * 3, (1.0,) * 3)
    slope = np.array([0.25, -0.7, 0.0], np.float32)
    for op in functions.NAMES:
        for s_in, s_out in SCALES:
            of_prelu = slope if op == "prelu" else None
            nodes = [Node(op, "f", ("input",), NUMBERS.get(op, {}), slope=of_prelu)]
            nodes.append(Node("global_avg_pool", "out", ("f",)))
            packed = network(nodes, (3, 1, 1), rule)
            yield _as_file(packed, {"input": s_in, "f": s_out, "out": 1.0})
    for low, high in ((0.0, 6.0), (-0.625, 0.375), (-100.0, 100.0), (0.5, 0.5), (40.0, 41.0), (-0.0625, 0.0625)):
        for op in ("add", "mul", "global_avg_pool"):
            inputs = ("input",) if op == "global_avg_pool" else ("input", "input")
            nodes = [Node(op, "y", inputs), Node("clip", "clip", ("y",), {"low": low, "high": high})]
            nodes.append(Node("scale_shift", "out", ("clip",), scale=slope, bias=slope))
            if op != "global_avg_pool":
                nodes.append(Node("global_avg_pool", "mean", ("out",)))
            scales = {"input": 0.25, "clip": 0.125, "out": 1.0, "mean": 1.0}
            packed = network(nodes, (3, 1, 1), rule)
            yield _as_file(packed, {n: s for n, s in scales.items() if n in ("input", *(node.name for node in nodes))})


def _as_file(packed: PackedNetwork, scales: dict[str, float]) -> ElqFile:
    """The network with these scales, through its file."""
    return read(to_bytes(packed.graph, packed.metadata, derive(packed, scales)))


def _products() -> Line:
    """Pairs that cover int8, at scales from saturating to all in one step."""
    seen = Compared()
    ends = np.concatenate([np.arange(-128, 128, 5), [-1, 0, 1, 127]]).astype(np.int8)
    a, b = (v[None, None] for v in np.meshgrid(ends, ends))
    nodes = [Node("mul", "y", ("input", "input")), Node("global_avg_pool", "out", ("y",))]
    for s_in, s_out in ((0.05, 0.0213), (1.0, 127.5), (0.9, 3000.0), (20.0, 0.1)):
        packed = network(nodes, (1, 1, 1), Normalization((0.0,), (1.0,)))
        made = derive(packed, {"input": s_in, "y": s_out, "out": 1.0}).nodes[0]
        got = requantize(made, accumulate(made, a, b))
        m = Fraction(s_in) ** 2 / Fraction(s_out)
        for y, u, v in zip(got.ravel().tolist(), a.ravel().tolist(), b.ravel().tolist(), strict=True):
            real = min(max(m * u * v, Fraction(-128)), Fraction(127))
            seen.see(float(y), float(real), float(HALF + Fraction(1, 2**23)))
    return seen.line(
        "integers how near a product is",
        "|y - m x_1 x_2| <= 1/2 + 2^-23 inside the clamp, m = s_1 s_2 / s_out",
        f"{seen.count:,} products of pairs that cover int8, at four scales, against fractions",
        1.0,
        "1/2: its rounding; 2^-23: that of q; in units of both",
    )
