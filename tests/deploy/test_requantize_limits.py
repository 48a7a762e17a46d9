"""Where the integers of a channel end: the room of its b, the largest shift, channels that are constant then."""

import numpy as np
import pytest

from elq_ref.deploy.derive import _add, _requantize
from elq_ref.runtime.integer_constants import AddScales

EIGHTH = 2.0**-3  # the largest m without a shift to the left
FULL = (-128, 127)


def requantize(m, bias, sums, clamp=FULL):
    return _requantize(np.array(m, float), np.array(bias, float), np.array(sums), clamp)


def test_b_may_be_what_the_sum_leaves_of_32_bits():
    room = 2**31 - 1 - 128 * 2**20
    ends = [room, -room, room + 1, -room - 1]
    found = requantize([EIGHTH] * 4, [b * EIGHTH for b in ends], [2**20] * 4)
    assert found.l == 0
    assert found.constant.tolist() == [False, False, True, True]
    assert found.b.tolist() == [room, -room, 127, -128]
    assert found.q.tolist() == [2**30, 2**30, 0, 0]
    assert found.s[:2].tolist() == [33, 33]
    assert requantize([2 * EIGHTH], [0], [1]).l == 1


def test_sums_beyond_32_bits_are_refused_in_whichever_channel():
    assert requantize([EIGHTH] * 2, [0, 127 * EIGHTH], [1, 2**24 - 1]).b.tolist() == [0, 127]
    with pytest.raises(ValueError, match="sums of up to 2147483648, shifted by l = 0, do not fit 32 bits"):
        requantize([EIGHTH] * 2, [0, 0], [1, 2**24])


def test_a_channel_without_sums_fits_the_largest_shift():
    found = requantize([2.0**26], [3 * 2.0**26], [0])
    assert (found.l, found.b.tolist(), found.q.tolist()) == (29, [3], [2**30])


def test_beyond_a_shift_of_62_a_channel_is_constant():
    found = requantize([2.0**-32, 2.0**-33], [2.0**-32, 3.4], [1, 1])
    assert found.constant.tolist() == [False, True]
    assert found.b.tolist() == [1, 3]
    assert found.s[0] == 62


def test_a_constant_needs_room_too():
    """Beside the largest sums there is room for 127."""
    assert requantize([0], [127], [2**24 - 1]).b.tolist() == [127]
    for m, bias in (([0], [-128]), ([EIGHTH, 0], [0, -128])):
        with pytest.raises(ValueError, match="no room for a constant beside sums of up to 2147483520"):
            requantize(m, bias, [2**24 - 1] * len(m))


def test_an_addition_has_scales_from_2_to_the_minus_10_to_2_to_the_20():
    assert _add(2.0**-10, 2.0**-10) == AddScales(2**21, 2**21, 31)
    assert _add(2.0**20, 2.0**19) == AddScales(2**21, 2**20, 1)
    for scale in (0.9 * 2.0**-10, 2.0**21):
        with pytest.raises(ValueError, match=r"wanted 2\^-10 to 2\^20"):
            _add(scale, scale)
