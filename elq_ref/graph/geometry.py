"""The shape of what each op computes, from its node and the shapes that it reads; ValueError where they do not fit."""

from __future__ import annotations

import math
from typing import Any

from .nodes import Node

Shape = tuple[int, ...]


def _rank(shape: Shape, wanted: int) -> None:
    if len(shape) != wanted:
        axes = "(C, H, W)" if wanted == 3 else "(C)"
        raise ValueError(f"reads a value of shape {shape}, wanted {axes}")


def _shape_of(part: Any) -> Shape:
    """Of a weight, an array or a Parameter, which the op of this node has."""
    shape: Shape = part.shape
    return shape


def windows(
    size: Shape, kernel: Shape, stride: Shape, border: Shape = (0, 0, 0, 0), dilation: Shape = (1, 1)
) -> tuple[int, int]:
    """floor((n + before + after - dilation (kernel - 1) - 1) / stride) + 1 for rows and columns; border: top, left,
    bottom, right."""
    rows, columns = (
        (n + b + a - d * (k - 1) - 1) // s + 1
        for n, k, s, b, a, d in zip(size, kernel, stride, border[:2], border[2:], dilation, strict=True)
    )
    if min(rows, columns) < 1:
        padded = border[:2] if border[:2] == border[2:] else border
        raise ValueError(f"a window of {kernel}, dilation {dilation}, does not fit {size} padded by {padded}")
    return rows, columns


def same(node: Node, operands: list[Shape]) -> Shape:
    """Of a function of one number."""
    return operands[0]


def conv(node: Node, operands: list[Shape]) -> Shape:
    (x,), a, weight = operands, node.attributes, _shape_of(node.weight)
    _rank(x, 3)
    if len(weight) != 4 or x[0] != weight[1] * a["groups"] or weight[0] % a["groups"]:
        raise ValueError(f"weight {weight} in {a['groups']} group(s) does not fit a value of shape {x}")
    return weight[0], *windows(x[1:], weight[2:], a["stride"], a["padding"] * 2, a["dilation"])


def linear(node: Node, operands: list[Shape]) -> Shape:
    (x,), weight = operands, _shape_of(node.weight)
    _rank(x, 1)
    if len(weight) != 2 or x[0] != weight[1]:
        raise ValueError(f"weight {weight} does not fit a value of shape {x}")
    return weight[:1]


def channelwise(node: Node, operands: list[Shape]) -> Shape:
    """Of what has a number for every channel; a Parameter of prelu may be one number for all of them."""
    (x,) = operands
    for role in ("scale", "bias", "mean", "var", "slope"):
        part = getattr(node, role)
        if part is None or part.shape == x[:1] or (role == "slope" and node.parameters and part.shape == (1,)):
            continue
        raise ValueError(f"{role} of shape {part.shape} does not fit a value of shape {x}")
    return x


def elementwise(node: Node, operands: list[Shape]) -> Shape:
    """Of add and mul: one shape, or one operand a number for every channel, (C, 1, 1) against (C, H, W)."""
    a, b = operands
    for one, other in ((a, b), (b, a)):
        if a == b or (len(a) == len(b) == 3 and one == (other[0], 1, 1)):
            return other
    raise ValueError(f"{node.op}s values of shapes {a} and {b}")


def concat(node: Node, operands: list[Shape]) -> Shape:
    rest = operands[0][1:]
    if any(len(x) != len(rest) + 1 or x[1:] != rest for x in operands):
        raise ValueError(f"joins channels of shapes {', '.join(map(str, operands))[:200]}")
    return sum(x[0] for x in operands), *rest


def channels(node: Node, operands: list[Shape]) -> Shape:
    """Of slice."""
    (x,), first, last = operands, node.attributes["first"], node.attributes["last"]
    if not first < last <= x[0]:
        raise ValueError(f"channels {first} to {last} of a value of shape {x}")
    return last - first, *x[1:]


def shuffle(node: Node, operands: list[Shape]) -> Shape:
    (x,), groups = operands, node.attributes["groups"]
    if x[0] % groups:
        raise ValueError(f"{groups} groups of the channels of a value of shape {x}")
    return x


def pool(node: Node, operands: list[Shape]) -> Shape:
    """Every window holds a pixel, and no border is counted where there is none."""
    (x,), a = operands, node.attributes
    _rank(x, 3)
    border = a["padding"]
    out = windows(x[1:], a["kernel"], a["stride"], border)
    for n, p, k, s, before in zip(x[1:], out, a["kernel"], a["stride"], border[:2], strict=True):
        if before >= k or (p - 1) * s - before >= n:
            raise ValueError(f"a window of {a['kernel']} holds no pixel of {x[1:]} padded by {border}")
    if any(c > p for c, p in zip(a.get("counted", ()), border, strict=False)):
        raise ValueError(f"counted is {a['counted']}, wanted at most the padding {border}")
    return x[0], *out


def adaptive(node: Node, operands: list[Shape]) -> Shape:
    _rank(operands[0], 3)
    return operands[0][0], *node.attributes["output"]


def means(node: Node, operands: list[Shape]) -> Shape:
    """Of global_avg_pool."""
    _rank(operands[0], 3)
    return operands[0][:1]


def lrn(node: Node, operands: list[Shape]) -> Shape:
    _rank(operands[0], 3)
    return operands[0]


def subsample(node: Node, operands: list[Shape]) -> Shape:
    (x,), step = operands, node.attributes["step"]
    _rank(x, 3)
    return x[0], -(-x[1] // step), -(-x[2] // step)


def pad(node: Node, operands: list[Shape]) -> Shape:
    _rank(operands[0], 3)
    return tuple(map(sum, zip(node.attributes["before"], operands[0], node.attributes["after"], strict=True)))


def flatten(node: Node, operands: list[Shape]) -> Shape:
    return (math.prod(operands[0]),)
