"""The table of layers: on the screen, and in the header as a comment."""

from __future__ import annotations

from .contents import Contents
from .layers import Layer

HEAD = ["", "layer", "", "value", "MACs", "weights", "bytes", "other bytes"]
_RIGHT = (0, 4, 6, 7)


def rows(contents: Contents) -> list[list[str]]:
    """Of every layer: number, name, op, sizes of its value, multiply-adds, form and bytes of its weights, bytes of its
    other constants.
    """
    found = []
    for layer, form, words, own in zip(
        contents.plan.layers, contents.forms, contents.words, contents.constants, strict=True
    ):
        numbers = (f"{n:,}" if n else "" for n in (layer.macs, 4 * len(words), len(own.content)))
        macs, weights, others = numbers
        name = form.name if form else ""
        found.append([str(layer.index), layer.name, what(layer), value(layer), macs, name, weights, others])
    return found


def aligned(lines: list[list[str]]) -> list[str]:
    """Rows of such cells as lines with aligned columns."""
    widths = [max(len(row[i]) for row in lines) for i in range(len(lines[0]))]
    return [
        "  ".join(c.rjust(w) if i in _RIGHT else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in lines
    ]


def what(layer: Layer) -> str:
    """The op, its window and its steps, and what is in its clamp."""
    window = f" {layer.kh}x{layer.kw}" if layer.kind in ("conv", "max_pool", "avg_pool") else ""
    step = f" by {layer.sy}x{layer.sx}" if max(layer.sy, layer.sx) > 1 else ""
    groups = f" in {layer.groups} groups" if layer.groups > 1 else ""
    clamp = f", clip {layer.lo} to {layer.hi}" if layer.hi < 127 else ", relu" if layer.lo == 0 else ""
    return f"{layer.kind}{window}{step}{groups}{clamp}"


def value(layer: Layer) -> str:
    """Rows, columns and channels."""
    return f"{layer.p}x{layer.q}x{layer.o}"
