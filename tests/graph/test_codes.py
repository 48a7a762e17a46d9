"""Codes as bits, against the worked example of docs/format.md and a bit-by-bit loop."""

import re
from pathlib import Path

import numpy as np
import pytest
from runtime_nets import random_codes

from elq_ref.graph.codes import (
    check_codes,
    flip_rows,
    nonzeros,
    pack_codes,
    pack_trits,
    row_bytes,
    unpack_rows,
    unpack_trits,
)
from elq_ref.runtime import Weight

pytestmark = pytest.mark.kernels

PATTERN = {"ternary": {0: 0b00, 1: 0b01, -1: 0b11}, "binary": {1: 0, -1: 1}}
BITS = {"ternary": 2, "binary": 1}
SHAPES = [(1, 1), (3, 5), (2, 8), (5, 4, 3, 3), (7, 3, 1, 2), (1, 1, 1, 1), (4, 1, 5, 5), (9, 16, 3, 3)]


def bit_by_bit(codes, levels):
    """Each weight's bits set one at a time, from the definition in docs/format.md."""
    codes = codes.reshape(*codes.shape, *(1,) * (4 - codes.ndim))
    outputs, inputs, kh, kw = codes.shape
    bits = BITS[levels]
    packed = np.zeros((outputs, -(-inputs * kh * kw * bits // 8)), np.uint8)
    for o, c, i, j in np.ndindex(*codes.shape):
        k = (i * kw + j) * inputs + c
        for b in range(bits):
            if PATTERN[levels][int(codes[o, c, i, j])] >> b & 1:
                packed[o, (k * bits + b) // 8] |= 1 << (k * bits + b) % 8
    return packed


@pytest.mark.parametrize("levels", BITS)
def test_the_worked_example_of_the_format_page(levels):
    text = (Path(__file__).parents[2] / "docs" / "format.md").read_text()
    codes = re.search(rf"^{levels} codes (.*)$", text, re.M).group(1).split()
    wanted = re.search(rf"^{levels} bytes (.*)$", text, re.M).group(1).split()
    in_order = np.array([int(code) for code in codes], np.int8).reshape(2, 1, 2, 3)  # O KH KW I
    packed = pack_codes(in_order.transpose(0, 3, 1, 2), levels)
    assert [f"{byte:02x}" for byte in packed.ravel()] == wanted


@pytest.mark.parametrize("levels", BITS)
@pytest.mark.parametrize("shape", SHAPES)
def test_packing_sets_the_documented_bits_and_unpacking_returns_the_codes(levels, shape):
    rng = np.random.default_rng(1)
    codes = random_codes(rng, levels, shape)
    packed = pack_codes(codes, levels)
    np.testing.assert_array_equal(packed, bit_by_bit(codes, levels))
    assert packed.shape == (shape[0], row_bytes(levels, int(np.prod(shape[1:]))))
    weight = Weight(levels, shape, packed, np.full(1, 0.25, np.float32))
    assert weight.codes().dtype == np.int8
    np.testing.assert_array_equal(weight.codes(), codes)
    np.testing.assert_array_equal(weight.values(), np.float32(0.25) * codes)


def test_zeros_of_w_hat_are_positive():
    codes = np.array([[0, -1, 1, 0]], np.int8)
    for alpha in (0.5, 0.0):
        weight = Weight("ternary", (1, 4), pack_codes(codes, "ternary"), np.full(1, alpha, np.float32))
        zeros = weight.values()[weight.values() == 0]
        assert zeros.size
        assert not np.signbit(zeros).any()


@pytest.mark.parametrize(
    ("levels", "length"), [("ternary", 1), ("ternary", 6), ("ternary", 7), ("binary", 3), ("binary", 9)]
)
def test_every_set_bit_behind_the_last_code_is_refused(levels, length):
    packed = np.zeros((3, row_bytes(levels, length)), np.uint8)
    check_codes(packed, levels, length)
    for bit in range(length * BITS[levels], packed.shape[1] * 8):
        # a whole field, so that a tail of ternary codes is no reserved pattern
        wrong = packed.copy()
        wrong[1, bit // 8] = (3 << (bit & 6)) if levels == "ternary" else (1 << bit % 8)
        with pytest.raises(ValueError, match="behind"):
            check_codes(wrong, levels, length)


def test_every_reserved_field_is_refused():
    for field in range(8):
        packed = np.full((2, 2), 0x55, np.uint8)
        packed[1, field // 4] ^= 3 << 2 * (field % 4)  # 01 -> 10
        with pytest.raises(ValueError, match="reserved"):
            check_codes(packed, "ternary", 8)


def test_codes_of_other_levels_are_refused():
    with pytest.raises(ValueError, match=r"binary codes are \(-1, 1\)"):
        pack_codes(np.zeros((1, 2), np.int8), "binary")
    with pytest.raises(ValueError, match="from 0 to 2"):
        pack_codes(np.array([[0, 2]], np.int8), "ternary")
    with pytest.raises(TypeError, match="float32"):
        pack_codes(np.zeros((1, 2), np.float32), "ternary")


def test_unpacking_a_part_of_the_rows_needs_no_other():
    codes = random_codes(np.random.default_rng(2), "ternary", (6, 11))
    part = unpack_rows(pack_codes(codes, "ternary")[2:4], "ternary", 11)
    np.testing.assert_array_equal(part, codes[2:4])


def test_the_worked_example_of_the_trits():
    text = (Path(__file__).parents[2] / "docs" / "format.md").read_text()
    codes, wanted = (re.search(rf"^ternary {kind} (.*)$", text, re.M).group(1).split() for kind in ("codes", "trits"))
    packed = pack_codes(np.array([int(code) for code in codes], np.int8).reshape(2, 6), "ternary")
    assert [f"{byte:02x}" for byte in pack_trits(packed, 6)] == wanted


@pytest.mark.parametrize(("outputs", "length"), [(1, 1), (1, 5), (2, 6), (3, 7), (5, 4), (4, 45), (7, 144), (3, 1)])
def test_trits_are_digits_to_the_base_3(outputs, length):
    codes = random_codes(np.random.default_rng(length), "ternary", (outputs, length))
    packed = pack_codes(codes, "ternary")
    trits = pack_trits(packed, length)
    assert trits.shape == (-(-outputs * length // 5),)
    digits = [{0: 0, 1: 1, -1: 2}[int(code)] for code in codes.ravel()]
    for position, byte in enumerate(trits):
        here = digits[5 * position : 5 * position + 5]
        assert int(byte) == int("".join(map(str, reversed(here))), 3)
    back = unpack_trits(trits, outputs, length)
    np.testing.assert_array_equal(back, packed, strict=True)
    assert back.flags.c_contiguous


@pytest.mark.parametrize(("outputs", "length"), [(23, 40_000), (6, 70_001), (7, 3)])
def test_trits_of_more_than_one_block(outputs, length):
    codes = random_codes(np.random.default_rng(length), "ternary", (outputs, length))
    packed = pack_codes(codes, "ternary")
    np.testing.assert_array_equal(unpack_trits(pack_trits(packed, length), outputs, length), packed)


def test_every_byte_that_is_no_five_trits_is_refused():
    for byte in range(243, 256):
        with pytest.raises(ValueError, match=f"a byte is {byte}"):
            unpack_trits(np.array([0, byte], np.uint8), 2, 5)
    assert unpack_trits(np.array([0, 242], np.uint8), 2, 5).tolist() == [[0, 0], [255, 3]]


def test_every_trit_behind_the_last_code_is_refused():
    for digit in range(2, 5):
        for value in (1, 2):
            wrong = np.array([0, value * 3**digit], np.uint8)
            with pytest.raises(ValueError, match="behind the 7 codes"):
                unpack_trits(wrong, 1, 7)


@pytest.mark.parametrize("levels", BITS)
@pytest.mark.parametrize("length", [1, 3, 4, 7, 8, 9, 144])
def test_flipping_and_counting_rows(levels, length):
    codes = random_codes(np.random.default_rng(length), levels, (6, length))
    packed = pack_codes(codes, levels)
    chosen = np.array([True, False, False, True, True, False])
    flipped = flip_rows(packed, levels, length, chosen)
    np.testing.assert_array_equal(flipped, pack_codes(np.where(chosen[:, None], -codes, codes), levels))
    np.testing.assert_array_equal(nonzeros(packed, levels, length), np.abs(codes).sum(1))
    check_codes(flipped, levels, length)
