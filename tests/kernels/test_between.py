"""The training kernels between convolutions: normalization, pooling, ReLU, sums, weights on levels.

Beside NumPy in float64 or a brute-force loop; bounds as in test_kernels_train.py.
"""

import itertools
import math

import numpy as np
import pytest
from train_kernels import DTYPES, _train, layouts, name_of, pool, within

from elq_ref import kernels
from elq_ref.elq.levels import dequantize, nearest_codes
from elq_ref.kernels import numpy_ops

pytestmark = pytest.mark.kernels

# ---------------------------------------------------------------------------------------- batch normalization

NORM_SHAPES = [(4, 3, 5, 5), (7, 16, 4, 3), (5, 33), (2, 64, 8, 8), (2, 1, 1, 1), (130, 20, 3, 1)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", NORM_SHAPES, ids=name_of)
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
    within(mean, wanted_mean, eps * np.abs(x64).mean(axes))
    within(var, wanted_var, eps * (wanted_var + spread))
    scale = np.abs(gamma64) / np.sqrt(wanted_var + 1e-5)
    error = 1 + spread / (wanted_var + 1e-5) * count * np.finfo(np.float64).eps / eps  # that of var
    magnitude = (np.abs(x64) + np.abs(wanted_mean).reshape(column)) * (scale * error).reshape(column)
    magnitude += np.abs(beta64).reshape(column) + (0 if residual is None else np.abs(residual64))
    within(y, wanted_y, eps * magnitude)

    got = _train.batch_norm_backward(dy, y, x, gamma, mean, var, 1e-5, with_residual, relu)
    given = [a.astype(np.float64) for a in (dy, y, x, gamma, mean, var)]
    wanted = numpy_ops.batch_norm_backward(*given, 1e-5, with_residual, relu)
    dz = np.abs(np.where(y > 0, dy64, 0) if relu else dy64)
    inverse = 1 / np.sqrt(given[5] + 1e-5)
    xhat = np.abs(x64 - given[4].reshape(column)) * inverse.reshape(column)
    dgamma, dbeta = (dz * xhat).sum(axes), dz.sum(axes)
    dx = dz + dbeta.reshape(column) / count + xhat * dgamma.reshape(column) / count
    within(got[0], wanted[0], eps * dx * (np.abs(gamma64) * inverse).reshape(column))
    within(got[1], wanted[1], eps * dgamma)
    within(got[2], wanted[2], eps * dbeta)
    if with_residual:
        np.testing.assert_array_equal(got[3], wanted[3])
    else:
        assert got[3] is None

    z = _train.scale_shift(x, gamma, beta, residual, relu)
    magnitude = np.abs(x64 * gamma64.reshape(column)) + np.abs(beta64).reshape(column)
    magnitude += 0 if residual is None else np.abs(residual64)
    within(z, numpy_ops.scale_shift(x64, gamma64, beta64, residual64, relu), eps * magnitude)
    for a in (y, z, got[0]):
        assert a.dtype == dtype


def test_batch_norm_keeps_a_small_variance_beside_a_large_mean(isa):
    x = (np.random.default_rng(4).standard_normal((64, 5, 4, 4)) + 4096).astype(np.float32)
    _, mean, var = _train.batch_norm(x, *np.ones((2, 5), np.float32), 1e-5)
    np.testing.assert_allclose(mean, x.mean((0, 2, 3), dtype=np.float64), rtol=1e-7)
    np.testing.assert_allclose(var, x.var((0, 2, 3), dtype=np.float64), rtol=1e-6)


# ------------------------------------------------------------------------------- max pooling, ReLU, sums

# x, kernel, stride, padding
NONE = (0, 0, 0, 0)
POOLS = [
    ((2, 3, 7, 6), (2, 2), (2, 2), NONE),
    ((1, 6, 9, 11), (3, 3), (2, 2), NONE),  # windows overlap, the last row and column are not seen
    ((3, 16, 6, 8), (2, 2), (2, 2), NONE),
    ((2, 21, 5, 7), (3, 2), (1, 2), NONE),
    ((1, 40, 4, 4), (4, 4), (1, 1), NONE),
    ((2, 1, 8, 9), (2, 3), (3, 1), NONE),
    ((2, 35, 3, 3), (1, 1), (2, 2), NONE),
    ((2, 24, 9, 8), (3, 3), (2, 2), (1, 1, 1, 1)),
    ((1, 5, 6, 7), (3, 2), (1, 2), (2, 0, 1, 1)),
    ((2, 37, 4, 3), (5, 4), (1, 1), (3, 2, 2, 3)),
    ((1, 1, 1, 1), (2, 2), (1, 1), (1, 0, 0, 1)),
]


def _pool_loop(x, dy, kernel, stride, padding):
    """y, place and dx by the definition, one window at a time."""
    y, place, dx = np.empty(dy.shape, x.dtype), np.empty(dy.shape, np.uint8), np.zeros_like(x)
    for n, c, p, q in np.ndindex(*dy.shape):
        top, left = p * stride[0] - padding[0], q * stride[1] - padding[1]
        places = [(i, j) for i, j in np.ndindex(*kernel) if 0 <= top + i < x.shape[2] and 0 <= left + j < x.shape[3]]
        seen = np.array([x[n, c, top + i, left + j] for i, j in places])
        nans = np.flatnonzero(np.isnan(seen))
        k = nans[-1] if len(nans) else np.argmax(seen)
        place[n, c, p, q] = places[k][0] * kernel[1] + places[k][1]
        y[n, c, p, q] = seen[k]
    for k in range(kernel[0] * kernel[1]):  # the order of the sums
        for n, c, p, q in np.argwhere(place == k):
            row, column = p * stride[0] - padding[0] + k // kernel[1], q * stride[1] - padding[1] + k % kernel[1]
            dx[n, c, row, column] += dy[n, c, p, q]
    return y, place, dx


def _pool_case(shape, kernel, stride, padding, dtype):
    """x with equals, zeros of both signs and a NaN, and a dy that fits."""
    rng = np.random.default_rng(7)
    x = rng.integers(-2, 3, shape).astype(dtype)
    x.ravel()[rng.integers(x.size)] = np.nan
    x.ravel()[rng.integers(x.size)] = -0.0
    return x, rng.standard_normal(numpy_ops.max_pool(x, kernel, stride, padding)[0].shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "kernel", "stride", "padding"), POOLS, ids=name_of)
def test_max_pool_definition_is_the_loop(shape, kernel, stride, padding, dtype):
    x, dy = _pool_case(shape, kernel, stride, padding, dtype)
    wanted3 = _pool_loop(x, dy, kernel, stride, padding)
    for got, wanted in zip(pool(numpy_ops, x, dy, kernel, stride, padding), wanted3, strict=True):
        assert got.dtype == wanted.dtype
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "kernel", "stride", "padding"), POOLS, ids=name_of)
def test_max_pool(isa, shape, kernel, stride, padding, dtype):
    """To the bit, from any memory."""
    x, dy = _pool_case(shape, kernel, stride, padding, dtype)
    wanted3 = pool(numpy_ops, x, dy, kernel, stride, padding)
    for x_view, dy_view in zip(layouts(x), layouts(dy), strict=True):
        for got, wanted in zip(pool(_train, x_view, dy_view, kernel, stride, padding), wanted3, strict=True):
            assert got.dtype == wanted.dtype
            np.testing.assert_array_equal(np.signbit(got), np.signbit(wanted))
            np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3, 5, 4, 6), (2, 3, 3, 3), (7, 10), (1,), (40_001,), (2, 0)], ids=name_of)
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
        for x_view, dy_view in itertools.product(layouts(x), layouts(dy)):
            z = _train.relu(x_view)
            np.testing.assert_array_equal(z, y)
            np.testing.assert_array_equal(_train.relu_backward(dy_view, z), dx)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", NORM_SHAPES, ids=name_of)
def test_channel_sums(isa, shape, dtype):
    """float64 sums, so that float32 keeps only the last rounding."""
    x = np.random.default_rng(9).standard_normal(shape).astype(dtype)
    axes = (0, *range(2, len(shape)))
    magnitude = np.abs(x).sum(axes, dtype=np.float64)
    bound = np.finfo(dtype).eps * magnitude + x.size / shape[1] * np.finfo(np.float64).eps * magnitude
    for ops in (_train, numpy_ops):
        got = ops.channel_sums(x)
        assert got.dtype == dtype
        within(got, x.sum(axes, dtype=np.float64), bound)


# ---------------------------------------------------------------------------------------- weights on levels


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ternary", [True, False])
@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("scale", [0.7, 0.0, "denormal", "odd denormal", np.inf])
def test_the_nearest_level_is_that_of_its_code_to_the_bit(dtype, ternary, per_channel, scale):
    """C, its definition and the two steps of elq_ref.elq.levels, on edges and on more than one piece of work."""
    rng = np.random.default_rng(10)
    w = rng.standard_normal((3, 20_001)).astype(dtype)
    alpha = (0.5 + rng.random((3 if per_channel else 1, 1))).astype(dtype)
    least = np.finfo(dtype).smallest_subnormal  # three of it have a half that rounds up
    alpha[0] = {"denormal": least, "odd denormal": 3 * least}.get(scale, scale)
    w[0, :8] = 0, -0.0, np.nan, alpha[0, 0] / 2, -alpha[0, 0] / 2, alpha[0, 0], -alpha[0, 0], np.inf
    with np.errstate(invalid="ignore"):
        wanted = dequantize(nearest_codes(w, alpha, "ternary" if ternary else "binary"), alpha)
        results = [nearest(w, alpha, ternary) for nearest in (numpy_ops.nearest_level, kernels.nearest_level)]
        results.append(kernels.nearest_level(np.asfortranarray(w), alpha, ternary))
    if scale == 0.7:
        row, a = wanted[0, :8], alpha[0, 0]
        np.testing.assert_array_equal(row, [0, 0, 0, 0, 0, a, -a, a] if ternary else [a, a, -a, a, -a, a, -a, a])
    bits = np.uint32 if dtype == np.float32 else np.uint64
    for got in results:
        assert got.dtype == dtype
        np.testing.assert_array_equal(np.isnan(got), np.isnan(wanted))
        np.testing.assert_array_equal(got.view(bits)[~np.isnan(got)], wanted.view(bits)[~np.isnan(wanted)])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("gradients", [0, 1, 2])
@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize("freezes", [True, False])
def test_the_gradient_of_the_objective_is_its_formula(dtype, gradients, squared, freezes):
    """C is NumPy's to the bit, on more than one piece of work, and both are the formula in float64."""
    rng = np.random.default_rng(11)
    w, w_hat, *grads = rng.standard_normal((2 + gradients, 5, 7, 1003)).astype(dtype)
    w_hat[0, 0, :9] = w[0, 0, :9]
    mix = list(zip([0.7, -1.3], grads, strict=False))
    frozen = rng.random(w.shape) < 0.3 if freezes else None
    gap = (w - w_hat).astype(np.float64)
    exact = sum((factor * g.astype(np.float64) for factor, g in mix), 0.03 * (2 * gap if squared else np.sign(gap)))
    error = math.fsum(abs(gap.ravel()) ** (2 if squared else 1))
    results = [of(mix, np.asfortranarray(w), w_hat, 0.03, squared, frozen) for of in OBJECTIVES]
    for dw, found in results:
        assert dw.dtype == dtype
        assert dw.tobytes() == results[0][0].tobytes()
        within(dw, exact if frozen is None else np.where(frozen, 0, exact), 4 * np.finfo(dtype).eps * (2 + abs(exact)))
        assert frozen is None or not dw[frozen].any()
        assert found == pytest.approx(error, rel=1e-13)


@pytest.mark.parametrize("squared", [True, False])
def test_what_is_no_number_stays_none_in_the_gradient_of_the_objective(squared):
    w, w_hat = np.array([np.nan, np.inf, -np.inf, 1.0]), np.array([1.0, np.inf, 1.0, np.nan])
    with np.errstate(invalid="ignore"):
        results = [of([(1.0, np.ones(4))], w, w_hat, 0.5, squared, np.array([0, 0, 0, 1], bool)) for of in OBJECTIVES]
    for dw, error in results:
        np.testing.assert_array_equal(dw, [np.nan, np.nan, -np.inf if squared else 0.5, 0])
        assert np.isnan(error)


OBJECTIVES = (numpy_ops.objective_gradient, kernels.objective_gradient)
