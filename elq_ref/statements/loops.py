"""Every operation of a packed network as loops over Python's numbers, from docs/format.md and docs/arithmetic.md.

Values are nested lists [c][row][column] or [c] of one picture: Fractions for real numbers, ints for int8. Nothing here
is shared with what is checked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from .elq_file import ElqFile, Layer, Value

AVERAGES = ("avg_pool", "global_avg_pool")
SCALED = ("conv", "linear", "scale_shift", "add", *AVERAGES)


def sums(layer: Layer, w: Value, x: Value) -> Value:
    """sum(w x) of every element of a conv or linear."""
    if layer.op == "linear":
        return [sum(a * b for a, b in zip(row, x, strict=True)) for row in w]
    a = layer.attributes
    (sh, sw), (ph, pw), (dh, dw) = a["stride"], a["padding"], a["dilation"]
    outputs, inputs, kh, kw = layer.shape
    height, width, per_group = len(x[0]), len(x[0][0]), outputs // a["groups"]
    rows, columns = (height + 2 * ph - dh * (kh - 1) - 1) // sh + 1, (width + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    y = [[[0 for _ in range(columns)] for _ in range(rows)] for _ in range(outputs)]
    for o in range(outputs):
        for p in range(rows):
            for q in range(columns):
                for c in range(inputs):
                    for i in range(kh):
                        for j in range(kw):
                            r, s = p * sh + i * dh - ph, q * sw + j * dw - pw
                            if 0 <= r < height and 0 <= s < width and w[o][c][i][j]:
                                y[o][p][q] += w[o][c][i][j] * x[o // per_group * inputs + c][r][s]
    return y


def windows(layer: Layer, x: Value) -> Value:
    """For every place of a pool, the list of what its window sees; incomplete windows are dropped."""
    if layer.op == "global_avg_pool":
        return [[v for row in channel for v in row] for channel in x]
    (kh, kw), (sh, sw) = layer.attributes["kernel"], layer.attributes["stride"]
    rows, columns = (len(x[0]) - kh) // sh + 1, (len(x[0][0]) - kw) // sw + 1
    return [
        [
            [[c[p * sh + i][q * sw + j] for i in range(kh) for j in range(kw)] for q in range(columns)]
            for p in range(rows)
        ]
        for c in x
    ]


def moved(layer: Layer, x: Value) -> Value:
    """Of the ops that move values or choose among them: relu, max_pool, subsample, pad, flatten."""
    if layer.op == "relu":
        return [each(lambda v: v if v > 0 else v * 0, inside) for inside in x]
    if layer.op == "max_pool":
        return [[[max(seen) for seen in row] for row in channel] for channel in windows(layer, x)]
    if layer.op == "subsample":
        step = layer.attributes["step"]
        rows, columns = range(0, len(x[0]), step), range(0, len(x[0][0]), step)
        return [[[channel[r][s] for s in columns] for r in rows] for channel in x]
    if layer.op == "flatten":
        return list(flat(x))
    before, after = layer.attributes["before"], layer.attributes["after"]
    lengths = len(x), len(x[0]), len(x[0][0])
    channels, rows, columns = (range(-b, n + a) for b, n, a in zip(before, lengths, after, strict=True))

    def at(*place: int) -> Any:
        inside = all(0 <= i < n for i, n in zip(place, lengths, strict=True))
        return x[place[0]][place[1]][place[2]] if inside else x[0][0][0] * 0

    return [[[at(c, r, s) for s in columns] for r in rows] for c in channels]


def flat(x: Any) -> Iterator[Any]:
    """The numbers of nested lists, in the order of their axes."""
    if isinstance(x, list):
        for inside in x:
            yield from flat(inside)
    else:
        yield x


def each(function: Callable[..., Any], *values: Any) -> Any:
    """A function of the numbers at the same place in nested lists."""
    if isinstance(values[0], list):
        return [each(function, *inside) for inside in zip(*values, strict=True)]
    return function(*values)


def by_channel(function: Callable[[int, Any], Any], x: Value) -> Value:
    """A function of (channel, number) for every number of x."""
    return [each(lambda v, c=c: function(c, v), channel) for c, channel in enumerate(x)]


def real(layer: Layer, *operands: Value) -> Value:
    """The value of a node on real numbers, exactly."""
    x = operands[0]
    if layer.op in ("conv", "linear"):
        alpha = layer.alpha or [Fraction(1)] * layer.shape[0]
        return by_channel(lambda o, v: layer.scale[o] * alpha[o] * v + layer.bias[o], sums(layer, layer.w, x))
    if layer.op == "scale_shift":
        return by_channel(lambda c, v: layer.scale[c] * v + layer.bias[c], x)
    if layer.op == "add":
        return [each(lambda a, b: a + b, *channels) for channels in zip(*operands, strict=True)]
    if layer.op in AVERAGES:
        return mapped_windows(lambda seen: sum(seen) / Fraction(len(seen)), layer, x)
    return moved(layer, x)


def mapped_windows(function: Callable[[list[Any]], Any], layer: Layer, x: Value) -> Value:
    """A function of every window of a pool."""
    if layer.op == "global_avg_pool":
        return [function(seen) for seen in windows(layer, x)]
    return [[[function(seen) for seen in row] for row in channel] for channel in windows(layer, x)]


def real_values(file: ElqFile, x: Value) -> dict[str, Value]:
    """Every value of the network for one input, by name, exactly."""
    known = {file.input: x}
    for layer in file.layers:
        known[layer.name] = real(layer, *(known[name] for name in layer.inputs))
    return known


# ---- integers


def steps(file: ElqFile) -> list[tuple[Layer, str, int]]:
    """The nodes that run on int8, each with the name of its value and the lower end of its clamp."""
    readers = [name for layer in file.layers for name in layer.inputs] + [file.text["output"]]
    by_name = {layer.name: layer for layer in file.layers}
    relu_of = {}
    for layer in file.layers:
        before = by_name.get(layer.inputs[0])
        if layer.op == "relu" and before and before.op in SCALED and readers.count(before.name) == 1:
            relu_of[before.name] = layer.name
    return [
        (layer, relu_of.get(layer.name, layer.name), 0 if layer.name in relu_of else -128)
        for layer in file.layers
        if layer.name not in relu_of.values()
    ]


def multiplied(layer: Layer) -> Value:
    """The integers that x is multiplied by: codes, negated where the scale is negative, or the file's int8."""
    if layer.op == "scale_shift":
        return [-64 if a < 0 else 64 for a in layer.scale]
    if layer.int8:
        return layer.int8
    return [each(lambda code, a=a: -code if a < 0 else code, row) for row, a in zip(layer.w, layer.scale, strict=True)]


def accumulated(layer: Layer, constants: dict[str, Any], x: Value) -> Value:
    """acc: sum + b of every element; the value of a constant channel."""
    if layer.op in AVERAGES:
        total = mapped_windows(sum, layer, x)
    elif layer.op == "scale_shift":
        w = multiplied(layer)
        total = by_channel(lambda c, v: w[c] * v, x)
    else:
        total = sums(layer, multiplied(layer), x)
    b, q = constants["b"], constants["q"]
    if len(b) == 1:
        b, q = b * len(total), q * len(total)
    return by_channel(lambda o, v: v + b[o] if q[o] else b[o], total)


def requantized(constants: dict[str, Any], lo: int, acc: Value) -> Value:
    """y of every acc: one exact rounding, half up, then the clamp; a constant channel is its constant."""
    l, q, s = (constants[key] for key in ("l", "q", "s"))
    if len(q) == 1:
        q, s = q * len(acc), s * len(acc)
    return by_channel(lambda o, v: clamp(rounded(v, l, q[o], s[o]) if q[o] else v, lo), acc)


def rounded(acc: int, l: int, q: int, s: int) -> int:
    """acc 2^l q / 2^s to the nearest integer, half up."""
    return math.floor(Fraction(acc * 2**l * q, 2**s) + Fraction(1, 2))


def clamp(v: int, lo: int) -> int:
    """v, not beyond lo .. 127."""
    return min(max(v, lo), 127)


def added(constants: dict[str, Any], lo: int, a: Value, b: Value) -> Value:
    """x1 q1 + x2 q2 over 2^s, rounded half up, clamped."""
    (q1, q2), s = constants["q"], constants["s"]
    half = Fraction(1, 2)
    result: Value = each(lambda u, v: clamp(math.floor(Fraction(u * q1 + v * q2, 2**s) + half), lo), a, b)
    return result


def integer(file: ElqFile, layer: Layer, name: str, lo: int, *operands: Value) -> Value:
    """The int8 value `name` of a node."""
    if layer.op == "add":
        return added(file.constants[name], lo, *operands)
    if layer.op in SCALED:
        constants = file.constants[name]
        return requantized(constants, lo, accumulated(layer, constants, operands[0]))
    return moved(layer, operands[0])


def integer_values(file: ElqFile, x: Value) -> tuple[dict[str, Value], Value]:
    """(every int8 value by name, raw) for one int8 input."""
    known, raw = {file.input: x}, x
    for layer, name, lo in steps(file):
        operands = [known[i] for i in layer.inputs]
        known[name] = integer(file, layer, name, lo, *operands)
        if name == file.text["output"]:
            raw = known[name]
            if layer.op in SCALED and layer.op != "add":
                acc = accumulated(layer, file.constants[name], operands[0])
                raw = [max(v, 0) for v in acc] if lo == 0 else acc
    return known, raw
