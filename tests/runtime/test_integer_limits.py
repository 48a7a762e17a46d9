"""The limits of what an IntegerNetwork may hold, each taken and the next one beyond it refused."""

from dataclasses import replace
from fractions import Fraction
from math import floor

import numpy as np
import pytest
from runtime_nets import small, with_int8

from elq_ref.graph.codes import from_rows
from elq_ref.runtime.integer import AddScales, IntegerNode, IntegerWeight, Requantize, check_scales, integer_weight
from elq_ref.runtime.integer_constants import check_clamp, to_int8
from elq_ref.runtime.integer_interpreter import accumulate


@pytest.fixture
def net():
    rng = np.random.default_rng(21)
    return with_int8(small(rng), rng)


def test_the_factors_of_an_addition_have_22_bits_and_its_shift_31():
    for q1, q2, s in ((0, 0, 1), (2**22 - 1, 2**22 - 1, 31)):
        assert AddScales(q1, q2, s).q1 == q1
    for wrong in ((-1, 0, 1), (0, -1, 1), (0, 0, 0), (2**22, 0, 1), (0, 2**22, 1), (0, 0, 32), (0.0, 0, 1)):
        with pytest.raises(ValueError, match=r"wanted [01] to (4194303|31)"):
            AddScales(*wrong)


def test_a_scale_is_a_float_from_1e_28_to_1e28(net):
    check_scales({"a": 1e-28, "b": 1e28}, ["b", "a"])
    for wrong in (np.nextafter(1e-28, 0), np.nextafter(1e28, np.inf), 1, "1"):
        with pytest.raises(ValueError, match=r"the scale of 'a' is .*, wanted 1e-28 to 1e\+28"):
            check_scales({"a": wrong}, ["a"])
    with pytest.raises(ValueError, match="the scale of 'input' is 1, wanted"):
        replace(net.int8, scales={**net.int8.scales, net.graph.input: 1})


def test_a_constant_that_is_missing_is_named_as_one(net):
    fewer = dict(list(net.int8.constants.items())[1:])
    with pytest.raises(ValueError, match="constants are missing for"):
        replace(net.int8, constants=fewer)


def test_a_factor_is_from_0_to_1e28(net):
    most = np.float32(1e28)
    for fine in (np.float32(0), most):
        assert (replace(net.int8, factor=np.full_like(net.int8.factor, fine)).factor == fine).all()
    for wrong in (np.nextafter(np.float32(0), np.float32(-1)), np.nextafter(most, np.float32(np.inf))):
        with pytest.raises(ValueError, match="factor is from"):
            replace(net.int8, factor=np.full_like(net.int8.factor, wrong))


def test_a_channel_of_scale_0_keeps_the_signs_of_its_weights(net):
    node = next(n for n in net.graph.nodes if n.weight is not None and n.weight.levels == "ternary")
    scale = np.ones_like(node.scale)
    scale[0], scale[-1] = 0, -1
    signs = np.array([1] * (len(scale) - 1) + [-1]).reshape(-1, *(1,) * (len(node.weight.shape) - 1))
    found = integer_weight(replace(node, scale=scale))
    np.testing.assert_array_equal(from_rows(found.rows(), found.shape), node.weight.codes() * signs)


def test_sums_beyond_2_to_the_24_are_exact_beside_a_channel_of_small_ones():
    k = 1101
    w = np.full((2, k), 127, np.int8)
    w[1] = 0
    weight = IntegerWeight("int8", (2, k), w)
    constants = Requantize(0, np.zeros(2, np.int32), np.full(2, 1 << 30, np.int32), np.full(2, 40, np.uint8))
    node = IntegerNode("linear", "y", "y", ("x",), {}, (2,), weight, constants)
    x = np.full((1, k), -127, np.int8)  # each product is odd, and so is their sum
    assert accumulate(node, x).tolist() == [[-127 * 127 * k, 0]]
    assert 127 * 127 * k > 1 << 24


def test_real_numbers_become_int8_by_the_quotient_of_float64():
    """Half a step, up to float32's rounding: float32 would round the quotient to it."""
    rough = []
    for steps in range(-120, 120):
        for scale in (0.1, 0.3, 1 / 255):
            tie = np.float32((steps + 0.5) * scale)
            for x in (np.nextafter(tie, np.float32(-9)), tie, np.nextafter(tie, np.float32(9))):
                exact = Fraction(float(x)) / Fraction(scale) + Fraction(1, 2)
                if abs(exact - round(exact)) < Fraction(1, 10**9):
                    continue  # up to rounding of float64 itself
                assert to_int8(np.array([x]), scale).item() == floor(exact)
                rough.append(floor(x / np.float32(scale) + np.float32(0.5)) != floor(exact))
    assert any(rough)


@pytest.mark.parametrize("clamp", [(-128, 127), (5, 5), (0, 127), (-128, -128), (127, 127)])
def test_the_ends_of_a_clamp_are_int8_in_order(clamp):
    check_clamp(clamp)


@pytest.mark.parametrize("clamp", [(1, 0), (0, 128), (-129, 0), (0.0, 1), (0, 1.0), (0, True), (0,), (0, 1, 2)])
def test_other_ends_of_a_clamp_are_refused(clamp):
    with pytest.raises(ValueError, match=r"the clamp is .*, wanted -128 <= lo <= hi <= 127"):
        check_clamp(clamp)
