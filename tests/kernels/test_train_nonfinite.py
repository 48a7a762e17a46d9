"""NaN, infinities and -0.0 in every place of what the training kernels read: C against its definition."""

import itertools

import numpy as np
import pytest
from train_kernels import DTYPES, _train, pool, three_convolutions

from elq_ref.kernels import numpy_ops

pytestmark = pytest.mark.kernels
SPECIAL = (np.nan, np.inf, -np.inf, -0.0)
SHAPE = (2, 5, 3, 4)


def planted(*arrays):
    """The arrays, with one special value in one place of one of them, in every way."""
    for k, value in itertools.product(range(len(arrays)), SPECIAL):
        for place in np.ndindex(*arrays[k].shape):
            other = arrays[k].copy()
            other[place] = value
            yield (*arrays[:k], other, *arrays[k + 1 :])


def same(got, wanted):
    """Equal numbers, infinities and NaNs; rounding apart."""
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def arrays(dtype, *shapes):
    rng = np.random.default_rng(31)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "window",
    [
        ((2, 2), (1, 2), (0, 0, 0, 0)),
        ((3, 2), (2, 1), (0, 0, 0, 0)),
        ((1, 1), (1, 1), (0, 0, 0, 0)),
        ((3, 2), (1, 2), (2, 0, 1, 1)),
    ],
)
def test_max_pool(isa, dtype, window):
    shapes = SHAPE, numpy_ops.max_pool(np.zeros(SHAPE), *window)[0].shape
    for x, dy in planted(*arrays(dtype, *shapes)):
        for got, wanted in zip(pool(_train, x, dy, *window), pool(numpy_ops, x, dy, *window), strict=True):
            np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("with_residual", "relu"), [*itertools.product((False, True), repeat=2)])
def test_elementwise(isa, dtype, with_residual, relu):
    """scale_shift, relu and its gradient, sums."""
    with np.errstate(invalid="ignore"):
        for x, scale, shift, residual in planted(*arrays(dtype, SHAPE, 5, 5, SHAPE)):
            given = x, scale, shift, residual if with_residual else None, relu
            same([_train.scale_shift(*given)], [numpy_ops.scale_shift(*given)])
            same([_train.channel_sums(x)], [numpy_ops.channel_sums(x)])
            np.testing.assert_array_equal(_train.relu(x), numpy_ops.relu(x))
            gradient = _train.relu_backward(residual, x)
            np.testing.assert_array_equal(gradient, numpy_ops.relu_backward(residual, x))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("relu", [False, True])
def test_batch_norm_loses_nothing(isa, dtype, relu):
    """What is not finite in the definition is not finite in C, which folds mean and scale into one line: an infinity in
    either may make more NaNs."""
    with np.errstate(invalid="ignore"):
        for x, gamma, residual, dy in planted(*arrays(dtype, SHAPE, 5, SHAPE, SHAPE)):
            given = x, gamma, gamma, 1e-5, residual, relu
            y, mean, var = numpy_ops.batch_norm(*given)
            back = dy, y, x, gamma, mean, var, 1e-5, True, relu
            for got, wanted in zip(
                (*_train.batch_norm(*given), *_train.batch_norm_backward(*back)),
                (y, mean, var, *numpy_ops.batch_norm_backward(*back)),
                strict=True,
            ):
                assert not (np.isfinite(got) & ~np.isfinite(wanted)).any()


# N C H W, O KH KW, (stride, padding, dilation, groups); whether Winograd runs it in float32
CONVOLUTIONS = [
    ((1, 3, 4, 4), (2, 3, 3), ((1, 1), (1, 1), (1, 1), 1), False),
    ((1, 4, 4, 3), (4, 2, 2), ((2, 1), (0, 1), (1, 1), 2), False),
    ((1, 20, 3, 3), (20, 3, 3), ((1, 1), (1, 1), (1, 1), 20), False),
    ((1, 16, 5, 5), (16, 3, 3), ((1, 1), (1, 1), (1, 1), 1), True),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "kernel", "geometry", "winograd"), CONVOLUTIONS)
def test_convolutions_lose_nothing(isa, dtype, shape, kernel, geometry, winograd):
    """All that is not finite in the definition is not in C; and no more, but by Winograd, which spreads it over tiles,
    and for weights that are not finite, which meet the zeros of paddings."""
    x, w = arrays(dtype, shape, (kernel[0], shape[1] // geometry[3], *kernel[1:]))
    (dy,) = arrays(dtype, numpy_ops.conv2d(x, w, *geometry).shape)
    with np.errstate(invalid="ignore"):
        for k, given in enumerate(planted(x, w, dy)):
            if k % (29 if winograd else 3):
                continue
            pairs = zip(
                three_convolutions(_train, *given, geometry),
                three_convolutions(numpy_ops, *given, geometry),
                strict=True,
            )
            for got, wanted in pairs:
                lost = np.isfinite(got) & ~np.isfinite(wanted)
                assert not lost.any()
                if np.isfinite(given[1]).all() and not (winograd and dtype == np.float32):
                    np.testing.assert_array_equal(np.isfinite(got), np.isfinite(wanted))
