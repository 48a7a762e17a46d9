"""How far functions of one number, products and LRN carry an error of their operands, for runtime_nets.error_bounds:
their slopes and sizes, from calculus."""

import numpy as np

from elq_ref.graph.functions import FUNCTIONS

ROUNDINGS = 32  # of a function: a kernel's exponential among them


def carried(node, operands, bounds, gamma):
    """The bound of |computed in float32 - exact| of the node's value; None of an op whose sums carry it themselves.

    operands: exact; bounds: of them. gamma(n): the relative error of n roundings.
    """
    if node.op in FUNCTIONS:
        (x,), (e,) = operands, bounds
        slope, most = (per_channel(v, x) for v in growth(node))
        return slope * e + gamma(ROUNDINGS) * (slope * (np.abs(x) + e) + most)
    if node.op == "mul":
        (a, b), (e, f) = operands, bounds
        return np.abs(a) * f + np.abs(b) * e + e * f + gamma(1) * (np.abs(a) + e) * (np.abs(b) + f)
    return lrn(node, *operands, *bounds, gamma) if node.op == "lrn" else None


def per_channel(values, x):
    values = np.asarray(values, np.float64)
    return values.reshape(-1, *(1,) * (x.ndim - 2)) if values.ndim else values


def growth(node):
    """(L, c) with |f(x) - f(y)| <= L |x - y|, and c the size of numbers that are added to what grows with x."""
    a = node.attributes
    if node.op in ("leaky_relu", "elu"):
        number = abs(a["slope" if node.op == "leaky_relu" else "alpha"])
        return max(1.0, number), (0.0 if node.op == "leaky_relu" else number)
    if node.op == "prelu":
        return np.maximum(1, np.abs(node.slope)), 0.0
    if node.op == "hard_sigmoid":
        return abs(a["alpha"]), abs(a["beta"])
    if node.op == "clip":
        return 1.0, 0.0
    return {"hard_swish": 1.5, "silu": 1.1, "gelu": 1.13, "gelu_tanh": 1.13}.get(node.op, 1.0), 0.0


def lrn(node, x, e, gamma):
    """Of x d^-beta with d = bias + alpha / size * sum of squares, by the mean value theorem at the least d."""
    a = node.attributes
    share, beta = a["alpha"] / a["size"], a["beta"]

    def windows(v):
        padded = np.pad(v, ((0, 0), (a["size"] // 2, (a["size"] - 1) // 2), (0, 0), (0, 0)))
        return sum(padded[:, k : k + v.shape[1]] for k in range(a["size"]))

    size = np.abs(x) + e
    least = a["bias"] + share * windows(np.square(np.maximum(np.abs(x) - e, 0)))
    moved = share * windows(2 * np.abs(x) * e + e * e)
    own = gamma(ROUNDINGS + a["size"]) * (1 + beta) * size * least**-beta
    return e * least**-beta + size * beta * least ** (-beta - 1) * moved + own
