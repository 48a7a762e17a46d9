"""Which kernels there are: those of the extension, or NumPy where it is missing."""

from __future__ import annotations

from .. import extensions
from .codes import BITS
from .graph_types import Node
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
    return node.weight.shape[2:], a["stride"], a["padding"], a["dilation"], a["groups"]


def kernel_name(node: Node, size: tuple[int, ...]) -> str:
    """The kernel that runs the conv or linear `node` on float32 values of shape `size` (C, H, W) or (C) here."""
    if _infer is None:
        return "NumPy"
    channels, height, width = size if len(size) == 3 else (*size, 1, 1)
    weights = node.weight.levels if node.weight.levels in BITS else "full"
    size = height, width, channels
    return _infer.kernel_for("float32", weights, size, node.weight.shape[0], *geometry(node))
