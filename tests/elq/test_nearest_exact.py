"""The nearest level in exact arithmetic: float32 around every threshold, scales from 0 and denormals to the largest.

All 2^32 of them for 16 scales are a command, tools/exhaustive.py, whose result is committed.
"""

import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from elq_ref import kernels
from elq_ref.elq.levels import nearest_codes
from elq_ref.kernels import numpy_ops

ULP = 2.0**-149
LARGEST = float(np.finfo(np.float32).max)
FIXED = [0.0, ULP, 2 * ULP, 3 * ULP, 7 * ULP, 1001 * ULP, (2**23 - 1) * ULP, 2.0**-126, 2.0**-126 + 3 * ULP, 1e-20]
FIXED += [0.0123, 0.05, 1 / 3, 1.0, 1e10, 2.0**127, LARGEST]
RANDOM = np.random.default_rng(0).integers(0, 0x7F800000, 24, dtype=np.uint32).view(np.float32).tolist()
RANDOM += np.random.default_rng(1).integers(1, 1 << 24, 12, dtype=np.uint32).view(np.float32).tolist()  # small ones
RESULT = Path(__file__).parents[2] / "benchmarks" / "results" / "nearest_exhaustive.txt"


def candidates(alpha, seed):
    """float32 patterns around +-alpha/2, +-alpha, 0, infinity and NaN, and some at random."""
    middle = int(np.float32(alpha / 2).view(np.uint32))
    around = [middle, int(np.float32(alpha).view(np.uint32)), 0, 0x7F800000]
    near = np.concatenate([np.arange(max(0, v - 6), v + 7) for v in around]).astype(np.uint32) & np.uint32(0x7FFFFFFF)
    random = np.random.default_rng(seed).integers(0, 1 << 32, 300, dtype=np.uint32)
    return np.concatenate([near, near | np.uint32(1 << 31), random])


def nearest(value, alpha, ternary):
    """The code of the level with the least |w - level|, compared as fractions; of two, 0 or the positive one."""
    if np.isnan(value):
        return 0 if ternary else -1
    if np.isinf(value):
        return int(np.sign(value))
    w, a = Fraction(value), Fraction(alpha)
    if not ternary:
        return 1 if w >= 0 else -1
    if a == 0:  # all levels are 0: what is not 0 has a sign all the same
        return (w > 0) - (w < 0)
    return min((0, 1, -1), key=lambda code: abs(w - code * a))


@pytest.mark.parametrize("ternary", [True, False])
@pytest.mark.parametrize(("seed", "alpha"), list(enumerate(FIXED + RANDOM)))
def test_the_nearest_level_is_exact(alpha, seed, ternary):
    patterns = candidates(alpha, seed)
    w, scale = patterns.view(np.float32).reshape(1, -1), np.full((1, 1), alpha, np.float32)
    codes = nearest_codes(w, scale, "ternary" if ternary else "binary")[0]
    wanted = np.array([nearest(float(v), float(scale.item()), ternary) for v in w[0]], np.int8)
    wrong = np.flatnonzero(codes != wanted)
    assert wrong.size == 0, f"{w[0, wrong[0]]!r} at {alpha!r}: {codes[wrong[0]]}, wanted {wanted[wrong[0]]}"
    exact = (np.float32(alpha) * wanted.astype(np.float32) + np.float32(0)).view(np.uint32)
    for run in (numpy_ops.nearest_level, kernels.nearest_level):
        np.testing.assert_array_equal(run(w, scale, ternary)[0].view(np.uint32), exact)


@pytest.mark.parametrize("odd", [1, 3, 5, 7, 1003, 2**52 + 3])
def test_an_odd_denormal_of_float64_has_no_half_either(odd):
    tiny = 2.0**-1074
    w, scale = np.array([[odd // 2 * tiny, (odd // 2 + 1) * tiny]]), np.array([[odd * tiny]])
    assert nearest_codes(w, scale, "ternary").tolist() == [[0, 1]]
    for run in (numpy_ops.nearest_level, kernels.nearest_level):
        assert (run(w, scale, True) / scale).tolist() == [[0.0, 1.0]]


@pytest.mark.skipif(not RESULT.is_file(), reason="benchmarks/ is not here (tests run from an installed copy)")
def test_the_committed_result_has_no_wrong_level():
    rows = re.findall(r"^(ternary|binary) .* 0x[0-9a-f]{8} .* (\d+) +(\d+) +(\d+)$", RESULT.read_text(), re.M)
    assert len(rows) == 32
    assert {count for _, *counts in rows for count in counts} == {"0"}
