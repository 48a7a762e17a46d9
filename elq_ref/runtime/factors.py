"""What a conv or linear node multiplies its operand by before the sum, and what it multiplies the sum by."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph.nodes import Node, Weight, required


def multiplied(node: Node, dtype: Any = np.float32) -> tuple[Weight, np.ndarray]:
    """The weight whose codes (or floats) x is multiplied by, and the factor (O) of the sums, in `dtype`.

    Codes and alpha * scale. Where that leaves `dtype`, which sums of 0 or of small numbers do not, a power of two of it
    goes to the codes, which become float weights: so sums stay as exact as those of codes.
    """
    weight, scale = required(node.weight), required(node.scale).astype(dtype)
    if weight.alpha is None:
        return weight, scale
    with np.errstate(over="ignore"):
        factor = weight.alpha.astype(dtype) * scale
    if np.isfinite(factor).all():
        return weight, factor
    exact = weight.alpha.astype(np.float64) * scale
    limits = np.finfo(dtype)
    powers = np.clip(np.frexp(exact)[1] - limits.maxexp, 0, limits.maxexp - 1)
    weights = np.ldexp(weight.codes().astype(dtype), powers.reshape(-1, *(1,) * (len(weight.shape) - 1)))
    rest = np.ldexp(exact, -powers).clip(limits.min, limits.max)
    return Weight("float", weight.shape, weights), rest.astype(dtype)
