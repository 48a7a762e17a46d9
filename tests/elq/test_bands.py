"""Which weights freeze, and what becomes of the tails."""

import numpy as np
import pytest

from elq_ref import partition
from elq_ref.elq.bands import draw_in, tail_share

W = np.array([0.0, 0.1, 0.39, 0.4, 0.5, 0.59, 0.61, 0.9, 1.0, 1.9, 2.0, 2.1])
W = np.concatenate([W, -W])
NONE = np.zeros(W.shape, bool)
ONE = np.array([1.0])


def frozen_now(sigma2, levels="ternary", frozen=NONE, **options):
    return sorted(set(np.abs(W[partition(W, ONE, frozen, sigma2, levels, **options)]).tolist()))


def test_ternary_band_is_centred_on_the_boundary():
    assert frozen_now(0.4) == [0.4, 0.5, 0.59]  # 0.4 <= |w| < 0.6
    assert frozen_now(0.1) == [0.1, 0.39, 0.4, 0.5, 0.59, 0.61]
    assert frozen_now(0.0) == [0.0, 0.1, 0.39, 0.4, 0.5, 0.59, 0.61, 0.9]
    assert frozen_now(0.5) == []


def test_binary_band_grows_from_zero():
    assert frozen_now(0.5, "binary") == []
    assert frozen_now(0.3, "binary") == [0.0, 0.1, 0.39]
    assert frozen_now(0.0, "binary") == [0.0, 0.1, 0.39, 0.4, 0.5, 0.59, 0.61, 0.9]


def test_tails_and_the_last_stage():
    assert frozen_now(0.4, tail="2alpha") == [0.4, 0.5, 0.59, 2.1]
    for tail in ("last", "pull", "clip"):
        assert frozen_now(0.4, tail=tail) == [0.4, 0.5, 0.59]
    assert partition(W, ONE, NONE, 0.0, "ternary", last=True).all()


@pytest.mark.parametrize("levels", ["ternary", "binary"])
def test_bands_are_nested_and_disjoint_from_what_is_frozen(levels):
    rng = np.random.default_rng(0)
    w = rng.standard_normal(5000)
    alpha = np.array([0.8])
    frozen, before = np.zeros(w.shape, bool), np.zeros(w.shape, bool)
    for sigma2 in (0.45, 0.4, 0.3, 0.2, 0.1, 0.0):
        band = partition(w, alpha, np.zeros(w.shape, bool), sigma2, levels)
        assert (band >= before).all()
        before = band
        group = partition(w, alpha, frozen, sigma2, levels)
        assert not (group & frozen).any()
        np.testing.assert_array_equal(group | frozen, band)
        frozen |= group


def test_per_channel_scales_and_no_scale():
    w = np.array([[0.5, 1.0], [0.5, 1.0]])
    alpha = np.array([[1.0], [2.0]])
    np.testing.assert_array_equal(
        partition(w, alpha, np.zeros((2, 2), bool), 0.4, "ternary"), [[True, False], [False, True]]
    )
    assert not partition(w, 0 * alpha, np.zeros((2, 2), bool), 0.4, "ternary").any()


def test_draw_in_moves_only_free_weights_beyond_alpha():
    w = np.array([0.5, 1.5, -3.0, 1.5])
    free = np.array([True, True, True, False])
    np.testing.assert_allclose(draw_in(w, ONE, free, 0.1), [0.5, 1.45, -2.8, 1.5])
    np.testing.assert_array_equal(draw_in(w, ONE, free, tail_share("clip", 0.1)), [0.5, 1.0, -1.0, 1.5])
    assert [tail_share(t, 0.25) for t in ("pull", "clip", "2alpha", "last")] == [0.25, 1.0, 0.0, 0.0]
