"""Layers with weights for the forms of exported C, and what they compute, by loops over Python's integers."""

import itertools
import math

import numpy as np

from elq_ref.export_c.layers import Layer


def layer_of(rng, levels, c, o, kernel=(1, 1), size=(1, 1), stride=(1, 1), padding=(0, 0), **options):
    """A conv with random constants, some channels constant.

    options: dilation, groups, density (of ternary weights), rows int8 (O, K), lo, raw.
    """
    groups, dilation = options.get("groups", 1), options.get("dilation", (1, 1))
    (kh, kw), (h, w), k = kernel, size, math.prod(kernel) * c // groups
    p, q = (
        (n + 2 * pad - d * (length - 1) - 1) // step + 1
        for n, pad, d, length, step in zip(size, padding, dilation, kernel, stride, strict=True)
    )
    rows = options.get("rows")
    if rows is None:
        if levels == "int8":
            rows = rng.integers(-127, 128, (o, k))
        else:
            rows = rng.choice([-1, 1], (o, k))
            if levels == "ternary":
                rows *= rng.random((o, k)) < options.get("density", 0.5)
    l = int(rng.integers(0, 3))
    most = (1 << 31 - l) - 1 - 128 * int(abs(rows.astype(np.int64)).sum(1).max(initial=0))
    b = rng.integers(-min(most, 3000), min(most, 3000) + 1, o)
    q31, s = rng.integers(1 << 30, 1 << 31, o), rng.integers(33, 48, o)
    constant = rng.random(o) < 0.2
    lo = options.get("lo", -128)
    q31, s, b = np.where(constant, 0, q31), np.where(constant, 33, s), np.where(constant, rng.integers(lo, 128, o), b)
    return Layer(
        *(0, "layer", "conv", "conv", (), h, w, c, p, q, o, kh, kw, *stride, *dilation, *padding, groups),
        **{"lo": lo, "l": l, "rows": rows.astype(np.int8), "levels": levels, "raw": options.get("raw", False)},
        **{"b": b.astype(np.int32), "q31": q31.astype(np.int32), "s": s.astype(np.uint8)},
    )


def computed(layer, x):
    """What `layer` makes of x int8 (h, w, c), by docs/arithmetic.md: int8 (p, q, o), or int32 where it is raw."""
    inputs, outputs = layer.c // layer.groups, layer.o // layer.groups
    x, rows = x.tolist(), layer.rows.tolist()
    b, q31, s = (v.tolist() for v in (layer.b, layer.q31, layer.s))
    value = np.zeros((layer.p, layer.q, layer.o), np.int32 if layer.raw else np.int8)
    for p, q, o in itertools.product(range(layer.p), range(layer.q), range(layer.o)):
        total, first = 0, o // outputs * inputs
        for i, j in itertools.product(range(layer.kh), range(layer.kw)):
            r, c = p * layer.sy - layer.top + i * layer.dy, q * layer.sx - layer.left + j * layer.dx
            if 0 <= r < layer.h and 0 <= c < layer.w:
                at = (i * layer.kw + j) * inputs
                total += sum(a * w for a, w in zip(x[r][c][first : first + inputs], rows[o][at:], strict=False))
        total = b[o] if q31[o] == 0 else total + b[o]
        if layer.raw:
            value[p, q, o] = max(total, 0) if layer.lo == 0 else total
        else:
            y = total if q31[o] == 0 else ((total << layer.l) * q31[o] + (1 << s[o] - 1)) >> s[o]
            value[p, q, o] = min(max(y, layer.lo), 127)
    return value
