"""Fully connected layers of many weights, in C: beside the products in float64 and to the same bits by any threads."""

import numpy as np
import pytest
from train_kernels import DTYPES, _train, name_of

from elq_ref.kernels import fully_connected as layer

if _train is None:
    pytest.skip("the C kernels are not built", allow_module_level=True)
pytestmark = pytest.mark.kernels

SHAPES = [(1, 1, 1), (16, 37, 11), (5, 130, 64), (32, 515, 50), (9, 1030, 17), (4, 16, 8), (13, 600, 33)]  # N C O
SHAPES += [(9, 800, 300), (140, 410, 9)]  # stretches of the depth of dx and of dw, the last of them shorter


def case(shape, dtype):
    n, c, o = shape
    rng = np.random.default_rng(3)
    return tuple(rng.standard_normal(s).astype(dtype) for s in ((n, c), (o, c), (o,), (n, o)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=name_of)
def test_products(isa, shape, dtype):
    """A sum of k products is off by (k + 1) roundings of the sum of their magnitudes at most."""
    x, w, bias, dy = case(shape, dtype)
    x64, w64, bias64, dy64 = (a.astype(np.float64) for a in (x, w, bias, dy))
    for got, a, b, more in (
        (_train.linear(x, w, bias), x64, w64.T, bias64),
        (_train.linear(x, w), x64, w64.T, 0),
        (_train.linear(np.asfortranarray(x), w[::-1][::-1]), x64, w64.T, 0),
        (_train.linear_dx(dy, w), dy64, w64, 0),
        (_train.linear_dw(dy, x), dy64.T, x64, 0),
    ):
        assert got.dtype == dtype
        bound = 2 * (a.shape[1] + 1) * np.finfo(dtype).eps * (abs(a) @ abs(b) + abs(more))
        assert (abs(got - (a @ b + more)) <= bound).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_number_that_is_none_reaches_its_own_sums_alone(isa, dtype):
    """Not those of rows that do not hold it, which a product with a 0 in its place would spoil."""
    x, w, _, dy = case((6, 70, 19), dtype)
    x[2, 69], w[17, 3], dy[1, 18] = np.inf, np.inf, np.inf
    y, dx, dw = _train.linear(x, w), _train.linear_dx(dy, w), _train.linear_dw(dy, x)
    wrong = np.zeros((6, 19), bool)
    wrong[2], wrong[:, 17] = True, True
    np.testing.assert_array_equal(~np.isfinite(y), wrong)
    wrong = np.zeros((6, 70), bool)
    wrong[1], wrong[:, 3] = True, True
    np.testing.assert_array_equal(~np.isfinite(dx), wrong)
    wrong = np.zeros((19, 70), bool)
    wrong[18], wrong[:, 69] = True, True
    np.testing.assert_array_equal(~np.isfinite(dw), wrong)


def test_the_layer_takes_them_where_weights_are_large_and_for_y_rows_few(monkeypatch):
    """And both ways give the same within rounding."""
    monkeypatch.setattr(layer, "LARGE", 40 * 50)
    called = []
    for name in ("linear", "linear_dx", "linear_dw"):
        real = getattr(layer._train, name)
        monkeypatch.setattr(layer._train, name, lambda *a, real=real, name=name: called.append(name) or real(*a))
    gradients = ["linear_dx", "linear_dw"]
    for n, o, streams in ((64, 40, ["linear", *gradients]), (65, 40, gradients), (3, 39, [])):
        x, w, bias, dy = case((n, 50, o), np.float64)
        called.clear()
        np.testing.assert_allclose(layer.linear(x, w, bias), x @ w.T + bias, rtol=0, atol=1e-12)
        np.testing.assert_allclose(layer.linear_dx(dy, w), dy @ w, rtol=0, atol=1e-12)
        np.testing.assert_allclose(layer.linear_dw(dy, x), dy.T @ x, rtol=0, atol=1e-12)
        assert called == streams


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        ("linear", ((2, 3), (4, 5))),
        ("linear", ((2, 3), (3,))),
        ("linear_dx", ((2, 3), (4, 5))),
        ("linear_dw", ((2, 3), (4, 5))),
    ],
)
def test_shapes_that_do_not_fit_are_refused(function, shapes):
    with pytest.raises(ValueError, match=r"shape|linear of arrays"):
        getattr(_train, function)(*(np.ones(shape, np.float32) for shape in shapes))
