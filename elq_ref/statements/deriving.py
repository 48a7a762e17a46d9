"""Chapter "integers": the constants of int8 inference from their formulas in docs/arithmetic.md, in exact fractions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from ..deploy.derive import derive, input_table
from ..graph.codes import pack_codes
from ..graph.nodes import Node, Weight
from ..preprocessing import Normalization
from ..runtime.format import to_bytes
from ..runtime.integer_constants import Requantize, to_int8
from ..runtime.metadata import Metadata
from ..runtime.packed import PackedNetwork
from . import geometry, loops
from .elq_file import ElqFile, Layer, read, shapes
from .line import Counted, Line
from .networks import cases, network

HALF = Fraction(1, 2)


def lines() -> Iterator[Line]:
    """The table of the input, the constants of sums and additions, the weights of float layers, factors, headroom."""
    yield _inputs()
    constants, weights, additions, factors = Counted(), Counted(), Counted(), Counted()
    files = [case.file for case in cases()]
    for packed, scales in (*_edges(), *_edges_of_floats(), *_edges_of_additions()):
        files.append(_as_file(packed, scales))
    for file in files:
        _constants(constants, additions, file)
        _weights(weights, file)
        _factors(factors, file)
    yield constants.line(
        "integers constants of a requantization",
        "m = (s_in alpha |A|) / s_out = f 2^e, q = floor(f 2^31 + 1/2), s = 31 + l - e, b = floor(B / (s_out m) + 1/2)",
        "{count} numbers q, s, l, b of every op with sums or products, ties, constant channels, the last bias with "
        "room and an f that rounds to 1 among them, against fractions",
    )
    yield weights.line(
        "integers weights of float layers",
        "floor(w / t_o + 1/2), t_o = max|w_o| / 127, negated where A_o < 0",
        "{count} int8 weights, ties and channels of zeros among them, against fractions",
    )
    yield additions.line(
        "integers constants of an addition",
        "s = 22 - max(e_1, e_2), q_i = floor(m_i 2^s + 1/2), s one less if a q reaches 2^22",
        "{count} numbers q1, q2, s, ties and the q that reaches 2^22 among them, against fractions",
    )
    yield factors.line(
        "integers factor of a logit",
        "factor_o = s_in alpha_o |A_o|; s_out in a constant channel and where raw is int8",
        "{count} factors against fractions rounded to float32",
    )
    yield _headroom()


def _inputs() -> Line:
    """Tables of normalizations, and real numbers: ties, both ends, what is no number."""
    seen, plain = Counted(), cases()[0].made
    for mean, std, scale in ((0.45, 0.25, 0.017), (-0.5, 2.0, 0.001), (0.0, 1 / 255, 2.0), (1.0, 0.1, 0.31)):
        rule = Normalization((mean, 0.4), (std, 0.2))
        made = replace(plain, metadata=Metadata(plain.metadata.classes, rule), int8=None)
        for channel, row in enumerate(input_table(made, scale).tolist()):
            seen.see(row, [_of_pixel(v, rule.mean[channel], rule.std[channel], scale) for v in range(256)])
    ties = [0.0, -0.0, 1e-300, 0.5, -0.5, 1.5, -1.5, 2.5, 126.49, 126.5, 127.5, -127.5, -128.5, -129.0, 1e30, -1e30]
    for scale in (1.0, 0.25, 0.013):
        x = 200 * scale * np.random.default_rng(2).standard_normal(200)
        if scale != 0.013:  # of which a multiple is no exact tie
            x = np.concatenate([x, np.array(ties) * scale])
        seen.see(to_int8(x, scale), [nearest(Fraction(float(v)) / Fraction(scale)) for v in x])
    seen.see(to_int8(np.array([np.nan, np.inf, -np.inf]), 0.5), [0, 127, -128])
    return seen.line(
        "integers the input",
        "clamp(floor(((v / 255 - mean) / std) / s + 1/2), -128, 127)",
        "{count} entries of tables and real numbers with ties, both ends, NaN and infinities, against fractions",
    )


def _of_pixel(v: int, mean: float, std: float, scale: float) -> int:
    """The int8 of a uint8. A quotient that is a tie but for float64's rounding counts as float64 has it: the page
    computes the table in float64."""
    exact = (Fraction(v, 255) - Fraction(mean)) / Fraction(std) / Fraction(scale)
    if abs(exact - math.floor(exact) - HALF) < Fraction(1, 2**40):
        exact = Fraction((v / 255 - mean) / std / scale)
    return nearest(exact)


def nearest(x: Fraction) -> int:
    """clamp(floor(x + 1/2), -128, 127)."""
    return loops.clamp(math.floor(x + HALF))


def scaled_sums(layer: Layer, of: dict[str, Fraction], x: tuple[int, ...]) -> tuple[list[Fraction], ...]:
    """(what 1 of a sum is worth, bias, sum |w|) of every channel of a node that reads a value of shape x, or of every
    count of an average; of: the scale of every value."""
    s_in = of[layer.inputs[0]]
    if layer.op in geometry.AVERAGES:
        counts = geometry.counts(layer.op, layer.attributes, x)
        return [s_in / n for n in counts], [Fraction(0)] * len(counts), [Fraction(n) for n in counts]
    if layer.op == "mul":
        return [s_in * of[layer.inputs[1]]], [Fraction(0)], [Fraction(128)]
    sums = [Fraction(sum(abs(v) for v in loops.flat(row))) for row in loops.multiplied(layer)]
    if layer.op == "scale_shift":
        worth = [s_in * abs(a) / 64 for a in layer.scale]
    else:
        alpha = layer.alpha or [max(abs(v) for v in loops.flat(row)) / 127 for row in layer.w]
        worth = [s_in * a * abs(b) for a, b in zip(alpha, layer.scale, strict=True)]
    return worth, layer.bias, sums


def derived(
    worth: list[Fraction], bias: list[Fraction], sums: list[Fraction], s_out: Fraction, ends: loops.Clamp
) -> dict[str, Any]:
    """q, s, l and b of docs/arithmetic.md; ValueError where sums alone leave no headroom."""
    parts = [mantissa(w / s_out) if w else (0, 0) for w in worth]
    l = max([0] + [2 + e for q, e in parts if q])
    found: dict[str, Any] = {"l": l, "b": [], "q": [], "s": []}
    for (q, e), w, big, total in zip(parts, worth, bias, sums, strict=True):
        s = 31 + l - e
        b = math.floor(big / w + HALF) if q else 0
        if (128 * total) * 2**l >= 2**31:
            raise ValueError("no headroom")
        if not q or s > 62 or (128 * total + abs(b)) * 2**l >= 2**31:
            q, s, b = 0, 33, loops.clamp(math.floor(big / s_out + HALF), *ends)
        for key, value in (("b", b), ("q", q), ("s", s)):
            found[key].append(value)
    return found


def mantissa(m: Fraction) -> tuple[int, int]:
    """(q, e): m = f 2^e, 1/2 <= f < 1, q = floor(f 2^31 + 1/2), and where that is 2^31, 2^30 and one more."""
    e = m.numerator.bit_length() - m.denominator.bit_length()
    while m >= Fraction(2) ** e:
        e += 1
    while m < Fraction(2) ** (e - 1):
        e -= 1
    q = math.floor(m / Fraction(2) ** e * 2**31 + HALF)
    return (2**30, e + 1) if q == 2**31 else (q, e)


def add_constants(m1: Fraction, m2: Fraction) -> list[int]:
    """[q1, q2, s] of an addition."""
    larger = max(m1, m2)
    s = 22
    while larger * Fraction(2) ** (s - 22) >= 1:  # s = 22 - e with 2^(e - 1) <= larger < 2^e
        s -= 1
    while larger * Fraction(2) ** (s - 22) < HALF:
        s += 1
    for shift in (s, s - 1):
        q = [math.floor(m * Fraction(2) ** shift + HALF) for m in (m1, m2)]
        if max(q) < 2**22:
            return [*q, shift]
    raise ValueError("no constants of an addition")


def worths(file: ElqFile) -> Iterator[tuple[Layer, str, loops.Clamp, dict[str, Fraction]]]:
    """The nodes that run, with value, ends of the clamp, and the scale of every value known so far."""
    of = {file.input: Fraction(file.text["int8"]["scale"])}
    for layer, name, ends in loops.steps(file):
        scaled = layer.op in loops.SCALED
        of[name] = Fraction(file.constants[name]["scale"]) if scaled else of[layer.inputs[0]]
        yield layer, name, ends, of


def _constants(seen: Counted, additions: Counted, file: ElqFile) -> None:
    lengths = shapes(file.text, file.layers)
    for layer, name, ends, of in worths(file):
        constants = file.constants.get(name, {})
        if layer.op == "add":
            wanted = add_constants(*(of[i] / of[name] for i in layer.inputs))
            additions.see([*constants["q"], constants["s"]], wanted)
        elif "l" in constants:
            worth, bias, sums = scaled_sums(layer, of, lengths[layer.inputs[0]])
            for key, value in derived(worth, bias, sums, of[name], ends).items():
                seen.see(constants[key], value)


def _weights(seen: Counted, file: ElqFile) -> None:
    for layer in file.layers:
        if layer.levels == "float":
            for row, scale, found in zip(layer.w, layer.scale, layer.int8, strict=True):
                step = max(abs(v) for v in loops.flat(row)) / 127 * (-1 if scale < 0 else 1)
                wanted = [math.floor(w / step + HALF) if step else 0 for w in loops.flat(row)]
                seen.see(list(loops.flat(found)), wanted)


def _factors(seen: Counted, file: ElqFile) -> None:
    output = file.text["output"]
    lengths = shapes(file.text, file.layers)
    for layer, name, _, of in worths(file):
        if name == output:
            wanted = [of[name]] * len(file.factor)
            if layer.op in (*loops.SUMMED, "mul"):
                worth, _, _ = scaled_sums(layer, of, lengths[layer.inputs[0]])
                q = file.constants[name]["q"]
                worth, q = (v * (len(wanted) // len(v)) for v in (worth, q))
                wanted = [w if q_o else of[name] for w, q_o in zip(worth, q, strict=True)]
            seen.see([float(v) for v in file.factor], [float(np.float32(float(v))) for v in wanted])


# ---- networks at the edges of the formulas


def _linear(alpha: list[float], scale: list[float], bias: list[float], inputs: int = 3) -> PackedNetwork:
    """flatten -> linear of ternary codes without a zero, one alpha a channel, on pictures (inputs, 1, 1)."""
    codes = np.where(np.arange(len(alpha) * inputs) % 3, 1, -1).astype(np.int8).reshape(len(alpha), inputs)
    a, s, b = (np.array(v, np.float32) for v in (alpha, scale, bias))
    weight = Weight("binary", codes.shape, pack_codes(codes, "binary"), a)
    return _network([Node("flatten", "flat", ("input",)), Node("linear", "fc", ("flat",), {}, weight, s, b)], inputs)


def _network(nodes: list[Node], channels: int) -> PackedNetwork:
    rule = Normalization((0.0,) * channels, (1.0,) * channels)
    return network(nodes, (channels, 1, 1), rule)


def _edges() -> Iterator[tuple[PackedNetwork, dict[str, float]]]:
    """Ties of b, of q and of a constant; f that rounds to 1; channels without scale, far below the others, or whose
    bias is one beyond the room that the sums leave."""
    yield (
        _linear([1.0] * 8, [1.0] * 8, [(n + 0.5) / 8 for n in (-3, -2, -1, 0, 1, 2, 3, 4)]),
        {"input": 1 / 8, "fc": 1 / 8},
    )
    yield _linear([0.0] * 4, [1.0] * 4, [(n + 0.5) / 8 for n in (-2, -1, 1, 2)]), {"input": 1 / 8, "fc": 1 / 8}
    tied = 1 + 2.0**-23
    scales = [1 + 2.0**-8, -(1 + 2.0**-8), 1 - 2.0**-24, 1.0, 3.0, 0.7]
    yield _linear([tied] * 6, scales, [0.1, -0.2, 0.3, 5.0, 0.0, -7.0]), {"input": 1.0, "fc": 1.0}
    yield _linear([1.0] * 2, [1.0, -1.0], [0.0, 1.0]), {"input": 1.0 - 2.0**-33, "fc": 1.0}  # f rounds to 1
    yield _linear([1.0, 2.0**-28, 2.0**-30, 2.0**-33], [1.0] * 4, [0.3] * 4), {"input": 1.0, "fc": 1.0}
    room = 2**21 - 1 - 384  # of |b| where m = 2^7, so that l = 10, and sum |w| = 3
    biases = [2.0**7 * b for b in (room, room + 1, -room, -room - 1)]
    yield _linear([2.0**7] * 4, [1.0] * 4, biases), {"input": 1.0, "fc": 1.0}


def _edges_of_floats() -> Iterator[tuple[PackedNetwork, dict[str, float]]]:
    """A float layer whose int8 weights are ties, with negative scales and a channel of zeros."""
    w = np.array([[127, 2.5, -2.5, 1.5], [-127, 0.5, -0.5, 3.5], [127, 2.5, -2.5, 1.5], [0, 0, 0, 0]], np.float32)
    weight = Weight("float", w.shape, w)
    scale, bias = np.array([[1, 1, -1, 1], [0.5, -0.25, 0.0, 3]], np.float32)
    nodes = [Node("flatten", "flat", ("input",)), Node("linear", "fc", ("flat",), {}, weight, scale, bias)]
    yield _network(nodes, 4), {"input": 0.5, "fc": 3.0}


def _edges_of_additions() -> Iterator[tuple[PackedNetwork, dict[str, float]]]:
    """x + mean(x) with scales whose quotients are ties, reach 2^22, or lie far apart."""
    for of_input, of_mean, of_sum in (
        (1.0 - 2.0**-30, 0.3, 1.0),
        (0.5, 2.0**-4 + 2.0**-23, 1.0),
        (0.5, 2.0**-4 + 3 * 2.0**-23, 1.0),
        (2.0**-9, 1e-5, 1.0),
        (1000.0, 0.001, 1.0),
    ):
        nodes = [Node("global_avg_pool", "mean", ("input",)), Node("flatten", "flat", ("input",)),
                 Node("add", "sum", ("flat", "mean"))]  # fmt: skip
        yield _network(nodes, 3), {"input": of_input, "mean": of_mean, "sum": of_sum}


def _as_file(packed: PackedNetwork, scales: dict[str, float]) -> ElqFile:
    """The network with these scales, through its file."""
    return read(to_bytes(packed.graph, packed.metadata, derive(packed, scales)))


def _headroom() -> Line:
    """What is derived has headroom; the first K and b that have none are refused or constant; a reader refuses them."""
    seen = Counted()
    for case in cases():
        lengths = shapes(case.file.text, case.file.layers)
        for layer, name, _, of in worths(case.file):
            constants = case.file.constants.get(name, {})
            if "l" in constants:
                _, _, totals = scaled_sums(layer, of, lengths[layer.inputs[0]])
                for bias, sums in zip(constants["b"], totals, strict=True):
                    seen.see((128 * sums + abs(bias)) * 2 ** constants["l"] < 2**31, True)
    for count, exponent in ((1023, 12), (1024, 12), (2047, 11), (2048, 11)):
        packed = _linear([1.0], [2.0**exponent], [0.0], count)  # l = 3 + exponent - 1
        fits = 128 * count * 2 ** (exponent + 3) < 2**31
        seen.see(_is_accepted(partial(derive, packed, {"input": 1.0, "fc": 1.0})), fits)
    last = 2**20 - 1
    for total, b, l in ((1, 0, 23), (1, 0, 24), (last, 2**27 + 127, 3), (last, 2**27 + 128, 3), (5, -(2**24), 7)):
        fits = (128 * total + abs(b)) * 2**l < 2**31
        made = Requantize(l, np.array([b], np.int32), np.array([2**30], np.int32), np.array([40], np.uint8))
        seen.see(_is_accepted(partial(made.prove, np.array([total]))), fits)
    for b, lo in ((-129, -128), (-128, -128), (-1, 0), (0, 0), (127, 0), (128, 0)):
        made = Requantize(0, np.array([b], np.int32), np.array([0], np.int32), np.array([33], np.uint8))
        seen.see(_is_accepted(partial(made.prove, np.array([3]), (lo, 127))), lo <= b <= 127)
    return seen.line(
        "integers headroom",
        "(128 sum|w| + |b_o|) 2^l < 2^31",
        "{count} channels, and sums and biases just inside and just outside it, against Python's integers",
    )


def _is_accepted(make: Callable[[], object]) -> bool:
    try:
        make()
    except ValueError:
        return False
    return True
