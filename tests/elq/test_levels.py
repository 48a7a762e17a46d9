"""Scales and codes against brute force and closed forms."""

import itertools

import numpy as np
import pytest

from elq_ref import binarize, ternarize
from elq_ref.elq.levels import dequantize, nearest_codes, scale, scale_slope

CODES = {"ternary": (-1, 0, 1), "binary": (-1, 1)}


def error(w, alpha, codes):
    return float(np.sum((w - alpha * codes) ** 2))


@pytest.mark.parametrize("levels", ["ternary", "binary"])
@pytest.mark.parametrize("seed", range(5))
def test_nearest_level_has_the_least_error_of_all_codes(levels, seed):
    w = np.random.default_rng(seed).standard_normal(6)
    alpha = np.array([0.9])
    best = min(error(w, alpha, np.array(c)) for c in itertools.product(CODES[levels], repeat=6))
    assert error(w, alpha, nearest_codes(w, alpha, levels)) == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize("levels", ["ternary", "binary"])
@pytest.mark.parametrize("seed", range(5))
def test_l2_scale_is_the_optimum_over_all_codes_and_scales(levels, seed):
    w = np.random.default_rng(seed).standard_normal(7)
    best = np.inf
    for c in itertools.product(CODES[levels], repeat=7):
        c = np.array(c)
        if (c != 0).any():
            best = min(best, error(w, max(0, c @ w) / (c @ c), c))
    alpha = scale(w.reshape(1, -1), levels, "l2").ravel()
    assert error(w, alpha, nearest_codes(w, alpha, levels)) == pytest.approx(best, rel=1e-12)


def test_of_equal_l2_optima_the_scale_with_fewest_weights_is_chosen():
    w = np.array([[6.0, -2.0, 2.0, 2.0]])  # alpha = 6 leaves 3 * 2^2, alpha = 12 / 4 leaves 3^2 + 3 * 1^2: both 12
    assert scale(w, "ternary", "l2").item() == 6
    np.testing.assert_array_equal(scale_slope(w, "ternary", "l2"), [[1, 0, 0, 0]])


def test_scale_rules_are_their_formulas():
    w = np.array([[0.5, -2.0, 0.1], [1.0, 0.0, -0.2]])
    a = np.abs(w)
    assert scale(w, "ternary").item() == pytest.approx(a.mean() + 0.05 * 2.0, rel=1e-15)
    assert scale(w, "binary").item() == pytest.approx(a.mean(), rel=1e-15)
    np.testing.assert_allclose(scale(w, "ternary", per_channel=True).ravel(), a.mean(1) + 0.05 * a.max(1))
    assert scale(w, "ternary", "twn").item() == pytest.approx((0.5 + 2.0 + 1.0) / 3, rel=1e-15)  # above 0.7 * 0.6333
    assert scale(w.reshape(2, 3, 1, 1), "ternary", per_channel=True).shape == (2, 1, 1, 1)
    with pytest.raises(ValueError, match="twn"):
        scale(w, "binary", "twn")


@pytest.mark.parametrize(
    ("levels", "rule"), [("ternary", "elq"), ("binary", "elq"), ("ternary", "twn"), ("ternary", "l2")]
)
@pytest.mark.parametrize("per_channel", [False, True])
def test_scale_slope_is_the_derivative(levels, rule, per_channel):
    w = np.random.default_rng(3).standard_normal((3, 5))
    slope = scale_slope(w, levels, rule, per_channel)
    for i, j in np.ndindex(w.shape):
        step = np.zeros_like(w)
        step[i, j] = 1e-6
        up, down = (scale(w + d, levels, rule, per_channel).ravel() for d in (step, -step))
        numeric = ((up - down) / 2e-6)[i if per_channel else 0]
        assert slope[i, j] == pytest.approx(numeric, abs=1e-8)


def test_a_weight_at_twns_threshold_is_outside_the_support():
    w = np.array([[7.0, -13.0]])  # 0.7 mean|w| = 7
    assert scale(w, "ternary", "twn").item() == 13
    np.testing.assert_array_equal(scale_slope(w, "ternary", "twn"), [[0, -1]])


@pytest.mark.parametrize(("levels", "rule"), [("ternary", r) for r in ("elq", "twn", "l2")] + [("binary", "elq")])
def test_zero_weights_have_no_scale_and_no_slope(levels, rule):
    assert scale(np.zeros((2, 3)), levels, rule).item() == 0
    assert not scale_slope(np.zeros((2, 3)), levels, rule).any()


def test_one_scale_a_layer_is_the_default():
    w = np.array([[1.0, 1.0], [3.0, 3.0]])
    assert ternarize(w)[1].tolist() == [[2.15]]
    assert binarize(w)[1].tolist() == [[2.0]]


def test_ties_signs_and_zeros():
    w = np.array([0.5, -0.5, 0.500001, -0.500001, 0.0, -0.0])
    alpha = np.array([1.0])
    assert nearest_codes(w, alpha, "ternary").tolist() == [0, 0, 1, -1, 0, 0]
    assert nearest_codes(w, alpha, "binary").tolist() == [1, -1, 1, -1, 1, 1]
    for levels in CODES:
        for scale_value in (1.0, 0.0):
            what = dequantize(nearest_codes(w, alpha, levels), alpha * scale_value)
            assert not np.signbit(what[what == 0]).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("levels", ["ternary", "binary"])
def test_levels_are_fixed_points_bit_for_bit(dtype, levels):
    tiny = np.finfo(dtype).smallest_subnormal
    for value in (tiny, 3 * tiny, np.finfo(dtype).tiny, 0.1, 1 / 3, np.finfo(dtype).max / 4, 0.0):
        alpha = np.array([value], dtype)
        what = dequantize(np.array(CODES[levels], np.int8), alpha)
        again = dequantize(nearest_codes(what, alpha, levels), alpha)
        if value == 0:
            assert not again.any()
        else:
            assert what.tobytes() == again.tobytes()


@pytest.mark.parametrize("w", [np.zeros((2, 3)), np.full((2, 3), 0.7), np.array([[1e-40, 0, 0], [0, 1e6, 0]])])
def test_odd_weights(w):
    for dtype in (np.float32, np.float64):
        codes, alpha = ternarize(w.astype(dtype))
        assert codes.dtype == np.int8
        assert set(np.unique(codes)) <= {-1, 0, 1}
        assert alpha.dtype == dtype
        assert np.isfinite(alpha).all()
        codes, alpha = binarize(w.astype(dtype), per_channel=True)
        assert set(np.unique(codes)) <= {-1, 1}
        assert alpha.shape == (2, 1)
