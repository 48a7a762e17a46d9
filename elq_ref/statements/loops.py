"""Every operation of a packed network as loops over Python's numbers, from docs/format.md and docs/arithmetic.md.

Values are nested lists [c][row][column] or [c] of one picture: Fractions for real numbers, ints for int8. Nothing here
is shared with what is checked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from . import functions, geometry
from .elq_file import ElqFile, Layer, Value

SUMMED = ("conv", "linear", "scale_shift", *geometry.AVERAGES)
CLAMPED = (*SUMMED, "mul", "add")
TABLED = (*functions.NAMES, "concat")
SCALED = (*CLAMPED, *TABLED)
Clamp = tuple[int, int]


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


def moved(layer: Layer, x: Value) -> Value:
    """Of the ops that move values or choose among them: relu, max_pool, subsample, pad, flatten, slice, shuffle."""
    if layer.op == "relu":
        return [each(lambda v: v if v > 0 else v * 0, inside) for inside in x]
    if layer.op == "max_pool":
        return mapped_windows(lambda seen, count: max(seen), layer, x)
    if layer.op == "slice":
        return x[layer.attributes["first"] : layer.attributes["last"]]
    if layer.op == "shuffle":
        groups, size = layer.attributes["groups"], len(x) // layer.attributes["groups"]
        return [x[g * size + c] for c in range(size) for g in range(groups)]
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


def pairs(function: Callable[..., Any], a: Value, b: Value) -> Value:
    """A function of the numbers at the same place, or of one number a channel, [c][0][0], and all of its channel."""

    def spread(x: Value, like: Value) -> Value:
        if not isinstance(x[0], list):
            return x
        rows, columns = len(like[0]), len(like[0][0])
        return [[[c[0][0]] * columns] * rows if (len(c), len(c[0])) == (1, 1) else c for c in x]

    result: Value = each(function, spread(a, b), spread(b, a))
    return result


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
    if layer.op in ("add", "mul"):
        return pairs((lambda a, b: a + b) if layer.op == "add" else (lambda a, b: a * b), *operands)
    if layer.op == "concat":
        return [channel for value in operands for channel in value]
    if layer.op in functions.NAMES:
        return by_channel(lambda c, v: functions.value(layer.op, numbers(layer, c), v), x)
    if layer.op in geometry.AVERAGES:
        return mapped_windows(lambda seen, count: sum(seen) / Fraction(count), layer, x)
    return moved(layer, x)


def numbers(layer: Layer, channel: int) -> dict[str, Any]:
    """What a function has for one channel."""
    return {"slope": layer.slope[channel]} if layer.op == "prelu" else layer.attributes


def mapped_windows(function: Callable[[list[Any], int], Any], layer: Layer, x: Value) -> Value:
    """A function of what every window of a pool sees, and of its count."""
    seen = geometry.places(layer.op, layer.attributes, (len(x), len(x[0]), len(x[0][0])))
    value = [[[function([c[r][s] for r, s in at], count) for at, count in row] for row in seen] for c in x]
    return [channel[0][0] for channel in value] if layer.op == "global_avg_pool" else value


def real_values(file: ElqFile, x: Value) -> dict[str, Value]:
    """Every value of the network for one input, by name, exactly."""
    known = {file.input: x}
    for layer in file.layers:
        known[layer.name] = real(layer, *(known[name] for name in layer.inputs))
    return known


# ---- integers


def steps(file: ElqFile) -> list[tuple[Layer, str, Clamp]]:
    """The nodes that run on int8, each with the name of its value and the ends of its clamp."""
    readers = [name for layer in file.layers for name in layer.inputs] + [file.text["output"]]
    by_name = {layer.name: layer for layer in file.layers}
    behind: dict[str, str] = {}
    ends: dict[str, Clamp] = {}
    for layer in file.layers:
        before = by_name.get(layer.inputs[0])
        if before is None or before.op not in CLAMPED or readers.count(before.name) > 1:
            continue
        if layer.op == "relu":
            behind[before.name], ends[before.name] = layer.name, (0, 127)
        elif layer.op == "clip" and layer.name != file.text["output"]:
            lo, hi = file.constants[layer.name]["clamp"]
            behind[before.name], ends[before.name] = layer.name, (lo, hi)
    return [
        (layer, behind.get(layer.name, layer.name), ends.get(layer.name, (-128, 127)))
        for layer in file.layers
        if layer.name not in behind.values()
    ]


def multiplied(layer: Layer) -> Value:
    """The integers that x is multiplied by: codes, negated where the scale is negative, or the file's int8."""
    if layer.op == "scale_shift":
        return [-64 if a < 0 else 64 for a in layer.scale]
    if layer.int8:
        return layer.int8
    return [each(lambda code, a=a: -code if a < 0 else code, row) for row, a in zip(layer.w, layer.scale, strict=True)]


def accumulated(layer: Layer, constants: dict[str, Any], *operands: Value) -> Value:
    """acc: sum + b, or product + b, of every element; the value of a constant channel."""
    x = operands[0]
    if layer.op in geometry.AVERAGES:
        total = mapped_windows(lambda seen, count: sum(seen), layer, x)
    elif layer.op == "mul":
        total = pairs(lambda a, b: a * b, *operands)
    elif layer.op == "scale_shift":
        w = multiplied(layer)
        total = by_channel(lambda c, v: w[c] * v, x)
    else:
        total = sums(layer, multiplied(layer), x)
    b, q = constants["b"], constants["q"]
    which = of_element(layer, constants, x, total)
    result: Value = each(lambda k, v: v + b[k] if q[k] else b[k], which, total)
    return result


def requantized(layer: Layer, constants: dict[str, Any], ends: Clamp, x: Value, acc: Value) -> Value:
    """y of every acc: one exact rounding, half up, then the clamp; a constant channel is its constant."""
    l, q, s = (constants[key] for key in ("l", "q", "s"))
    which = of_element(layer, constants, x, acc)
    result: Value = each(lambda k, v: clamp(rounded(v, l, q[k], s[k]) if q[k] else v, *ends), which, acc)
    return result


def of_element(layer: Layer, constants: dict[str, Any], x: Value, acc: Value) -> Value:
    """Which of the constants every element has: its channel's; of an average that of its count; or there is one."""
    if layer.op in geometry.AVERAGES:
        known = geometry.counts(layer.op, layer.attributes, (len(x), len(x[0]), len(x[0][0])))
        return mapped_windows(lambda seen, count: known.index(count), layer, x)
    one = len(constants["q"]) == 1
    return by_channel(lambda o, v: 0 if one else o, acc)


def rounded(acc: int, l: int, q: int, s: int) -> int:
    """acc 2^l q / 2^s to the nearest integer, half up."""
    return math.floor(Fraction(acc * 2**l * q, 2**s) + Fraction(1, 2))


def clamp(v: int, lo: int = -128, hi: int = 127) -> int:
    """v, not beyond lo .. hi."""
    return min(max(v, lo), hi)


def added(constants: dict[str, Any], ends: Clamp, a: Value, b: Value) -> Value:
    """x1 q1 + x2 q2 over 2^s, rounded half up, clamped."""
    (q1, q2), s = constants["q"], constants["s"]
    half = Fraction(1, 2)
    return pairs(lambda u, v: clamp(math.floor(Fraction(u * q1 + v * q2, 2**s) + half), *ends), a, b)


def looked_up(layer: Layer, tables: list[list[int]], *operands: Value) -> Value:
    """Entry x + 128 of the table of the operand, of the channel, or of the only one."""
    if layer.op == "concat":
        tabled = zip(tables, operands, strict=True)
        return [each(lambda v, t=table: t[v + 128], channel) for table, value in tabled for channel in value]
    return by_channel(lambda c, v: tables[c if len(tables) > 1 else 0][v + 128], operands[0])


def integer(file: ElqFile, layer: Layer, name: str, ends: Clamp, *operands: Value) -> Value:
    """The int8 value `name` of a node."""
    constants = file.constants.get(name, {})
    if layer.op == "add":
        return added(constants, ends, *operands)
    if layer.op in TABLED:
        return looked_up(layer, constants["tables"], *operands)
    if layer.op in SCALED:
        return requantized(layer, constants, ends, operands[0], accumulated(layer, constants, *operands))
    return moved(layer, operands[0])


def integer_values(file: ElqFile, x: Value) -> tuple[dict[str, Value], Value]:
    """(every int8 value by name, raw) for one int8 input."""
    known, raw = {file.input: x}, x
    for layer, name, ends in steps(file):
        operands = [known[i] for i in layer.inputs]
        known[name] = integer(file, layer, name, ends, *operands)
        if name == file.text["output"]:
            raw = known[name]
            if layer.op in (*SUMMED, "mul"):
                acc = accumulated(layer, file.constants[name], *operands)
                raw = [max(v, 0) for v in acc] if ends[0] == 0 else acc
    return known, raw
