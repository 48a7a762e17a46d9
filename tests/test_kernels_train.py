"""Training kernels: a brute-force loop checks the NumPy definition, which in float64 checks every C kernel.

Bounds. A sum of K products added in any order, with or without fused multiply-add, is within K u / (1 - K u)
of the true one times the sum of the magnitudes (u = eps / 2; Higham, section 3.1).
The reference has that error too, in float64, so K eps times the sum of magnitudes bounds their difference.
Winograd's convolution has the bound of _ext/include/train_winograd.inc.h, made of its matrices' magnitudes.
"""

import hashlib
import itertools

import numpy as np
import pytest
from children import run_python

from elq_ref import kernels
from elq_ref.elq.levels import dequantize, nearest
from elq_ref.kernels import numpy_ops

pytestmark = pytest.mark.kernels

try:
    from elq_ref import _train
except ImportError:
    _train = None
needs_c = pytest.mark.skipif(_train is None, reason="the C kernels are not built")

# N C H W, O KH KW, stride, padding, dilation, groups
SMALL = [
    ((2, 3, 5, 6), (4, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((1, 2, 7, 5), (3, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((2, 1, 6, 7), (2, 5, 5), (1, 2), (2, 0), (1, 1), 1),
    ((1, 4, 5, 5), (6, 3, 2), (2, 1), (0, 1), (1, 2), 2),
    ((1, 3, 6, 6), (3, 2, 2), (3, 3), (1, 1), (1, 1), 3),  # depthwise, stride > kernel
    ((1, 2, 4, 4), (2, 6, 6), (1, 1), (1, 1), (1, 1), 1),  # kernel as large as the padded input
    ((2, 2, 5, 5), (2, 1, 1), (4, 3), (0, 0), (1, 1), 1),
    ((1, 2, 8, 7), (4, 3, 3), (2, 2), (2, 2), (2, 2), 2),
]
SHAPES = [
    *SMALL,
    ((2, 16, 17, 15), (16, 3, 3), (1, 1), (1, 1), (1, 1), 1),  # whole vectors, 3x3, stride 1: Winograd
    ((5, 16, 9, 6), (48, 3, 3), (1, 1), (0, 0), (1, 1), 1),
    ((1, 16, 9, 9), (8, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((1, 48, 5, 40), (32, 3, 3), (1, 1), (2, 3), (1, 1), 1),
    ((40, 32, 8, 8), (32, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((2, 16, 16, 16), (32, 3, 3), (2, 2), (1, 1), (1, 1), 1),
    ((3, 37, 9, 11), (70, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((1, 3, 33, 29), (20, 7, 7), (2, 2), (3, 3), (1, 1), 1),
    ((1, 3, 40, 30), (33, 11, 11), (4, 4), (2, 2), (1, 1), 1),
    ((1, 1, 28, 28), (6, 5, 5), (1, 1), (2, 2), (1, 1), 1),
    ((1, 20, 3, 60), (19, 1, 5), (1, 1), (0, 2), (1, 1), 1),
    ((2, 40, 7, 7), (40, 3, 3), (1, 1), (1, 1), (1, 1), 40),  # depthwise, beyond one vector
    ((2, 18, 9, 8), (36, 3, 3), (2, 1), (1, 1), (1, 1), 18),  # two outputs an input
    ((20, 5, 6, 5), (9, 3, 3), (1, 1), (2, 2), (1, 1), 1),
    ((33, 12, 4, 4), (24, 3, 3), (1, 1), (1, 1), (1, 1), 2),
    ((1, 8, 70, 70), (8, 3, 3), (1, 1), (1, 1), (2, 2), 1),
    ((1, 130, 5, 5), (5, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((9, 128, 6, 5), (144, 3, 3), (1, 1), (1, 1), (1, 1), 1),  # Winograd, several images a piece, outputs shared
    ((2, 64, 15, 13), (272, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((8, 256, 5, 4), (512, 3, 3), (1, 1), (1, 1), (1, 1), 1),  # Winograd's weights in two parts
    ((2, 48, 9, 7), (80, 1, 1), (2, 2), (0, 0), (1, 1), 1),
    ((2, 33, 11, 12), (33, 5, 5), (2, 2), (2, 2), (1, 1), 33),
    ((2, 48, 22, 25), (48, 3, 3), (2, 2), (1, 1), (1, 1), 48),  # depthwise, mostly away from the border
    ((1, 64, 31, 30), (64, 4, 5), (2, 3), (1, 0), (1, 2), 64),
    ((2, 72, 9, 10), (72, 3, 3), (1, 1), (1, 1), (1, 1), 18),  # few outputs a group: groups side by side in lanes
    ((1, 64, 7, 8), (32, 3, 3), (2, 2), (1, 1), (1, 1), 8),
    ((2, 12, 8, 7), (24, 5, 5), (1, 1), (2, 2), (1, 1), 6),
    ((1, 9, 6, 7), (9, 3, 2), (1, 2), (1, 0), (2, 1), 3),
    ((2, 48, 7, 6), (96, 1, 1), (1, 1), (0, 0), (1, 1), 3),  # one element: x where it is
]
DTYPES = (np.float32, np.float64)


def _name(value):
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _case(shape, kernel, geometry, dtype, seed=0):
    """x, w and a dy that fits."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape).astype(dtype)
    w = rng.standard_normal((kernel[0], shape[1] // geometry[3], *kernel[1:])).astype(dtype)
    return x, w, rng.standard_normal(numpy_ops.conv2d(x, w, *geometry).shape).astype(dtype)


def _within(got, wanted, bound):
    assert got.shape == wanted.shape
    excess = np.abs(got - wanted) - bound
    assert excess.max() <= 0, f"beyond the bound by {excess.max()} of {np.max(bound)}"


def _loop(x, w, dy, stride, padding, dilation, groups):
    """y, dx and dw by the definition of a convolution, one product at a time."""
    y, dx, dw = np.zeros_like(dy), np.zeros_like(x), np.zeros_like(w)
    per_out, per_in = w.shape[0] // groups, w.shape[1]
    for n, o, p, q in np.ndindex(*dy.shape):
        for c, i, j in np.ndindex(*w.shape[1:]):
            channel = o // per_out * per_in + c
            row = p * stride[0] - padding[0] + i * dilation[0]
            column = q * stride[1] - padding[1] + j * dilation[1]
            if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
                y[n, o, p, q] += w[o, c, i, j] * x[n, channel, row, column]
                dx[n, channel, row, column] += w[o, c, i, j] * dy[n, o, p, q]
                dw[o, c, i, j] += x[n, channel, row, column] * dy[n, o, p, q]
    return y, dx, dw


def _three(ops, x, w, dy, geometry):
    return (
        ops.conv2d(x, w, *geometry),
        ops.conv2d_dx(dy, w, x.shape, *geometry),
        ops.conv2d_dw(dy, x, w.shape, *geometry),
    )


def _terms(x, w, dy, groups):
    """Products in the sums of y, dx and dw."""
    taps = w.shape[2] * w.shape[3]
    return w.shape[1] * taps, w.shape[0] // groups * taps, dy.shape[0] * dy.shape[2] * dy.shape[3]


LANES = {"generic": 4, "avx2": 8, "avx512": 16, "neon": 4}  # of float32
# B', G and A' of F(4x4, 3x3) by the points 0, 2/3, -2/3, 3/2, -3/2, infinity.
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


def _is_winograd(isa, x, w, outputs, rows_columns, stride, dilation, groups):
    lanes = LANES["avx2" if isa == "avx512" and outputs <= 8 else isa]
    tiles = len(x) * ((rows_columns[0] + 3) // 4) * ((rows_columns[1] + 3) // 4)
    whole = x.shape[1] % lanes == w.shape[0] % lanes == 0 and tiles >= 8
    plain = w.shape[2:] == (3, 3) and stride == dilation == (1, 1) and groups == 1
    return whole and plain and x.dtype == np.float32 and min(rows_columns) > 3


def _tiles(x, size, padding, rows, columns):
    """Tiles (N, C, rows, columns, size, size) of the padded x, four pixels apart; 0 beyond it."""
    reach = 4 * rows + size, 4 * columns + size
    padded = (n + 2 * p for n, p in zip(x.shape[2:], padding, strict=True))
    room = np.zeros((*x.shape[:2], *map(max, reach, padded)))
    room[:, :, padding[0] : padding[0] + x.shape[2], padding[1] : padding[1] + x.shape[3]] = x
    windows = np.lib.stride_tricks.sliding_window_view(room, (size, size), (2, 3))
    return windows[:, :, : 4 * rows : 4, : 4 * columns : 4]


def _gamma(n):
    """What n roundings of float32 make of 1."""
    u = np.finfo(np.float32).eps / 2
    return n * u / (1 - n * u)


def _winograd_bound(x, w, rows, columns, padding):
    """gamma(C + 20) |A'| [sum_c (|G| |g| |G'|) (|B'| |d| |B|)] |A|, x and w being magnitudes."""
    tiles = _tiles(x, 6, padding, (rows + 3) // 4, (columns + 3) // 4)
    d, g = abs(B) @ tiles @ abs(B).T, abs(G) @ w @ abs(G).T
    products = np.einsum("ncpqij,ocij->nopqij", d, g)
    y = (abs(A) @ products @ abs(A).T).transpose(0, 1, 2, 4, 3, 5)
    y = y.reshape(*y.shape[:2], 4 * y.shape[2], -1)[:, :, :rows, :columns]
    return _gamma(x.shape[1] + 20) * y


def _winograd_dw_bound(x, dy, padding):
    """gamma(tiles + 22) |G'| [sum (|B'| |d| |B|) (|A| |dy| |A'|)] |G|."""
    rows, columns = (dy.shape[2] + 3) // 4, (dy.shape[3] + 3) // 4
    d = abs(B) @ _tiles(x, 6, padding, rows, columns) @ abs(B).T
    e = abs(A).T @ _tiles(dy, 4, (0, 0), rows, columns) @ abs(A)
    dw = abs(G).T @ np.einsum("ncpqij,nopqij->ocij", d, e) @ abs(G)
    return _gamma(len(x) * rows * columns + 22) * dw


def _bounds(isa, x, w, dy, geometry):
    """What the errors of y, dx and dw may be."""
    wide = [np.abs(a.astype(np.float64)) for a in (x, w, dy)]
    magnitudes = _three(numpy_ops, *wide, geometry)
    terms, eps = _terms(x, w, dy, geometry[3]), np.finfo(x.dtype).eps
    bounds = [k * eps * magnitude for k, magnitude in zip(terms, magnitudes, strict=True)]
    stride, padding, dilation, groups = geometry
    x64, w64, dy64 = wide
    if _is_winograd(isa, x, w, w.shape[0], dy.shape[2:], stride, dilation, groups):
        bounds[0] = _winograd_bound(x64, w64, *dy.shape[2:], padding)
        bounds[2] = _winograd_dw_bound(x64, dy64, padding)
    if _is_winograd(isa, x, w, x.shape[1], x.shape[2:], stride, dilation, groups):
        before = tuple(2 - p for p in padding)
        turned = w64[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
        inside = dy64[:, :, max(0, -before[0]) :, max(0, -before[1]) :]  # beyond what x was padded with
        bounds[1] = _winograd_bound(inside, turned, *x.shape[2:], tuple(max(0, b) for b in before))
    return bounds


@pytest.fixture(params=["generic", "avx2", "avx512", "neon"])
def isa(request):
    """Each instruction set that this CPU has, in turn."""
    if _train is None:
        pytest.skip("the C kernels are not built")
    try:
        _train.use(request.param)
    except ValueError as error:
        pytest.skip(str(error))
    yield request.param
    _train.use()


@pytest.mark.parametrize(("shape", "kernel", "stride", "padding", "dilation", "groups"), SMALL, ids=_name)
def test_definition_is_the_brute_force_sum(shape, kernel, stride, padding, dilation, groups):
    geometry = (stride, padding, dilation, groups)
    x, w, dy = _case(shape, kernel, geometry, np.float64)
    magnitudes = _loop(abs(x), abs(w), abs(dy), *geometry)
    got3, wanted3 = _three(numpy_ops, x, w, dy, geometry), _loop(x, w, dy, *geometry)
    for got, wanted, magnitude, k in zip(got3, wanted3, magnitudes, _terms(x, w, dy, groups), strict=True):
        _within(got, wanted, k * np.finfo(np.float64).eps * magnitude)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "kernel", "stride", "padding", "dilation", "groups"), SHAPES, ids=_name)
def test_convolution(isa, shape, kernel, stride, padding, dilation, groups, dtype):
    geometry = (stride, padding, dilation, groups)
    x, w, dy = _case(shape, kernel, geometry, dtype)
    wide = [a.astype(np.float64) for a in (x, w, dy)]
    wanted3, bounds = _three(numpy_ops, *wide, geometry), _bounds(isa, x, w, dy, geometry)
    for got, wanted, bound in zip(_three(_train, x, w, dy, geometry), wanted3, bounds, strict=True):
        assert got.dtype == dtype
        _within(got, wanted, bound)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", [*SHAPES[:21:4], SHAPES[18], *SHAPES[-5:]], ids=_name)
def test_bias_is_added(isa, case, dtype):
    """One more term in every sum."""
    shape, kernel, *geometry = case
    x, w, dy = _case(shape, kernel, geometry, dtype)
    bias = np.random.default_rng(6).standard_normal(kernel[0]).astype(dtype)
    wide = [a.astype(np.float64) for a in (x, w)]
    wanted = numpy_ops.conv2d(*wide, *geometry) + bias[:, None, None]
    np.testing.assert_array_equal(numpy_ops.conv2d(*wide, *geometry, bias.astype(np.float64)), wanted)
    terms, size = w[0].size, np.abs(bias.astype(np.float64))[:, None, None]
    bound = _bounds(isa, x, w, dy, geometry)[0] * (terms + 1) / terms + (terms + 1) * np.finfo(dtype).eps * size
    _within(_train.conv2d(x, w, *geometry, bias), wanted, bound)
    with pytest.raises(ValueError, match="bias has shape"):
        _train.conv2d(x, w, *geometry, bias[1:])
    with pytest.raises(TypeError, match="one dtype"):
        _train.conv2d(x, w, *geometry, bias.astype(np.float16))


def _layouts(a):
    """The same values in other memory: channels-last, reversed rows, every second element, off by a byte."""
    yield np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    yield np.ascontiguousarray(a[:, :, ::-1])[:, :, ::-1]
    spread = np.full((*a.shape[:3], 2 * a.shape[3]), np.nan, a.dtype)
    spread[..., ::2] = a
    yield spread[..., ::2]
    memory = np.zeros(a.nbytes + 1, np.uint8)[1:]
    shifted = memory.view(a.dtype).reshape(a.shape)
    shifted[...] = a
    yield shifted
    yield np.broadcast_to(a, a.shape)  # read-only


@needs_c
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", [*SMALL[3:5], *SHAPES[8:14], SHAPES[18], *SHAPES[-7:-4], SHAPES[-1]], ids=_name)
def test_bits_do_not_depend_on_memory_layout(isa, case, dtype):
    shape, kernel, *geometry = case
    x, w, dy = _case(shape, kernel, geometry, dtype)
    wanted = _three(_train, x, w, dy, geometry)
    for arrays in zip(_layouts(x), _layouts(w), _layouts(dy), strict=True):
        for got, same in zip(_three(_train, *arrays, geometry), wanted, strict=True):
            np.testing.assert_array_equal(got, same)


def test_nan_reaches_every_output_that_sees_it(isa):
    x = np.random.default_rng(1).standard_normal((2, 20, 9, 9)).astype(np.float32)
    w = np.random.default_rng(2).standard_normal((20, 20, 3, 3)).astype(np.float32)
    x[1, 7, 4, 4] = np.nan
    geometry = ((1, 1), (1, 1), (1, 1), 1)
    y = _train.conv2d(x, w, *geometry)
    assert np.isnan(y[1, :, 3:6, 3:6]).all()
    assert np.isfinite(y[0]).all()
    assert np.isnan(_train.conv2d_dw(y, x, w.shape, *geometry)).all()
    ones = np.ones(20, np.float32)
    for relu in (False, True):
        z, mean, var = _train.batch_norm(x, ones, ones, 1e-5, None, relu)
        assert np.isnan(z[:, 7]).all()
        assert np.isnan([mean[7], var[7]]).all()
        assert np.isfinite(np.delete(z, 7, 1)).all()
        assert np.isnan(_train.scale_shift(x, ones, ones, None, relu)[1, 7, 4, 4])


# ---------------------------------------------------------------------------------------- batch normalization

NORM_SHAPES = [(4, 3, 5, 5), (7, 16, 4, 3), (5, 33), (2, 64, 8, 8), (2, 1, 1, 1), (130, 20, 3, 1)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", NORM_SHAPES, ids=_name)
@pytest.mark.parametrize(("with_residual", "relu"), [*itertools.product((False, True), repeat=2)])
def test_batch_norm(isa, shape, dtype, with_residual, relu):
    """Sums run in float64, so in float32 only rounding is left of them: 4 eps for the last operations."""
    rng = np.random.default_rng(3)
    x = (rng.standard_normal(shape) + 3).astype(dtype)
    residual = rng.standard_normal(shape).astype(dtype) if with_residual else None
    dy = rng.standard_normal(shape).astype(dtype)
    gamma, beta = rng.standard_normal((2, shape[1])).astype(dtype)
    axes, column = (0, *range(2, len(shape))), (-1,) + (1,) * (len(shape) - 2)
    count = x.size // shape[1]
    wide = [None if a is None else a.astype(np.float64) for a in (x, gamma, beta, residual, dy)]
    x64, gamma64, beta64, residual64, dy64 = wide
    eps = 4 * np.finfo(dtype).eps + 4 * count * np.finfo(np.float64).eps

    y, mean, var = _train.batch_norm(x, gamma, beta, 1e-5, residual, relu)
    wanted_y, wanted_mean, wanted_var = numpy_ops.batch_norm(x64, gamma64, beta64, 1e-5, residual64, relu)
    first = x64[(slice(1), slice(None)) + (slice(1),) * (len(shape) - 2)]
    spread = np.square(x64 - first).mean(axes)  # what the sum of squares adds up
    _within(mean, wanted_mean, eps * np.abs(x64).mean(axes))
    _within(var, wanted_var, eps * (wanted_var + spread))
    scale = np.abs(gamma64) / np.sqrt(wanted_var + 1e-5)
    error = 1 + spread / (wanted_var + 1e-5) * count * np.finfo(np.float64).eps / eps  # that of var
    magnitude = (np.abs(x64) + np.abs(wanted_mean).reshape(column)) * (scale * error).reshape(column)
    magnitude += np.abs(beta64).reshape(column) + (0 if residual is None else np.abs(residual64))
    _within(y, wanted_y, eps * magnitude)

    got = _train.batch_norm_backward(dy, y, x, gamma, mean, var, 1e-5, with_residual, relu)
    given = [a.astype(np.float64) for a in (dy, y, x, gamma, mean, var)]
    wanted = numpy_ops.batch_norm_backward(*given, 1e-5, with_residual, relu)
    dz = np.abs(np.where(y > 0, dy64, 0) if relu else dy64)
    inverse = 1 / np.sqrt(given[5] + 1e-5)
    xhat = np.abs(x64 - given[4].reshape(column)) * inverse.reshape(column)
    dgamma, dbeta = (dz * xhat).sum(axes), dz.sum(axes)
    dx = dz + dbeta.reshape(column) / count + xhat * dgamma.reshape(column) / count
    _within(got[0], wanted[0], eps * dx * (np.abs(gamma64) * inverse).reshape(column))
    _within(got[1], wanted[1], eps * dgamma)
    _within(got[2], wanted[2], eps * dbeta)
    if with_residual:
        np.testing.assert_array_equal(got[3], wanted[3])
    else:
        assert got[3] is None

    z = _train.scale_shift(x, gamma, beta, residual, relu)
    magnitude = np.abs(x64 * gamma64.reshape(column)) + np.abs(beta64).reshape(column)
    magnitude += 0 if residual is None else np.abs(residual64)
    _within(z, numpy_ops.scale_shift(x64, gamma64, beta64, residual64, relu), eps * magnitude)
    for a in (y, z, got[0]):
        assert a.dtype == dtype


def test_batch_norm_keeps_a_small_variance_beside_a_large_mean(isa):
    x = (np.random.default_rng(4).standard_normal((64, 5, 4, 4)) + 4096).astype(np.float32)
    _, mean, var = _train.batch_norm(x, *np.ones((2, 5), np.float32), 1e-5)
    np.testing.assert_allclose(mean, x.mean((0, 2, 3), dtype=np.float64), rtol=1e-7)
    np.testing.assert_allclose(var, x.var((0, 2, 3), dtype=np.float64), rtol=1e-6)


# ------------------------------------------------------------------------------- max pooling, ReLU, sums

# x, kernel, stride
POOLS = [
    ((2, 3, 7, 6), (2, 2), (2, 2)),
    ((1, 6, 9, 11), (3, 3), (2, 2)),  # windows overlap, the last row and column are not seen
    ((3, 16, 6, 8), (2, 2), (2, 2)),
    ((2, 21, 5, 7), (3, 2), (1, 2)),
    ((1, 40, 4, 4), (4, 4), (1, 1)),
    ((2, 1, 8, 9), (2, 3), (3, 1)),
    ((2, 35, 3, 3), (1, 1), (2, 2)),
]


def _pool_loop(x, dy, kernel, stride):
    """y, place and dx by the definition, one window at a time."""
    y, place, dx = np.empty(dy.shape, x.dtype), np.empty(dy.shape, np.uint8), np.zeros_like(x)
    for n, c, p, q in np.ndindex(*dy.shape):
        top, left = p * stride[0], q * stride[1]
        seen = x[n, c, top : top + kernel[0], left : left + kernel[1]].ravel()
        nans = np.flatnonzero(np.isnan(seen))
        place[n, c, p, q] = k = nans[-1] if len(nans) else np.argmax(seen)
        y[n, c, p, q] = seen[k]
    for k in range(kernel[0] * kernel[1]):  # the order of the sums
        for n, c, p, q in np.argwhere(place == k):
            dx[n, c, p * stride[0] + k // kernel[1], q * stride[1] + k % kernel[1]] += dy[n, c, p, q]
    return y, place, dx


def _pool_case(shape, kernel, stride, dtype):
    """x with equals, zeros of both signs and a NaN, and a dy that fits."""
    rng = np.random.default_rng(7)
    x = rng.integers(-2, 3, shape).astype(dtype)
    x.ravel()[rng.integers(x.size)] = np.nan
    x.ravel()[rng.integers(x.size)] = -0.0
    return x, rng.standard_normal(numpy_ops.max_pool(x, kernel, stride)[0].shape).astype(dtype)


def _pool(ops, x, dy, kernel, stride):
    y, place = ops.max_pool(x, kernel, stride)
    return y, place, ops.max_pool_backward(dy, place, x.shape, kernel, stride)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "kernel", "stride"), POOLS, ids=_name)
def test_max_pool_definition_is_the_loop(shape, kernel, stride, dtype):
    x, dy = _pool_case(shape, kernel, stride, dtype)
    wanted3 = _pool_loop(x, dy, kernel, stride)
    for got, wanted in zip(_pool(numpy_ops, x, dy, kernel, stride), wanted3, strict=True):
        assert got.dtype == wanted.dtype
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "kernel", "stride"), POOLS, ids=_name)
def test_max_pool(isa, shape, kernel, stride, dtype):
    """To the bit, from any memory."""
    x, dy = _pool_case(shape, kernel, stride, dtype)
    wanted3 = _pool(numpy_ops, x, dy, kernel, stride)
    for x_view, dy_view in zip(_layouts(x), _layouts(dy), strict=True):
        for got, wanted in zip(_pool(_train, x_view, dy_view, kernel, stride), wanted3, strict=True):
            assert got.dtype == wanted.dtype
            np.testing.assert_array_equal(np.signbit(got), np.signbit(wanted))
            np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3, 5, 4, 6), (2, 3, 3, 3), (7, 10), (1,), (40_001,), (2, 0)], ids=_name)
def test_relu(isa, shape, dtype):
    rng = np.random.default_rng(8)
    x, dy = rng.standard_normal((2, *shape)).astype(dtype)
    if x.size:
        x.flat[0] = np.nan
    x.flat[1:2] = 0
    y = _train.relu(x)
    np.testing.assert_array_equal(y, np.where(np.isnan(x) | (x > 0), x, 0))
    np.testing.assert_array_equal(y, numpy_ops.relu(x))
    dx = np.where(x > 0, dy, 0)
    np.testing.assert_array_equal(numpy_ops.relu_backward(dy, y), dx)
    np.testing.assert_array_equal(_train.relu_backward(dy, y), dx)
    if len(shape) == 4:
        for x_view, dy_view in itertools.product(_layouts(x), _layouts(dy)):
            z = _train.relu(x_view)
            np.testing.assert_array_equal(z, y)
            np.testing.assert_array_equal(_train.relu_backward(dy_view, z), dx)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", NORM_SHAPES, ids=_name)
def test_channel_sums(isa, shape, dtype):
    """float64 sums, so that float32 keeps only the last rounding."""
    x = np.random.default_rng(9).standard_normal(shape).astype(dtype)
    axes = (0, *range(2, len(shape)))
    magnitude = np.abs(x).sum(axes, dtype=np.float64)
    bound = np.finfo(dtype).eps * magnitude + x.size / shape[1] * np.finfo(np.float64).eps * magnitude
    for ops in (_train, numpy_ops):
        got = ops.channel_sums(x)
        assert got.dtype == dtype
        _within(got, x.sum(axes, dtype=np.float64), bound)


# ---------------------------------------------------------------------------------------- weights on levels


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ternary", [True, False])
@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("scale", [0.7, 0.0, "denormal", np.inf])
def test_quantize_is_the_nearest_level_to_the_bit(dtype, ternary, per_channel, scale):
    """C, its definition and the two steps of elq_ref.elq.levels, on edges and on more than one piece of work."""
    rng = np.random.default_rng(10)
    w = rng.standard_normal((3, 20_001)).astype(dtype)
    alpha = (0.5 + rng.random((3 if per_channel else 1, 1))).astype(dtype)
    alpha[0] = np.finfo(dtype).smallest_subnormal if scale == "denormal" else scale
    w[0, :8] = 0, -0.0, np.nan, alpha[0, 0] / 2, -alpha[0, 0] / 2, alpha[0, 0], -alpha[0, 0], np.inf
    with np.errstate(invalid="ignore"):
        wanted = dequantize(nearest(w, alpha, "ternary" if ternary else "binary"), alpha)
        results = [quantize(w, alpha, ternary) for quantize in (numpy_ops.quantize, kernels.quantize)]
        results.append(kernels.quantize(np.asfortranarray(w), alpha, ternary))
    if scale == 0.7:
        row, a = wanted[0, :8], alpha[0, 0]
        np.testing.assert_array_equal(row, [0, 0, 0, 0, 0, a, -a, a] if ternary else [a, a, -a, a, -a, a, -a, a])
    bits = np.uint32 if dtype == np.float32 else np.uint64
    for got in results:
        assert got.dtype == dtype
        np.testing.assert_array_equal(np.isnan(got), np.isnan(wanted))
        np.testing.assert_array_equal(got.view(bits)[~np.isnan(got)], wanted.view(bits)[~np.isnan(wanted)])


# --------------------------------------------------------------------------------------- choice and refusals


def _digest():
    """A hash of the bits of every kernel on shapes with several pieces of work."""
    digest = hashlib.sha256()
    for dtype in DTYPES:
        for shape, kernel, *geometry in SHAPES:
            for a in _three(_train, *_case(shape, kernel, geometry, dtype), geometry):
                digest.update(np.ascontiguousarray(a).tobytes())
        x, residual = np.random.default_rng(5).standard_normal((2, 9, 21, 8, 8)).astype(dtype)
        ones = np.ones(21, dtype)
        y, mean, var = _train.batch_norm(x, ones, ones, 1e-5, residual, True)
        gradients = _train.batch_norm_backward(residual, y, x, ones, mean, var, 1e-5, True, True)
        pool = _pool(_train, x, numpy_ops.max_pool(residual, (3, 3), (2, 2))[0], (3, 3), (2, 2))
        for a in (y, mean, var, *gradients, *pool, _train.relu(x), _train.channel_sums(x)):
            digest.update(np.ascontiguousarray(a).tobytes())
    return digest.hexdigest()


@needs_c
@pytest.mark.parametrize("word", ["", "generic"])
def test_bits_do_not_depend_on_threads(word):
    code = "import test_kernels_train as t; print(t._digest())"
    runs = [run_python(code, ELQ_NUM_THREADS=str(n), ELQ_ISA=word) for n in (1, 2, 3)]
    assert runs[0].returncode == 0, runs[0].stderr
    assert len({run.stdout for run in runs}) == 1


@needs_c
@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"ELQ_ISA": "sse9"}, ["ValueError", "'sse9'", "generic, avx2, avx512, avx512vnni, neon, dotprod"]),
        ({"ELQ_NUM_THREADS": "many"}, ["ValueError", "'many'", "1 to 64"]),
        ({"ELQ_NUM_THREADS": "0"}, ["ValueError", "'0'", "1 to 64"]),
    ],
)
def test_wrong_words_in_the_environment_are_named(env, words):
    run = run_python("import elq_ref.kernels", **env)
    assert run.returncode != 0
    assert all(word in run.stderr.splitlines()[-1] for word in words), run.stderr


@needs_c
def test_mixed_types_and_shapes_that_do_not_fit_are_refused():
    x, w, dy = _case((2, 4, 5, 5), (6, 3, 3), ((1, 1), (1, 1), (1, 1), 2), np.float32)
    with pytest.raises(TypeError, match="float32, float64"):
        _train.conv2d(x, w.astype(np.float64), groups=2)
    with pytest.raises(TypeError, match="int64"):
        _train.conv2d(x.astype(np.int64), w.astype(np.int64), groups=2)
    with pytest.raises(ValueError, match=r"\(2, 4, 5, 5\) with w \(6, 2, 3, 3\) in 1 group"):
        _train.conv2d(x, w)
    with pytest.raises(ValueError, match="larger than the padded input"):
        _train.conv2d(x, w, dilation=(3, 3), groups=2)
    with pytest.raises(ValueError, match=r"dy has shape \(2, 6, 5, 5\), wanted \(2, 6, 3, 3\)"):
        _train.conv2d_dx(dy, w, x.shape, groups=2)
    with pytest.raises(ValueError, match="residual has shape"):
        _train.scale_shift(x, *np.ones((2, 4), np.float32), dy)
    with pytest.raises(ValueError, match=r"max_pool of x \(2, 4, 5, 5\) with kernel \(6, 1\)"):
        _train.max_pool(x, (6, 1), (1, 1))
    with pytest.raises(ValueError, match=r"place has shape \(1, 4, 2, 2\), wanted \(2, 4, 2, 2\)"):
        _train.max_pool_backward(x[:, :, :2, :2], np.zeros((1, 4, 2, 2), np.uint8), x.shape, (2, 2), (2, 2))
    with pytest.raises(ValueError, match="dy has shape"):
        _train.relu_backward(x, x[:1])
    with pytest.raises(ValueError, match=r"alpha has shape \(2,\), w \(6, 2, 3, 3\)"):
        _train.quantize(w, np.ones(2, np.float32), True)
    with pytest.raises(TypeError, match="float32, float64"):
        _train.quantize(w, np.ones((1, 1, 1, 1)), True)


def test_info_says_what_runs():
    info = kernels.info()
    assert set(info) == {"kernel", "threads", "reason"}
    if _train is None:
        assert info["kernel"] == "NumPy"
        assert "not built" in info["reason"]
    else:
        assert info["kernel"] == f"C {_train.isa()}"
        assert info["reason"] is None
        assert 1 <= info["threads"] <= 64
