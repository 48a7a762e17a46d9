"""Winograd's kernels within the bound of every single output that infer_f32_winograd.inc.h states.

The matrices are not copied from there: they follow from the points by interpolation, in fractions. Polynomials of
degree 5 are known by their values at 5 points and their leading coefficient, which makes the product of one with 4 and
one with 3 coefficients; its transpose is the correlation of 6 inputs with 3 weights.
"""

from fractions import Fraction

import numpy as np
import pytest
from test_kernels_infer import KERNELS, U, _infer, sums

from elq_ref.runtime.codes import pack_codes

pytestmark = [
    pytest.mark.kernels,
    pytest.mark.skipif(_infer is None, reason="the extension _infer is not built"),
]
POINTS = [Fraction(0), Fraction(2, 3), Fraction(-2, 3), Fraction(3, 2), Fraction(-3, 2)]


def times(p, q):
    """Product of two polynomials, lowest coefficient first."""
    product = [Fraction(0)] * (len(p) + len(q) - 1)
    for i, a in enumerate(p):
        for j, b in enumerate(q):
            product[i + j] += a * b
    return product


def matrices():
    """A (6, 4), B (6, 6), G (6, 3): y = A' [(G g) * (B' d)] with rows of A and G values of powers at the points."""
    values = lambda count: [[p**k for k in range(count)] for p in POINTS]  # noqa: E731
    infinity = lambda count: [[0] * (count - 1) + [1]]  # noqa: E731
    lagrange = []
    for p in POINTS:
        basis = [Fraction(1)]
        for other in POINTS:
            if other != p:
                basis = times(basis, [-other / (p - other), 1 / (p - other)])
        lagrange.append([*basis, 0])
    whole = [Fraction(1)]
    for p in POINTS:
        whole = times(whole, [-p, Fraction(1)])
    return [np.array(m, object) for m in (values(4) + infinity(4), [*lagrange, whole], values(3) + infinity(3))]


def test_the_matrices_are_a_correlation():
    a, b, g = matrices()
    d, w = np.array([Fraction(3), 1, 4, 1, 5, 9]), np.array([Fraction(2), 7, 1])
    y = a.T @ ((g @ w) * (b @ d))
    assert list(y) == [(d[k : k + 3] * w).sum() for k in range(4)]


def tile_bound(x, w):
    """|A'| [ sum_c (|G| |g| |G'|) * (|B'| |d| |B|) ] |A| of every output (N, P, Q, O): the tiles begin at the first."""
    a, b, g = (np.abs(m.astype(np.float64)) for m in matrices())
    n, h, width, channels = x.shape
    rows, columns = -(-h // 4), -(-width // 4)
    padded = np.zeros((n, 4 * rows + 2, 4 * columns + 2, channels))
    padded[:, 1 : h + 1, 1 : width + 1] = np.abs(x)
    u = np.einsum("ia,oabc,jb->oijc", g, np.abs(w), g)
    y = np.zeros((n, 4 * rows, 4 * columns, len(w)))
    for r in range(rows):
        for q in range(columns):
            d = padded[:, 4 * r : 4 * r + 6, 4 * q : 4 * q + 6]
            m = np.einsum("oijc,ik,nklc,jl->noij", u, b, d, b)
            y[:, 4 * r : 4 * r + 4, 4 * q : 4 * q + 4] = np.einsum("ir,noij,jq->nrqo", a, m, a)
    return y[:, :h, :width]


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
    layer = _infer.Layer("float32", levels, rows, size, *geometry, (scale, bias, -np.inf), name)
    w = codes.astype(np.float64)
    exact = scale * sums(x, w, *geometry[1:]) + bias
    n = size[2] + 20
    error = np.abs(layer(x) - exact)
    bound = n * U / (1 - n * U) * np.abs(scale) * tile_bound(x, w) + U * (np.abs(exact) + np.abs(bias))
    assert np.all(error <= bound)
    spread = np.sqrt(np.mean((exact - bias) ** 2, (0, 1, 2)))
    assert np.all(np.sqrt(np.mean(error**2, (0, 1, 2))) < 64 * U * spread)  # a constant wrong in its sixth digit is not
