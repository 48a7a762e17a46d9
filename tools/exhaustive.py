"""The nearest level of every float32, against exact arithmetic: all 2^32 bit patterns for 16 scales, C and NumPy.

    python tools/exhaustive.py [--scales N] [--workers N] [--output FILE]

What is run is what the package runs: elq_ref.elq.levels.nearest_codes, and W_hat of the C kernel and of NumPy. Expected
is the level of the least |w - level| in rational numbers, 0 where two are equally near; binary +1 for w >= 0. A NaN is
on level 0, binary -1. Since the nearest level only rises with w, one bisection over the floats in order gives all that
is expected; every pattern is evaluated all the same. Minutes; exit code 1 if one is wrong.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np

from elq_ref import kernels
from elq_ref.elq.levels import nearest_codes
from elq_ref.kernels import numpy_ops

INFINITY = 0x7F800000  # its bit pattern; larger ones, without the sign, are NaN
BLOCK = 1 << 17
ULP = 2.0**-149
SCALES = (  # odd multiples of the smallest denormal have no half; 0; the smallest normal; the largest
    ("0", 0.0),
    ("2^-149", ULP),
    ("3 2^-149", 3 * ULP),
    ("2^-148", 2 * ULP),
    ("1001 2^-149", 1001 * ULP),
    ("the largest denormal", (2**23 - 1) * ULP),
    ("the smallest normal", 2.0**-126),
    ("the third above it", 2.0**-126 + 3 * ULP),
    ("1e-20", 1e-20),
    ("0.0123", 0.0123),
    ("0.05", 0.05),
    ("1/3", 1 / 3),
    ("1", 1.0),
    ("1e10", 1e10),
    ("2^127", 2.0**127),
    ("the largest float32", float(np.finfo(np.float32).max)),
)


def first_above_half(alpha: np.float32) -> int:
    """The bit pattern of the smallest float32 that is nearer to alpha than to 0."""
    low, high = 0, INFINITY  # infinity is; everything is exact
    while low < high:
        middle = (low + high) // 2
        above = 2 * Fraction(float(np.uint32(middle).view(np.float32))) > Fraction(float(alpha))
        low, high = (low, middle) if above else (middle + 1, high)
    return low


def expected(patterns: np.ndarray, first: int, ternary: bool) -> np.ndarray:
    """int8 codes of float32 bit patterns (uint32), from the pattern of `first_above_half`."""
    size, negative = patterns & 0x7FFFFFFF, patterns >= 0x80000000
    number = size <= INFINITY
    if ternary:
        return np.where(number & (size >= first), np.where(negative, -1, 1), 0).astype(np.int8)
    return np.where(number & (~negative | (size == 0)), 1, -1).astype(np.int8)


def check(alpha: np.float32, ternary: bool) -> dict[str, int]:
    """How many of the 2^32 patterns are wrong, by what was run."""
    first = first_above_half(alpha)
    steps = np.arange(BLOCK, dtype=np.uint32)
    scale = np.full((1, 1), alpha, np.float32)
    levels = "ternary" if ternary else "binary"
    runs = {
        "codes": lambda w: nearest_codes(w, scale, levels),
        "NumPy": lambda w: numpy_ops.nearest_level(w, scale, ternary),
    }
    if kernels.info()["reason"] is None:
        runs["C"] = lambda w: kernels.nearest_level(w, scale, ternary)
    wrong = dict.fromkeys(runs, 0)
    for start in range(0, 1 << 32, BLOCK):
        patterns = steps + np.uint32(start)
        ends = expected(patterns[[0, -1]], first, ternary)
        inside = any(start < edge + sign < start + BLOCK for edge in (first, 1, INFINITY + 1) for sign in (0, 1 << 31))
        codes = expected(patterns, first, ternary) if inside else ends[:1]
        w_hat = (alpha * codes.astype(np.float32) + np.float32(0)).view(np.uint32)
        w = patterns.view(np.float32).reshape(1, -1)
        for name, run in runs.items():
            found = run(w)[0]
            right = found == codes if name == "codes" else found.view(np.uint32) == w_hat
            if not right.all():
                wrong[name] += int((~right).sum())
    return wrong


def timed(alpha: np.float32, ternary: bool) -> tuple[dict[str, int], float]:
    """`check`, and the seconds of CPU that it took."""
    started = time.process_time()
    return check(alpha, ternary), time.process_time() - started


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--scales", type=int, default=len(SCALES), help="only the first so many scales")
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--output", type=Path, help="file for the table")
    args = options.parse_args()
    lines = [
        f"tools/exhaustive.py, {time.strftime('%Y-%m-%d')}: all 2^32 float32 for each scale,",
        f"NumPy {np.__version__} and {kernels.info()['kernel']}. How many codes, and how many W_hat, are wrong:",
        "",
        f"{'levels':8} {'alpha':22} {'bits':10} {'first above half':18} codes NumPy C",
    ]
    failed, spent = False, 0.0
    tasks = [(name, np.float32(value), ternary) for ternary in (True, False) for name, value in SCALES[: args.scales]]
    with ProcessPoolExecutor(args.workers) as pool:
        results = pool.map(timed, [alpha for _, alpha, _ in tasks], [ternary for *_, ternary in tasks])
        for (name, alpha, ternary), (wrong, seconds) in zip(tasks, results, strict=True):
            failed |= any(wrong.values())
            spent += seconds
            first = f"0x{first_above_half(alpha):08x}" if ternary else "-"
            counts = " ".join(f"{wrong.get(run, '-'):>5}" for run in ("codes", "NumPy", "C"))
            bits = f"0x{alpha.view(np.uint32):08x}"
            lines.append(f"{'ternary' if ternary else 'binary':8} {name:22} {bits:10} {first:18} {counts}")
            print(lines[-1], flush=True)
    lines.append(f"\n{spent:.0f} s of CPU")
    if args.output:
        args.output.write_text("\n".join(lines) + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
