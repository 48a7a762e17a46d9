"""Which kernels there are: those of the extension, or NumPy where it is missing."""

from __future__ import annotations

from .. import extensions
from ..graph.codes import BITS
from ..graph.nodes import Node
from .factors import multiplied
from .integer import IntegerNode

_infer, REASON = extensions.load("_infer")  # REASON: why there is none, or None

Pair = tuple[int, int]


def geometry(node: Node | IntegerNode) -> tuple[Pair, Pair, Pair, Pair, int]:
    """kernel, stride, padding, dilation (rows, columns) and groups of a conv or linear; a fully connected layer is a
    1x1 convolution of a 1x1 picture.
    """
    if node.op == "linear":
        return (1, 1), (1, 1), (0, 0), (1, 1), 1
    a = node.attributes
    weight = node.weight
    assert weight is not None
    kh, kw = weight.shape[2:]
    return (kh, kw), a["stride"], a["padding"], a["dilation"], a["groups"]


def kernel_name(node: Node, size: tuple[int, ...]) -> str:
    """The kernel that runs the conv or linear `node` on float32 values of shape `size` (C, H, W) or (C) here."""
    if _infer is None:
        return "NumPy"
    channels, height, width = size if len(size) == 3 else (*size, 1, 1)
    weight, _ = multiplied(node)
    weights = weight.levels if weight.levels in BITS else "full"
    name: str = _infer.kernel_for("float32", weights, (height, width, channels), weight.shape[0], *geometry(node))
    return name
