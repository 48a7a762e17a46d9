"""What docs/arithmetic.md concludes from the headroom of a layer, proved by z3 in the integers and reals themselves."""

import re
from pathlib import Path

import numpy as np
import pytest

from elq_ref.runtime.integer_constants import CONSTANT_SHIFT, HIGH, LOW, AddScales, Requantize

z3 = pytest.importorskip("z3", reason="z3-solver is not installed: nothing is proved")
PAGE = Path(__file__).parents[2] / "docs" / "arithmetic.md"
LARGEST_L, SHIFTS = 29, range(33, 63)  # of Requantize: see test_the_bounds_are_those_of_the_code


def holds(claim, *known):
    """Whether `claim` follows from what is known."""
    solver = z3.Solver()
    solver.set("timeout", 60_000)
    solver.add(*known, z3.Not(claim))
    found = solver.check()
    assert found != z3.unknown, solver.reason_unknown()
    return found == z3.unsat


def headroom(weights, b, l):
    """(128 sum|w| + |b|) 2^l < 2^31; the sum of w x is at most 128 sum|w|, whatever x is."""
    return (128 * weights + z3.If(b < 0, -b, b)) * (1 << l) < 1 << 31


def inside(x, bits):
    return z3.And(x >= -(1 << bits - 1), x < 1 << bits - 1)


def test_the_sum_and_its_shift_are_int32():
    sums, b, weights = z3.Ints("sums b weights")
    for l in range(LARGEST_L + 1):
        known = [headroom(weights, b, l), weights >= 0, sums >= -128 * weights, sums <= 128 * weights]
        assert holds(z3.And(inside(sums + b, 32), inside((sums + b) * (1 << l), 32)), *known)
    known[0] = (128 * weights + z3.If(b < 0, -b, b)) * (1 << LARGEST_L) < 1 << 32  # half of the room is not enough
    assert not holds(inside((sums + b) * (1 << LARGEST_L), 32), *known)


def test_the_product_has_a_high_word_below_2_to_the_30():
    x, q = z3.Ints("x q")
    known = [x > -(1 << 31), x < 1 << 31, q >= 0, q < 1 << 31]
    product = z3.Int("product")  # of x and q: below the corners' product, which is all that is used of it
    assert holds(z3.And(x * q < 1 << 62, x * q > -(1 << 62)), *known)
    known = [product < 1 << 62, product > -(1 << 62)]
    assert holds(z3.And(product / (1 << 32) < 1 << 30, product / (1 << 32) >= -(1 << 30)), *known)


@pytest.mark.parametrize("s", SHIFTS)
def test_the_low_word_cannot_change_the_result(s):
    """floor((P + 2^(s - 1)) / 2^s) is that of the high word with r = 2^(s - 33), for every integer P at all."""
    product = z3.Int("product")
    high = product / (1 << 32)  # of integers z3 rounds down
    assert holds((product + (1 << s - 1)) / (1 << s) == (high + (1 << s - 33)) / (1 << s - 32))
    if s > 33:
        assert not holds((product + (1 << s - 1)) / (1 << s) == (high + (1 << s - 34)) / (1 << s - 32))


def test_every_shift_in_one_proof_of_64_bits():
    product, s = z3.BitVecs("product s", 64)
    high, one = z3.Extract(63, 32, product), z3.BitVecVal(1, 64)
    r = z3.Extract(31, 0, one << (s - 33))
    known = [product < 1 << 62, product > -(1 << 62), s >= SHIFTS[0], s <= SHIFTS[-1]]
    exact = (product + (one << (s - 1))) >> s
    assert holds(exact == z3.SignExt(32, (high + r) >> z3.Extract(31, 0, s - 32)), *known)
    assert holds(z3.And(z3.BVAddNoOverflow(high, r, True), z3.BVAddNoOverflow(product, one << (s - 1), True)), *known)
    assert not holds(exact == z3.SignExt(32, (high + r) >> z3.Extract(31, 0, s - 32)), *known[:2], s == 32)


def test_a_constant_channel_needs_no_special_case():
    """q = 0, s = 33, r = 2 b: the value itself, which is within lo .. 127."""
    b = z3.Int("b")
    assert holds((0 + 2 * b) / (1 << CONSTANT_SHIFT - 32) == b)


def test_how_near_a_result_is():
    """|acc| m 2^-31 < 2^-l m < 2^(e - l) <= 1/4, and the whole error below 1/2 + m/2 + 1/4.

    L = 2^l and M = 2^e are any numbers with 4 M <= L, of which powers of two are some; f = m / M.
    """
    acc, b = z3.Ints("acc b")
    f, big_m, big_l, bias, y = z3.Reals("f M L bias y")  # bias: B / s_out
    m = f * big_m
    known = [f >= 0.5, f < 1, big_m > 0, big_l >= 1, 4 * big_m <= big_l]
    known += [acc * big_l < 1 << 31, acc * big_l > -(1 << 31)]
    size = z3.ToReal(z3.If(acc < 0, -acc, acc))
    # m < M and |acc| < 2^31 / L: their product, divided by 2^31, is below M / L
    share = z3.Real("share")  # |acc| / 2^31
    assert holds(share * big_l < 1, *known, share == size / (1 << 31))
    assert holds(share * big_m < z3.Q(1, 4), big_m > 0, big_l >= 1, 4 * big_m <= big_l, share >= 0, share * big_l < 1)
    assert holds(share * m <= share * big_m, share >= 0, f < 1, big_m > 0)

    # q is f 2^31 rounded: relatively right to 2^-31, since f >= 1/2
    wrong = z3.Real("wrong")  # q - f
    assert holds(
        z3.And(wrong <= f / (1 << 31), wrong >= -f / (1 << 31)),
        f >= 0.5,
        f < 1,
        wrong <= z3.Q(1, 1 << 32),
        wrong >= -z3.Q(1, 1 << 32),
    )

    # y = floor(x + 1/2) of x = acc M q; acc = sums + b; b within 1/2 of bias / m; |x - acc m| <= 1/4
    x, exact, bm = z3.Reals("x exact bm")  # exact: acc m; bm: b m
    assert holds(
        z3.And(bm - bias <= m / 2, bias - bm <= m / 2),
        m > 0,
        z3.ToReal(b) - bias / m <= z3.Q(1, 2),
        bias / m - z3.ToReal(b) <= z3.Q(1, 2),
        bm == b * m,
    )
    real = exact - bm + bias  # m sums + B / s_out
    known = [y <= x + 0.5, y > x - 0.5, x - exact < z3.Q(1, 4), exact - x < z3.Q(1, 4)]
    known += [bm - bias <= m / 2, bias - bm <= m / 2]
    bound = 0.5 + m / 2 + z3.Q(1, 4)
    assert holds(z3.And(y - real <= bound, real - y <= bound), *known)
    assert not holds(z3.And(y - real <= bound - 0.01, real - y <= bound - 0.01), *known, m == 1)


def test_an_addition_fits_32_bits():
    a, b = z3.Ints("a b")  # the products x q
    most = (1 << 22) - 1
    x, q = z3.Ints("x q")
    known = [x >= LOW, x <= HIGH, q >= 0, q <= most]
    assert holds(z3.And(x * q >= LOW * most, x * q <= HIGH * most), *known)
    known = [a >= LOW * most, a <= HIGH * most, b >= LOW * most, b <= HIGH * most]
    assert holds(z3.And(a + b < 1 << 30, a + b > -(1 << 30)), *known)
    assert holds(z3.And(*(inside(a + b + (1 << s - 1), 32) for s in range(1, 32))), *known)
    assert not holds(inside(a + b + (1 << 31), 32), *known)


def test_the_bounds_are_those_of_the_code():
    """What is taken as known above is what Requantize and AddScales refuse to go beyond."""

    def made(l=0, s=33, q=1 << 30):
        return Requantize(l, np.zeros(1, np.int32), np.array([q], np.int32), np.array([s], np.uint8))

    for good in ({"l": LARGEST_L}, {"s": SHIFTS[0]}, {"s": SHIFTS[-1]}):
        made(**good)
    for bad in ({"l": LARGEST_L + 1}, {"s": SHIFTS[0] - 1}, {"s": SHIFTS[-1] + 1}):
        with pytest.raises(ValueError, match=r"wanted 0 to 29|33 to 62"):
            made(**bad)
    AddScales((1 << 22) - 1, 0, 31)
    for bad in ((1 << 22, 0, 31), (0, 0, 32), (0, 0, 0)):
        with pytest.raises(ValueError, match="wanted"):
            AddScales(*bad)
    made().prove(np.array([((1 << 31) - 1) // 128]))
    with pytest.raises(ValueError, match="do not fit 32 bits"):
        made().prove(np.array([(1 << 31) // 128]))


@pytest.mark.skipif(not PAGE.is_file(), reason="docs/ is not here (tests run from an installed copy)")
def test_the_page_says_what_is_proved():
    text = re.sub(r"\s+", " ", PAGE.read_text())
    for said in (
        "(128 sum|w| + |b_o|) 2^l < 2^31, so acc << l is an int32 for every input",
        "the product has a high word of less than 2^30",
        "the low word cannot change the result",
        "with r_o = 2 b_o the last formula gives it",
        "at most 1/2 (its rounding) + m_o / 2 (b_o's) + 1/4",
        "|acc_o| m_o 2^-31 < 2^-l m_o < 2^(e_o - l) <= 1/4",
        "|x1 q1 + x2 q2| <= 256 (2^22 - 1) < 2^30, and 2^(s-1) <= 2^30",
    ):
        assert said in text, said
