"""Names of parameters and values: those of the file where they are names, else what the name of a node says."""

from __future__ import annotations

import re
from collections.abc import Collection

from .model import OnnxNode

LONGEST = 150  # characters of a module's name
_PARAMETER = re.compile(r"[A-Za-z_][\w-]*(\.[\w-]+)*\.(weight|bias|running_mean|running_var|gamma|beta|scale|kernel)")
_TENSORFLOW = (
    "Conv2D", "DepthwiseConv2dNative", "depthwise", "BiasAdd", "MatMul", "FusedBatchNormV3", "FusedBatchNorm", "add",
    "Add", "AddV2", "Mul", "mul", "separable_conv2d", "ReadVariableOp",
)  # fmt: skip


def of_array(name: str) -> str:
    """The module that an array's name states, "" where it is no such name: layer1.0.conv1.weight -> layer1.0.conv1."""
    found = _PARAMETER.fullmatch(name)
    return name[: found.start(2) - 1] if found and len(name) <= LONGEST else ""


def of_node(node: OnnxNode) -> str:
    """The module that a node's name states, "" where it states none: /layer1/layer1.0/conv1/Conv -> layer1.0.conv1.

    A part that begins with the one before it and a point continues it: PyTorch writes Sequential's children so.
    """
    parts = [part for part in node.name[: 4 * LONGEST].split("/") if part]
    if len(parts) < 2:
        return ""
    if re.fullmatch(rf"{re.escape(node.op)}(_\d+)?", parts[-1]) or parts[-1].rstrip("_0123456789") in _TENSORFLOW:
        parts.pop()
    parts = [re.sub(r"[^\w.-]", "_", part).strip(".") for part in parts]
    path: list[str] = []
    before = ""
    for part in filter(None, parts):
        continued = bool(before) and part.startswith(f"{before}.")
        path += (part[len(before) + 1 :] if continued else part).split(".")
        before = part
    name = ".".join(filter(None, path))
    return name if len(name) <= LONGEST else ""


def unique(name: str, taken: Collection[str]) -> str:
    """The name, with #2, #3, ... behind it where it is taken."""
    found, count = name, 1
    while found in taken:
        count += 1
        found = f"{name}#{count}"
    return found
