"""The roundings of Winograd's F(4x4, 3x3) as our kernels do it, drawn where they happen: in the transformed tiles.

    Y = A' [ sum_c (G g G') * (B' d B) ] A

An error there reaches several outputs at once, so it is no error of their own: it is added in the tile and transformed
like what it is of. docs/onnx.md derives the sizes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from elq_ref.graph import Node

Array = np.ndarray
B = np.array(
    [
        [1, 0, -97 / 36, 0, 1, 0],
        [0, -3 / 2, -9 / 4, 2 / 3, 1, 0],
        [0, 3 / 2, -9 / 4, -2 / 3, 1, 0],
        [0, -2 / 3, -4 / 9, 3 / 2, 1, 0],
        [0, 2 / 3, -4 / 9, -3 / 2, 1, 0],
        [0, 1, 0, -97 / 36, 0, 1],
    ]
)
G = np.array([[65, 0, 0], [-27, -18, -12], [-27, 18, -12], [12, 18, 27], [12, -18, 27], [0, 0, 65]]) / 65
A = np.array(
    [
        [1, 3 / 2, 3 / 2, 2 / 3, 2 / 3, 0],
        [0, 1, -1, 1, -1, 0],
        [0, 2 / 3, 2 / 3, 3 / 2, 3 / 2, 0],
        [0, 4 / 9, -4 / 9, 9 / 4, -9 / 4, 1],
    ]
)
TRANSFORM = 6  # of one transformation along one axis, those that two results share counted twice
PRODUCTS = 2  # of C products in a sum: no more than two sums


def possible(node: Node, y: Array) -> bool:
    """Whether one of our kernels may compute this node so; y (N, O, P, Q)."""
    a = node.attributes
    return (
        node.op == "conv"
        and node.weight is not None
        and node.weight.shape[2:] == (3, 3)
        and (a["stride"], a["dilation"], a["groups"]) == ((1, 1), (1, 1), 1)
        and node.weight.shape[1] % 4 == 0
        and min(y.shape[2:]) >= 4
    )


@dataclass
class Tiles:
    """Every exact value on the way, float32: d (6, 6, T C), t, v, u (6, 6, C, O), m (6, 6, T, O), s; T tiles."""

    x: Array
    w: Array
    padding: tuple[int, int]

    def __post_init__(self) -> None:
        channels, (height, width), (top, left) = self.x.shape[1], self.x.shape[2:], self.padding
        self.size = height + 2 * top - 2, width + 2 * left - 2
        self.rows, self.columns = ((n + 3) // 4 for n in self.size)
        room = np.zeros((channels, 4 * self.rows + 2, 4 * self.columns + 2), np.float32)
        room[:, top : top + height, left : left + width] = self.x[0]
        seen = np.lib.stride_tricks.sliding_window_view(room, (6, 6), (1, 2))[:, ::4, ::4]
        self.d = seen.transpose(3, 4, 1, 2, 0).reshape(6, 6, -1)
        self.t = along(B, self.d, 0)
        self.v = along(B, self.t, 1)
        self.u = np.ascontiguousarray((G @ self.w.astype(np.float64) @ G.T).transpose(2, 3, 1, 0), np.float32)
        self.m = self.multiplied(self.v)
        self.s = along(A, self.m, 0)

    def multiplied(self, v: Array) -> Array:
        return v.reshape(6, 6, -1, self.u.shape[2]) @ self.u

    def outputs(self, y: Array) -> Array:
        """(4, 4, T, O) as (O, P, Q)."""
        y = y.reshape(4, 4, self.rows, self.columns, -1).transpose(4, 2, 0, 3, 1)
        return y.reshape(len(y), 4 * self.rows, -1)[:, : self.size[0], : self.size[1]]


def along(matrix: Array, values: Array, axis: int) -> Array:
    """`matrix` times values (6, 6, ...) along axis 0 or 1."""
    flat = values.reshape(*values.shape[:2], -1)
    matrix = matrix.astype(np.float32)
    y = (matrix @ flat.reshape(len(flat), -1)).reshape(-1, *flat.shape[1:]) if axis == 0 else matrix @ flat
    return y.reshape(*y.shape[:2], *values.shape[2:])


def signs(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """-1 or 1, float32."""
    values = rng.integers(0, 2, shape, np.int8).astype(np.float32)
    return 2 * values - 1


def drawn(x: Array, w: Array, padding: tuple[int, int], rng: np.random.Generator, draws: int) -> Iterator[Array]:
    """`draws` times an error (O, P, Q) of the convolution of x (1, C, H, W) with w (O, C, 3, 3), in units of u."""
    of = Tiles(x, w, padding)
    size = lambda count, matrix, values, axis: np.sqrt(count) * along(abs(matrix), abs(values), axis)  # noqa: E731
    t, v = size(TRANSFORM, B, of.d, 0), size(TRANSFORM, B, of.t, 1)
    s, y = size(TRANSFORM, A, of.m, 0), size(TRANSFORM, A, of.s, 1)
    m = abs(of.v).reshape(6, 6, -1, of.u.shape[2]) @ abs(of.u) + abs(of.m)
    m *= np.float32(np.sqrt(of.u.shape[2] + PRODUCTS) / 2)
    for _ in range(draws):
        d_b, d_a = (np.where(abs(a) == 1, 0, a) * signs(rng, a.shape) for a in (B, A))  # of constants
        e = along(d_b, of.d, 0) + signs(rng, t.shape) * t
        e = along(B, e, 1) + along(d_b, of.t, 1) + signs(rng, v.shape) * v
        e = of.multiplied(e) + of.v.reshape(6, 6, -1, of.u.shape[2]) @ (of.u * signs(rng, of.u.shape))
        e += signs(rng, m.shape) * m
        e = along(A, e, 0) + along(d_a, of.m, 0) + signs(rng, s.shape) * s
        e = along(A, e, 1) + along(d_a, of.s, 1) + signs(rng, y.shape) * y
        yield of.outputs(e)
