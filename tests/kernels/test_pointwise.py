"""Functions of one number: C, for every instruction set, beside their definitions in float64."""

import itertools

import numpy as np
import pytest
from train_kernels import DTYPES, _train, layouts, name_of

from elq_ref.kernels import numpy_pointwise

pytestmark = pytest.mark.kernels

PARAMETERS = {"clip": (-1.5, 6.0), "leaky_relu": (0.3,), "hard_sigmoid": (0.2, 0.4), "elu": (0.7,)}
NAMES = list(numpy_pointwise.FUNCTIONS)
# Of 1 + |x|, in units of the last place: exp, a sum, a quotient, a product; of a slope more, where 1 - s cancels
VALUE, SLOPE = 4, 64


def test_the_glue_has_the_functions_in_their_order(isa):
    assert list(_train.FUNCTIONS) == NAMES


def numbers(dtype):
    """From denormals to what exp cannot hold, of both signs."""
    least = np.finfo(dtype).smallest_subnormal
    sizes = np.concatenate([np.linspace(0, 12, 3001), np.logspace(-35, 2, 400), [least, 8 * least, 88.5, 89.5, 1e4]])
    return np.concatenate([sizes, -sizes]).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_values_and_slopes(isa, name, dtype):
    x, eps = numbers(dtype), np.finfo(dtype).eps
    wide, parameters = x.astype(np.float64), PARAMETERS.get(name, ())
    got = _train.pointwise(name, x, *parameters)
    assert got.dtype == dtype
    wanted = numpy_pointwise.pointwise(name, wide, *parameters)
    assert (np.abs(got - wanted) <= VALUE * eps * (1 + np.abs(wide))).all()
    dy = np.random.default_rng(1).standard_normal(x.shape).astype(dtype)
    kinks = {"clip": (-1.5, 6), "hard_sigmoid": (-2, 3)}.get(name, ())
    judged = np.abs(wide[:, None] - np.array([*kinks, np.nan])).min(1, initial=1, where=[*(True,) * len(kinks), False])
    judged = judged > 8 * eps
    got, wanted = (
        _train.pointwise_backward(name, dy, x, *parameters),
        numpy_pointwise.pointwise_backward(name, dy.astype(np.float64), wide, *parameters),
    )
    assert (np.abs(got - wanted) <= SLOPE * eps * np.abs(dy) * 2)[judged].all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["sigmoid", "tanh", "elu", "silu"])
def test_small_results_keep_their_digits(isa, name, dtype):
    """Relative to the result: near 0, and far out where exp is small."""
    x = -np.logspace(-20, 1.5, 500).astype(dtype)
    got = _train.pointwise(name, x, *PARAMETERS.get(name, ()))
    wanted = numpy_pointwise.pointwise(name, x.astype(np.float64), *PARAMETERS.get(name, ()))
    np.testing.assert_allclose(got, wanted, rtol=8 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(2, 5, 3, 4), (7,), (40_001,), (2, 0)], ids=name_of)
def test_any_shape_and_memory(isa, name, shape, dtype):
    rng = np.random.default_rng(2)
    x, dy = rng.standard_normal((2, *shape)).astype(dtype)
    parameters = PARAMETERS.get(name, ())
    y, dx = _train.pointwise(name, x, *parameters), _train.pointwise_backward(name, dy, x, *parameters)
    assert y.shape == dx.shape == shape
    single = np.array([_train.pointwise(name, v.reshape(1), *parameters)[0] for v in x.ravel()[-30:]], dtype)
    np.testing.assert_array_equal(y.ravel()[-30:], single)  # the place in a vector decides nothing
    if len(shape) == 4:
        for x_view, dy_view in itertools.product(layouts(x), layouts(dy)):
            np.testing.assert_array_equal(_train.pointwise(name, x_view, *parameters), y)
            np.testing.assert_array_equal(_train.pointwise_backward(name, dy_view, x_view, *parameters), dx)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_finite(isa, name, dtype):
    """NaN stays; infinities give what the definition gives."""
    x = np.array([np.nan, np.inf, -np.inf, 1.0], dtype)
    with np.errstate(invalid="ignore"):
        wanted = numpy_pointwise.pointwise(name, x, *PARAMETERS.get(name, ()))
    got = _train.pointwise(name, x, *PARAMETERS.get(name, ()))
    np.testing.assert_allclose(got, wanted, rtol=1e-5)
    assert np.isnan(got[0])


def test_refusals(isa):
    x = np.ones((2, 3), np.float32)
    with pytest.raises(ValueError, match="dy has shape"):
        _train.pointwise_backward("silu", x[:1], x)
    with pytest.raises(TypeError, match="given float64, float32"):
        _train.pointwise_backward("silu", x, x.astype(np.float64))
    with pytest.raises(ValueError, match="not in"):
        _train.pointwise("cosine", x)
