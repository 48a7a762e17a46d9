"""Instructions of a layer by form and target, from counts (docs/kernels/embedded.md)."""

from __future__ import annotations

from ..layers import Layer

# Instructions a multiply-add.
PER_MAC = {
    "2-bit by channel": {"m0": 12, "portable": 9, "dsp": 9, "neon": 9},
    "sign by channel": {"m0": 12, "portable": 9, "dsp": 9, "neon": 9},
    "int8 by channel": {"m0": 12, "portable": 9, "dsp": 9, "neon": 9},
    "int8": {"m0": 5.9, "portable": 2.5, "dsp": 1.6, "neon": 0.3},
    "2-bit": {"m0": 3.4, "portable": 1.3, "dsp": 1.3, "neon": 0.36},
    "lists": {"m0": 1.47, "portable": 1.07, "dsp": 1.07, "neon": 0.8},
    "sign": {"m0": 3.4, "portable": 1.3, "dsp": 1.3, "neon": 0.36},
}


def instructions(form: str, layer: Layer, target: str) -> float:
    """Of a picture."""
    return PER_MAC[form]["portable" if target == "auto" else target] * layer.macs
