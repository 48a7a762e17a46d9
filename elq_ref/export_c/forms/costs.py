"""Instructions of a layer by form and processor, from counts (docs/kernels/embedded.md).

Fitted to whole layers (benchmarks/embedded/forms.py), right within 8 %, NEON within a quarter. products: what the
form multiplies or adds, filled up as it lies in flash; windows: those of all pixels and groups; operands: what lies in
them; outputs: sums. A layer of one pixel has costs of its own.
"""

from __future__ import annotations

from typing import NamedTuple

from ..layers import Layer


class Cost(NamedTuple):
    """Instructions for each of a layer's products, operands, outputs and windows."""

    product: float
    operand: float
    output: float
    window: float


# portable: counted on a Cortex-M3, dsp on a Cortex-M4, neon on AArch64 with SDOT.
COSTS = {
    "2-bit": {
        "portable": Cost(0.991, 4.03, 31.5, 635.0),
        "m0": Cost(2.79, 4.86, 115.0, 852.0),
        "dsp": Cost(1.0, 3.35, 32.5, 621.0),
        "neon": Cost(0.113, 4.6, 11.1, 583.0),
    },
    "2-bit, one pixel": {
        "portable": Cost(1.34, 6.1, 99.2, 0.0),
        "m0": Cost(2.68, 7.84, 156.0, 0.0),
        "dsp": Cost(1.31, 4.69, 103.0, 0.0),
        "neon": Cost(0.167, 4.37, 126.0, 0.0),
    },
    "sign": {
        "portable": Cost(0.946, 4.15, 32.9, 641.0),
        "m0": Cost(2.57, 5.04, 115.0, 856.0),
        "dsp": Cost(0.966, 3.31, 34.2, 627.0),
        "neon": Cost(0.141, 2.75, 27.6, 645.0),
    },
    "sign, one pixel": {
        "portable": Cost(1.26, 5.82, 103.0, 0.0),
        "m0": Cost(2.45, 7.43, 162.0, 0.0),
        "dsp": Cost(1.26, 4.72, 104.0, 0.0),
        "neon": Cost(0.143, 3.72, 142.0, 0.0),
    },
    "lists": {
        "portable": Cost(1.55, 2.33, 34.4, 440.0),
        "m0": Cost(1.93, 3.53, 77.5, 597.0),
        "dsp": Cost(1.58, 2.37, 34.7, 416.0),
        "neon": Cost(1.02, 2.44, 32.8, 316.0),
    },
    "lists, one pixel": {
        "portable": Cost(3.79, 9.33, 77.1, 0.0),
        "m0": Cost(4.16, 12.6, 137.0, 0.0),
        "dsp": Cost(3.8, 9.37, 78.8, 0.0),
        "neon": Cost(3.77, 11.3, 75.2, 0.0),
    },
    "int8": {
        "portable": Cost(2.31, 1.83, 25.0, 514.0),
        "m0": Cost(5.5, 2.15, 77.6, 699.0),
        "dsp": Cost(1.36, 3.67, 23.4, 609.0),
        "neon": Cost(0.167, 1.49, 14.9, 499.0),
    },
    "int8, one pixel": {
        "portable": Cost(2.95, 2.19, 56.1, 0.0),
        "m0": Cost(5.43, 3.02, 113.0, 0.0),
        "dsp": Cost(2.04, 4.43, 70.0, 0.0),
        "neon": Cost(0.253, 3.42, 78.2, 0.0),
    },
    "codes by channel": {
        "portable": Cost(12.0, 0.0, 0.0, 0.0),
        "m0": Cost(21.2, 0.0, 0.0, 0.0),
        "dsp": Cost(12.0, 0.0, 0.0, 0.0),
        "neon": Cost(11.2, 0.0, 0.0, 0.0),
    },
    "int8 by channel": {
        "portable": Cost(16.0, 0.0, 0.0, 0.0),
        "m0": Cost(29.8, 0.0, 0.0, 0.0),
        "dsp": Cost(16.0, 0.0, 0.0, 0.0),
        "neon": Cost(15.3, 0.0, 0.0, 0.0),
    },
}


def instructions(form: str, layer: Layer, processor: str, products: int) -> float:
    """Of a picture, where a form takes so many products for a pixel."""
    pixels = layer.p * layer.q
    cost = COSTS[form + (", one pixel" if pixels == 1 else "")][processor]
    windows = pixels * layer.groups
    return (
        cost.product * pixels * products
        + cost.operand * windows * layer.k
        + cost.output * pixels * layer.o
        + cost.window * windows
    )
