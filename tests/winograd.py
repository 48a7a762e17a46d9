"""Winograd's F(4x4, 3x3) by the points 0, 2/3, -2/3, 3/2, -3/2, infinity: its matrices, and how large its terms are.

The matrices are not copied from the kernels: they follow from the points by interpolation, in fractions. Polynomials of
degree 5 are known by their values at 5 points and their leading coefficient, which makes the product of one with 4 and
one with 3 coefficients; its transpose is the correlation of 6 inputs with 3 weights. The kernels' matrices differ from
these by factors that move from one row to another, which leaves the magnitudes below alone.
"""

from fractions import Fraction

import numpy as np

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


A, B, G = (np.abs(m.astype(np.float64)) for m in matrices())


def gamma(n):
    """What n roundings of float32 make of 1."""
    u = np.finfo(np.float32).eps / 2
    return n * u / (1 - n * u)


def _tiles(x, size, padding, rows, columns):
    """Tiles (N, C, rows, columns, size, size) of the padded x, four pixels apart; 0 beyond it."""
    reach = 4 * rows + size, 4 * columns + size
    padded = (n + 2 * p for n, p in zip(x.shape[2:], padding, strict=True))
    room = np.zeros((*x.shape[:2], *map(max, reach, padded)))
    room[:, :, padding[0] : padding[0] + x.shape[2], padding[1] : padding[1] + x.shape[3]] = x
    windows = np.lib.stride_tricks.sliding_window_view(room, (size, size), (2, 3))
    return windows[:, :, : 4 * rows : 4, : 4 * columns : 4]


def output_magnitude(x, w, rows, columns, padding):
    """|A'| [sum_c (|G| |g| |G'|) (|B'| |d| |B|)] |A| of each output (N, O, rows, columns); magnitudes
    x (N, C, H, W) and w (O, C, 3, 3)."""
    d = B @ _tiles(x, 6, padding, (rows + 3) // 4, (columns + 3) // 4) @ B.T
    products = np.einsum("ncpqij,ocij->nopqij", d, G @ w @ G.T)
    y = (A.T @ products @ A).transpose(0, 1, 2, 4, 3, 5)
    return y.reshape(*y.shape[:2], 4 * y.shape[2], -1)[:, :, :rows, :columns]


def weight_magnitude(x, dy, padding):
    """|G'| [sum over tiles (|B'| |d| |B|) (|A| |dy| |A'|)] |G| of each weight; x and dy are magnitudes."""
    rows, columns = (dy.shape[2] + 3) // 4, (dy.shape[3] + 3) // 4
    d = B @ _tiles(x, 6, padding, rows, columns) @ B.T
    e = A @ _tiles(dy, 4, (0, 0), rows, columns) @ A.T
    return G.T @ np.einsum("ncpqij,nopqij->ocij", d, e) @ G
