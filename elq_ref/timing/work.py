"""How much a network computes."""

import math

from ..runtime import PackedNetwork


def macs(network: PackedNetwork) -> dict[str, int]:
    """Multiply-adds a picture of each conv and linear node: outputs * weights that reach one, padding included."""
    weights = network.layers
    return {name: math.prod(network.shapes[name]) * math.prod(w.shape[1:]) for name, w in weights.items()}
