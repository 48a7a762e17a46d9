"""Winograd's kernels within the bound of every single output that infer/f32_winograd.inc.h states."""

from fractions import Fraction

import numpy as np
import pytest
from runtime_kernels import KERNELS, U, infer, needs_infer, sums
from winograd import gamma, matrices, output_magnitude

from elq_ref.graph.codes import pack_codes

pytestmark = [
    pytest.mark.kernels,
    needs_infer,
]


def test_the_matrices_are_a_correlation():
    a, b, g = matrices()
    d, w = np.array([Fraction(3), 1, 4, 1, 5, 9]), np.array([Fraction(2), 7, 1])
    y = a.T @ ((g @ w) * (b @ d))
    assert list(y) == [(d[k : k + 3] * w).sum() for k in range(4)]


@pytest.mark.parametrize("name", [k for k in KERNELS if "winograd" in k])
@pytest.mark.parametrize(("size", "outputs"), [((9, 14, 16), 24), ((8, 8, 64), 48), ((5, 7, 208), 17)])
def test_every_output_within_its_own_bound(name, size, outputs):
    rng = np.random.default_rng(size[0])
    levels = "ternary" if "_t2_" in name else "binary"
    codes = rng.choice([-1, 0, 1] if levels == "ternary" else [-1, 1], (outputs, 3, 3, size[2])).astype(np.int8)
    x = rng.standard_normal((3, *size)).astype(np.float32)
    scale, bias = rng.standard_normal((2, outputs)).astype(np.float32)
    rows = pack_codes(np.moveaxis(codes, -1, 1), levels)
    geometry = (3, 3), (1, 1), (1, 1), (1, 1), 1
    layer = infer.PackedLayer("float32", levels, rows, size, *geometry, (scale, bias, -np.inf), name)
    w = codes.astype(np.float64)
    exact = scale * sums(x, w, *geometry[1:]) + bias
    error = np.abs(layer(x) - exact)
    wide = np.abs(x.astype(np.float64)).transpose(0, 3, 1, 2), np.abs(w).transpose(0, 3, 1, 2)
    magnitude = output_magnitude(*wide, *size[:2], (1, 1)).transpose(0, 2, 3, 1)
    bound = gamma(size[2] + 20) * np.abs(scale) * magnitude + U * (np.abs(exact) + np.abs(bias))
    assert np.all(error <= bound)
    spread = np.sqrt(np.mean((exact - bias) ** 2, (0, 1, 2)))
    assert np.all(np.sqrt(np.mean(error**2, (0, 1, 2))) < 64 * U * spread)  # a constant wrong in its sixth digit is not
