"""Every op of a packed graph in ONNX, of opset 13 and later."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...graph.nodes import Node, required
from ...graph.windows import counts, windows
from .writer import Writer

Write = Callable[[Writer, Node], None]


def _conv(writer: Writer, node: Node) -> None:
    a = node.attributes
    writer.add(
        "Conv",
        node,
        *writer.weighted(node),
        kernel_shape=required(node.weight).shape[2:],
        strides=a["stride"],
        pads=a["padding"] * 2,
        dilations=a["dilation"],
        group=a["groups"],
    )


def _linear(writer: Writer, node: Node) -> None:
    writer.add("Gemm", node, *writer.weighted(node), transB=1)


def _channelwise(writer: Writer, node: Node, values: np.ndarray) -> np.ndarray:
    """(C) values that broadcast over the value of `node`."""
    return values.reshape(-1, *(1,) * (len(writer.shapes[node.name]) - 1))


def _scale_shift(writer: Writer, node: Node) -> None:
    scale = writer.array(f"{node.name}.scale", _channelwise(writer, node, required(node.scale)))
    bias = writer.array(f"{node.name}.bias", _channelwise(writer, node, required(node.bias)))
    scaled = writer.step("Mul", f"{node.name}.scaled", [node.inputs[0], scale])
    writer.add("Add", node, bias, source=scaled)


# ------------------------------------------------------------------------------------------ functions of one number


def _clip(writer: Writer, node: Node) -> None:
    ends = (writer.number(f"{node.name}.{end}", node.attributes[end]) for end in ("low", "high"))
    writer.add("Clip", node, *ends)


def _prelu(writer: Writer, node: Node) -> None:
    writer.add("PRelu", node, writer.array(f"{node.name}.slope", _channelwise(writer, node, required(node.slope))))


def _hard_swish(writer: Writer, node: Node) -> None:
    """x times a hard sigmoid: HardSwish is there from opset 14 on alone."""
    gate = writer.step("HardSigmoid", f"{node.name}.gate", node.inputs, alpha=1 / 6, beta=0.5)
    writer.add("Mul", node, gate)


def _silu(writer: Writer, node: Node) -> None:
    writer.add("Mul", node, writer.step("Sigmoid", f"{node.name}.gate", node.inputs))


def _gelu(writer: Writer, node: Node) -> None:
    """x times (erf(x / sqrt 2) + 1) / 2."""
    name, (x,) = node.name, node.inputs
    erf = writer.step("Mul", f"{name}.scaled", [x, writer.number(f"{name}.root", math.sqrt(0.5))])
    erf = writer.step("Erf", f"{name}.erf", [erf])
    both = writer.step("Add", f"{name}.above", [erf, writer.number(f"{name}.one", 1)])
    share = writer.step("Mul", f"{name}.share", [both, writer.number(f"{name}.half", 0.5)])
    writer.add("Mul", node, share)


def _gelu_tanh(writer: Writer, node: Node) -> None:
    """x times sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3) = x (a + b x^2)."""
    name, (x,) = node.name, node.inputs
    a = 2 * math.sqrt(2 / math.pi)
    square = writer.step("Mul", f"{name}.square", [x, x])
    cubic = writer.step("Mul", f"{name}.cubic", [square, writer.number(f"{name}.b", a * 0.044715)])
    slope = writer.step("Add", f"{name}.slope", [cubic, writer.number(f"{name}.a", a)])
    inner = writer.step("Mul", f"{name}.inner", [x, slope])
    writer.add("Mul", node, writer.step("Sigmoid", f"{name}.gate", [inner]))


# --------------------------------------------------------------------------------------------------------- channels


def _slice(writer: Writer, node: Node) -> None:
    places = {"starts": node.attributes["first"], "ends": node.attributes["last"], "axes": 1}
    writer.add("Slice", node, *(writer.lengths(f"{node.name}.{key}", value) for key, value in places.items()))


def _shuffle(writer: Writer, node: Node) -> None:
    (channels, *rest), groups, name = writer.shapes[node.name], node.attributes["groups"], node.name
    apart = writer.lengths(f"{name}.apart", 0, groups, channels // groups, *rest)
    split = writer.step("Reshape", f"{name}.split", [*node.inputs, apart])
    turned = writer.step("Transpose", f"{name}.turned", [split], perm=[0, 2, 1, *range(3, 3 + len(rest))])
    writer.add("Reshape", node, writer.lengths(f"{name}.shape", 0, channels, *rest), source=turned)


def _lrn(writer: Writer, node: Node) -> None:
    """LRN, whose window of an even size lies the other way round than PyTorch's: such a one is written out."""
    a, name, (x,) = node.attributes, node.name, node.inputs
    if a["size"] % 2:
        writer.add("LRN", node, **a)
        return
    (channels, *rest), size = writer.shapes[name], a["size"]
    square = writer.step("Mul", f"{name}.square", [x, x])
    one = writer.lengths(f"{name}.plane", 0, 1, channels, math.prod(rest))
    plane = writer.step("Reshape", f"{name}.rows", [square, one])
    window = {"kernel_shape": (size, 1), "pads": (size // 2, 0, (size - 1) // 2, 0), "count_include_pad": 1}
    mean = writer.step("AveragePool", f"{name}.means", [plane], strides=(1, 1), **window)
    mean = writer.step("Reshape", f"{name}.mean", [mean, writer.lengths(f"{name}.shape", 0, channels, *rest)])
    share = writer.step("Mul", f"{name}.share", [mean, writer.number(f"{name}.alpha", a["alpha"])])
    base = writer.step("Add", f"{name}.base", [share, writer.number(f"{name}.bias", a["bias"])])
    factor = writer.step("Pow", f"{name}.factor", [base, writer.number(f"{name}.beta", -a["beta"])])
    writer.add("Mul", node, factor)


# ------------------------------------------------------------------------------------------------------------ pools


def _pads(writer: Writer, node: Node) -> tuple[int, ...]:
    """The padding of a pool that its windows reach: ONNX's runtimes want less than the window."""
    a, size = node.attributes, writer.shapes[node.inputs[0]][1:]
    out = writer.shapes[node.name][1:]
    ends = ((out[k] - 1) * a["stride"][k] + a["kernel"][k] - a["padding"][k] - size[k] for k in (0, 1))
    return (*a["padding"][:2], *(max(0, end) for end in ends))


def _max_pool(writer: Writer, node: Node) -> None:
    a, source, pads = node.attributes, None, _pads(writer, node)
    if node.name in writer.padded:
        pad = next(n for n in writer.graph.nodes if n.name == writer.padded[node.name])
        source, pads = pad.inputs[0], pad.attributes["before"][1:] + pad.attributes["after"][1:]
    writer.add("MaxPool", node, source=source, kernel_shape=a["kernel"], strides=a["stride"], pads=pads)


def _avg_pool(writer: Writer, node: Node) -> None:
    """By the whole window or by what lies inside, as AveragePool can; else by the whole window, times a constant."""
    a = node.attributes
    given = counts(node, writer.shapes[node.inputs[0]])
    rows, columns = windows(node, writer.shapes[node.inputs[0]])
    inside = np.outer([w.last - w.first for w in rows], [w.last - w.first for w in columns])
    whole = math.prod(a["kernel"])
    exclude = not np.array_equal(given, np.full_like(given, whole)) and np.array_equal(given, inside)
    window = {"kernel_shape": a["kernel"], "strides": a["stride"], "pads": _pads(writer, node)}
    window["count_include_pad"] = 0 if exclude else 1
    if exclude or (given == whole).all():
        writer.add("AveragePool", node, **window)
        return
    mean = writer.step("AveragePool", f"{node.name}.mean", node.inputs, **window)
    writer.add("Mul", node, writer.array(f"{node.name}.share", (whole / given).astype(np.float32)), source=mean)


def _adaptive_avg_pool(writer: Writer, node: Node) -> None:
    """Means of rows, then of columns, each a product with a matrix: ONNX has no windows of several sizes."""
    size, name = writer.shapes[node.inputs[0]], node.name
    matrices = []
    for axis, length in zip(windows(node, size), size[1:], strict=True):
        matrix = np.zeros((len(axis), length))
        for place, window in enumerate(axis):
            matrix[place, window.first : window.last] = 1 / window.counted
        matrices.append(matrix.astype(np.float32))
    rows = writer.array(f"{name}.rows", matrices[0])
    means = writer.step("MatMul", f"{name}.of_rows", [rows, *node.inputs])
    writer.add("MatMul", node, writer.array(f"{name}.columns", matrices[1].T), source=means)


def _global_avg_pool(writer: Writer, node: Node) -> None:
    mean = writer.step("GlobalAveragePool", f"{node.name}.mean", node.inputs)
    writer.add("Flatten", node, source=mean, axis=1)


def _subsample(writer: Writer, node: Node) -> None:
    step = node.attributes["step"]
    writer.add("MaxPool", node, kernel_shape=(1, 1), strides=(step, step))  # the maximum of one pixel, exactly


def _pad(writer: Writer, node: Node) -> None:
    pads = (0, *node.attributes["before"], 0, *node.attributes["after"])
    writer.add("Pad", node, writer.lengths(f"{node.name}.pads", *pads))


def _plain(op: str, **names: str) -> Write:
    """One ONNX node; names: {its attribute: the node's}."""
    return lambda writer, node: writer.add(op, node, **{key: node.attributes[value] for key, value in names.items()})


def _fixed(op: str, **attributes: Any) -> Write:
    return lambda writer, node: writer.add(op, node, **attributes)


WRITE: dict[str, Write] = {
    "conv": _conv,
    "linear": _linear,
    "scale_shift": _scale_shift,
    "relu": _plain("Relu"),
    "clip": _clip,
    "leaky_relu": _plain("LeakyRelu", alpha="slope"),
    "prelu": _prelu,
    "sigmoid": _plain("Sigmoid"),
    "tanh": _plain("Tanh"),
    "hard_sigmoid": _plain("HardSigmoid", alpha="alpha", beta="beta"),
    "hard_swish": _hard_swish,
    "silu": _silu,
    "elu": _plain("Elu", alpha="alpha"),
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "add": _plain("Add"),
    "mul": _plain("Mul"),
    "concat": _fixed("Concat", axis=1),
    "slice": _slice,
    "shuffle": _shuffle,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "adaptive_avg_pool": _adaptive_avg_pool,
    "global_avg_pool": _global_avg_pool,
    "lrn": _lrn,
    "subsample": _subsample,
    "pad": _pad,
    "flatten": _fixed("Flatten", axis=1),
}
