"""Convolution of the training kernels: a loop checks the NumPy definition, which in float64 checks every C kernel.

Bounds. A sum of K products added in any order, with or without fused multiply-add, is within K u / (1 - K u)
of the true one times the sum of the magnitudes (u = eps / 2; Higham, section 3.1).
The reference has that error too, in float64, so K eps times the sum of magnitudes bounds their difference.
Winograd's convolution has the bound of _ext/train/winograd_tile.inc.h, made of its matrices' magnitudes.
"""

import numpy as np
import pytest
from train_kernels import (
    DTYPES,
    SHAPES,
    SMALL,
    _train,
    conv_case,
    layouts,
    name_of,
    needs_c,
    three_convolutions,
    within,
)
from winograd import gamma, output_magnitude, weight_magnitude

from elq_ref.kernels import numpy_ops

pytestmark = pytest.mark.kernels

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


def _terms(x, w, dy, groups):
    """Products in the sums of y, dx and dw."""
    taps = w.shape[2] * w.shape[3]
    return w.shape[1] * taps, w.shape[0] // groups * taps, dy.shape[0] * dy.shape[2] * dy.shape[3]


LANES = {"generic": 4, "avx2": 8, "avx512": 16, "neon": 4}  # of float32
def _is_winograd(isa, x, w, outputs, rows_columns, stride, dilation, groups):
    lanes = LANES["avx2" if isa == "avx512" and outputs <= 8 else isa]
    tiles = len(x) * ((rows_columns[0] + 3) // 4) * ((rows_columns[1] + 3) // 4)
    whole = x.shape[1] % lanes == w.shape[0] % lanes == 0 and tiles >= 8
    plain = w.shape[2:] == (3, 3) and stride == dilation == (1, 1) and groups == 1
    return whole and plain and x.dtype == np.float32 and min(rows_columns) > 3


def _bounds(isa, x, w, dy, geometry):
    """What the errors of y, dx and dw may be."""
    wide = [np.abs(a.astype(np.float64)) for a in (x, w, dy)]
    magnitudes = three_convolutions(numpy_ops, *wide, geometry)
    terms, eps = _terms(x, w, dy, geometry[3]), np.finfo(x.dtype).eps
    bounds = [k * eps * magnitude for k, magnitude in zip(terms, magnitudes, strict=True)]
    stride, padding, dilation, groups = geometry
    x64, w64, dy64 = wide
    if _is_winograd(isa, x, w, w.shape[0], dy.shape[2:], stride, dilation, groups):
        tiles = len(x) * -(-dy.shape[2] // 4) * -(-dy.shape[3] // 4)
        bounds[0] = gamma(x.shape[1] + 20) * output_magnitude(x64, w64, *dy.shape[2:], padding)
        bounds[2] = gamma(tiles + 22) * weight_magnitude(x64, dy64, padding)
    if _is_winograd(isa, x, w, x.shape[1], x.shape[2:], stride, dilation, groups):
        before = tuple(2 - p for p in padding)
        turned = w64[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
        inside = dy64[:, :, max(0, -before[0]) :, max(0, -before[1]) :]  # beyond what x was padded with
        magnitude = output_magnitude(inside, turned, *x.shape[2:], tuple(max(0, b) for b in before))
        bounds[1] = gamma(w.shape[0] + 20) * magnitude
    return bounds


@pytest.mark.parametrize(("shape", "kernel", "stride", "padding", "dilation", "groups"), SMALL, ids=name_of)
def test_definition_is_the_brute_force_sum(shape, kernel, stride, padding, dilation, groups):
    geometry = (stride, padding, dilation, groups)
    x, w, dy = conv_case(shape, kernel, geometry, np.float64)
    magnitudes = _loop(abs(x), abs(w), abs(dy), *geometry)
    got3, wanted3 = three_convolutions(numpy_ops, x, w, dy, geometry), _loop(x, w, dy, *geometry)
    for got, wanted, magnitude, k in zip(got3, wanted3, magnitudes, _terms(x, w, dy, groups), strict=True):
        within(got, wanted, k * np.finfo(np.float64).eps * magnitude)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "kernel", "stride", "padding", "dilation", "groups"), SHAPES, ids=name_of)
def test_convolution(isa, shape, kernel, stride, padding, dilation, groups, dtype):
    geometry = (stride, padding, dilation, groups)
    x, w, dy = conv_case(shape, kernel, geometry, dtype)
    wide = [a.astype(np.float64) for a in (x, w, dy)]
    wanted3, bounds = three_convolutions(numpy_ops, *wide, geometry), _bounds(isa, x, w, dy, geometry)
    for got, wanted, bound in zip(three_convolutions(_train, x, w, dy, geometry), wanted3, bounds, strict=True):
        assert got.dtype == dtype
        within(got, wanted, bound)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", [*SHAPES[:21:4], SHAPES[18], *SHAPES[-5:]], ids=name_of)
def test_bias_is_added(isa, case, dtype):
    """One more term in every sum."""
    shape, kernel, *geometry = case
    x, w, dy = conv_case(shape, kernel, geometry, dtype)
    bias = np.random.default_rng(6).standard_normal(kernel[0]).astype(dtype)
    wide = [a.astype(np.float64) for a in (x, w)]
    wanted = numpy_ops.conv2d(*wide, *geometry) + bias[:, None, None]
    np.testing.assert_array_equal(numpy_ops.conv2d(*wide, *geometry, bias.astype(np.float64)), wanted)
    terms, size = w[0].size, np.abs(bias.astype(np.float64))[:, None, None]
    bound = _bounds(isa, x, w, dy, geometry)[0] * (terms + 1) / terms + (terms + 1) * np.finfo(dtype).eps * size
    within(_train.conv2d(x, w, *geometry, bias), wanted, bound)
    with pytest.raises(ValueError, match="bias has shape"):
        _train.conv2d(x, w, *geometry, bias[1:])
    with pytest.raises(TypeError, match="one dtype"):
        _train.conv2d(x, w, *geometry, bias.astype(np.float16))


@needs_c
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", [*SMALL[3:5], *SHAPES[8:14], SHAPES[18], *SHAPES[-7:-4], SHAPES[-1]], ids=name_of)
def test_bits_do_not_depend_on_memory_layout(isa, case, dtype):
    shape, kernel, *geometry = case
    x, w, dy = conv_case(shape, kernel, geometry, dtype)
    wanted = three_convolutions(_train, x, w, dy, geometry)
    for arrays in zip(layouts(x), layouts(w), layouts(dy), strict=True):
        for got, same in zip(three_convolutions(_train, *arrays, geometry), wanted, strict=True):
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
