"""What is small enough to be tried whole: five trits in a byte, four codes in a byte, eight bits, a picture's bytes."""

from dataclasses import replace
from fractions import Fraction
from itertools import product
from math import floor

import numpy as np
import pytest
from runtime_nets import network, weighted

from elq_ref.deploy import derive
from elq_ref.graph.codes import nonzeros, pack_codes, pack_trits, unpack_rows, unpack_trits
from elq_ref.preprocessing import Normalization
from elq_ref.runtime import Node, Session, interpret_int8

pytestmark = pytest.mark.kernels


def test_all_243_bytes_of_five_trits():
    for value, trits in enumerate(product(range(3), repeat=5)):
        digits = trits[::-1]  # the first code is the lowest digit
        assert value == sum(d * 3**k for k, d in enumerate(digits))
        codes = np.array([[(0, 1, -1)[d] for d in digits]], np.int8)
        rows = pack_codes(codes, "ternary")
        packed = pack_trits(rows, 5)
        assert packed.tolist() == [value]
        assert unpack_trits(packed, 1, 5).tolist() == rows.tolist()


def test_all_bytes_of_two_bit_codes_and_of_one_bit_codes():
    for value in range(256):
        fields = [value >> 2 * k & 3 for k in range(4)]
        row = np.array([[value]], np.uint8)
        if 2 not in fields:  # 10 is reserved
            codes = np.array([[(0, 1, None, -1)[f] for f in fields]], np.int8)
            assert pack_codes(codes, "ternary").tolist() == [[value]]
            assert unpack_rows(row, "ternary", 4).tolist() == codes.tolist()
            assert nonzeros(row, "ternary", 4).tolist() == [np.count_nonzero(codes)]
        signs = np.array([[1 - 2 * (value >> k & 1) for k in range(8)]], np.int8)
        assert pack_codes(signs, "binary").tolist() == [[value]]
        assert unpack_rows(row, "binary", 8).tolist() == signs.tolist()


TABLES = [((0.0,), (1.0,), 1 / 127), ((0.5,), (0.25,), 0.01), ((0.1307,), (0.3081,), 0.03), ((0.9,), (1e-3,), 1.0)]
TABLES += [((0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616), 0.0165), ((-3.0, 0.0), (0.01, 50.0), 2.0)]


@pytest.mark.parametrize(("mean", "std", "scale"), TABLES)
def test_all_bytes_of_a_picture_through_the_table(backend, mean, std, scale):
    """A picture with every byte in every channel: int8 by the page's formula in fractions, the same when it runs."""
    rng, count = np.random.default_rng(0), len(mean)
    nodes = [weighted(rng, "conv", "c", "input", "ternary", (4, count, 1, 1), stride=(1, 1), padding=(0, 0))]
    net = network([*nodes, Node("flatten", "flat", ("c",))], (count, 16, 16), 4 * 256)
    net = replace(net, metadata=replace(net.metadata, normalization=Normalization(mean, std)))
    int8 = derive(net, {"input": scale, "c": 1.0})
    for c in range(count):
        exact = [((Fraction(v, 255) - Fraction(mean[c])) / Fraction(std[c])) / Fraction(scale) for v in range(256)]
        wanted = [min(max(floor(v + Fraction(1, 2)), -128), 127) for v in exact]
        far = [abs(v + Fraction(1, 2) - round(v + Fraction(1, 2))) > Fraction(1, 10**9) for v in exact]
        found = int8.table[c].tolist()  # in float64: where the exact number lies at a half, either neighbour is right
        assert [t for t, f in zip(found, far, strict=True) if f] == [t for t, f in zip(wanted, far, strict=True) if f]
    picture = np.stack([rng.permutation(256).astype(np.uint8).reshape(16, 16) for _ in mean])[None]
    seen = interpret_int8(int8, picture)
    assert seen.values["input"].tolist() == [[int8.table[c][picture[0, c]].tolist() for c in range(count)]]
    session = Session(replace(net, int8=int8), activations="int8")
    np.testing.assert_array_equal(session(picture), seen.logits)
