"""What the tests of the inference kernels share."""

import numpy as np
import pytest

from elq_ref.graph.codes import pack_codes
from elq_ref.runtime import native

infer = native._infer
needs_infer = pytest.mark.skipif(infer is None, reason="the extension _infer is not built")
KERNELS = [] if infer is None else infer.kernels()
U = 2.0**-24
LEVELS = {"t2": "ternary", "b1": "binary", "f32": "full", "i8": "full"}


def sums(x, w, stride, padding, dilation, groups):
    """sum (N, P, Q, O) of w (O, KH, KW, C / groups) times x (N, H, W, C), tap by tap in the dtype of w."""
    (ph, pw), (sh, sw), (dh, dw) = padding, stride, dilation
    outputs, kh, kw, channels = w.shape
    x = np.pad(x.astype(w.dtype), ((0, 0), (ph, ph), (pw, pw), (0, 0)))
    rows, columns = (x.shape[1] - dh * (kh - 1) - 1) // sh + 1, (x.shape[2] - dw * (kw - 1) - 1) // sw + 1
    y = np.zeros((len(x), rows, columns, outputs), w.dtype)
    for o in range(outputs):
        first = o // (outputs // groups) * channels
        for i in range(kh):
            for j in range(kw):
                seen = x[:, i * dh :: sh, j * dw :: sw, first : first + channels][:, :rows, :columns]
                y[..., o] += (seen * w[o, i, j]).sum(-1)
    return y


def random_shape(rng):
    """size (H, W, C), outputs, kernel, stride, padding, dilation, groups."""
    kind = rng.integers(6)
    groups = int(rng.integers(1, 4)) if kind == 0 else 1
    kernel = (3, 3) if kind < 4 else tuple(map(int, rng.integers(1, 6, 2)))
    stride = tuple(map(int, rng.integers(1, 4, 2))) if kind in (0, 5) else ((2, 2) if kind == 3 else (1, 1))
    dilation = tuple(map(int, rng.integers(1, 3, 2))) if kind in (0, 5) else (1, 1)
    padding = tuple(map(int, rng.integers(0, 3, 2))) if kind in (0, 5) else (1, 1)
    channels, outputs = (int(groups * rng.integers(1, 40)) for _ in range(2))
    if kind in (1, 3):
        channels, outputs = (int(16 * rng.integers(1, 6)) for _ in range(2))
    if kind == 4:
        groups = outputs = channels
    size = [int(d * (k - 1) + rng.integers(1, 12)) for d, k in zip(dilation, kernel, strict=True)]
    return (*size, channels), outputs, kernel, stride, padding, dilation, groups


def linear_shape(rng):
    return (1, 1, int(rng.integers(1, 3000))), int(rng.integers(1, 90)), (1, 1), (1, 1), (0, 0), (1, 1), 1


def random_weights(rng, levels, shape, dtype):
    """Rows as the file holds them, and the weights (O, KH, KW, I) in `dtype`."""
    if levels == "full":
        full = rng.integers(-127, 128, shape) if dtype == np.int64 else rng.standard_normal(shape)
        full = full.astype(np.int8 if dtype == np.int64 else np.float32)
        return full.reshape(len(full), -1), full.astype(dtype)
    zeros = rng.random() if levels == "ternary" else 0
    codes = np.where(rng.random(shape) < zeros, 0, 1 - 2 * rng.integers(0, 2, shape)).astype(np.int8)
    return pack_codes(np.moveaxis(codes, -1, 1), levels), codes.astype(dtype)


def cases(name, count):
    """`count` random shapes that kernel `name` runs, with the arguments that make a PackedLayer."""
    rng = np.random.default_rng(abs(hash_of(name)))
    _, _, activations, weights = name.split("__")[0].split("_")[:4]
    activations = {"f32": "float32", "i8": "int8", "i8i32": "int8 sums"}[activations]
    found = 0
    for attempt in range(60 * count):
        geometry = (linear_shape if attempt % 4 == 3 else random_shape)(rng)
        size, outputs, kernel, stride, padding, dilation, groups = geometry
        dtype = np.float64 if activations == "float32" else np.int64
        rows, w = random_weights(rng, LEVELS[weights], (outputs, *kernel, size[2] // groups), dtype)
        arguments = (activations, LEVELS[weights], rows, size, kernel, stride, padding, dilation, groups)
        try:
            make = lambda tail, arguments=arguments: infer.PackedLayer(*arguments, tail, name)  # noqa: E731
            make(zero_tail(activations, outputs))
        except ValueError as error:
            if "does not run this layer" not in str(error):
                raise
            continue
        yield rng, make, w, size, (stride, padding, dilation, groups)
        found += 1
        if found == count:
            return
    assert found, f"{name} ran none of {60 * count} shapes"


def hash_of(name):
    return sum(ord(c) * 31**k for k, c in enumerate(name)) % 2**31


def zero_tail(activations, o):
    if activations == "float32":
        return np.zeros(o, np.float32), np.zeros(o, np.float32), -np.inf
    zero = np.zeros(o, np.int32)
    return zero, zero, np.full(o, 33, np.uint8), zero.astype(np.int8), zero.astype(np.int8), 0, None
