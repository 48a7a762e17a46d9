"""The ladder of a kernel: one ternary convolution from the definition to what is shipped, each rung checked and timed.

    python -m benchmarks.speed ladder [--ms 500] [-o FILE.txt]

3x3, 64 to 64 channels, 56x56 pixels, int8 activations, one thread. The first rungs are ladder.c, compiled here; the
last are the package's own kernels. All rungs compute the same int32 sums, and any other sum ends the run. Time is the
shortest of many. docs/kernels/ladder.md tells what each rung does.
"""

import argparse
import ctypes
import os
import shutil
import subprocess
import tempfile
import time
from datetime import date
from pathlib import Path

import numpy as np

from elq_ref.graph.codes import pack_codes
from elq_ref.machine import cpu_name

from ..result_text import add_output, write_result

SIDE, CHANNELS, OUTPUTS = 56, 64, 64
CHANNELS_FIRST = 2  # rungs that read C H W
MACS = SIDE * SIDE * OUTPUTS * 9 * CHANNELS


def compiled(folder: Path) -> ctypes.CDLL:
    """ladder.c as a library."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        raise SystemExit("ladder: no C compiler found (set CC)")
    target = folder / "ladder.so"
    options = ["-O3", "-std=gnu11", "-Wall", "-Wextra", "-fPIC", "-shared"]
    subprocess.run([compiler, *options, str(Path(__file__).with_suffix(".c")), "-o", str(target)], check=True)
    library = ctypes.CDLL(str(target))
    library.ladder_name.restype, library.ladder_weight_bytes.restype = ctypes.c_char_p, ctypes.c_size_t
    library.ladder_run.restype = ctypes.c_double
    library.ladder_run.argtypes = [ctypes.c_int, *[ctypes.c_void_p] * 3, ctypes.c_double]
    return library


def shipped(seconds: float, x: np.ndarray, rows: np.ndarray) -> list[tuple[str, int, float, np.ndarray]]:
    """The package's kernels, AVX2's and the best of this CPU: name, bytes of the weights, seconds, sums (P, Q, O)."""
    from elq_ref import _infer

    zeros, ones = np.zeros(OUTPUTS, np.int8), np.ones(OUTPUTS, np.int32)
    tail = (0 * ones, ones, np.full(OUTPUTS, 33, np.uint8), zeros, zeros, 0, None)  # of sums only the first counts
    geometry = (SIDE, SIDE, CHANNELS), (3, 3), (1, 1), (1, 1), (1, 1), 1
    found = []
    for name in dict.fromkeys(["elq_conv_i8i32_t2__avx2", None]):
        try:
            layer = _infer.PackedLayer("int8 sums", "ternary", rows, *geometry, tail, name=name)
        except ValueError:  # this CPU has no AVX2
            continue
        if found and layer.name == found[0][0]:
            continue
        y, best, end = layer(x[None])[0], np.inf, time.perf_counter() + seconds
        while time.perf_counter() < end:
            begin = time.perf_counter()
            layer(x[None])
            best = min(best, time.perf_counter() - begin)
        found.append((layer.name, layer.packed.nbytes, best, y))
    return found


def climb(seconds: float) -> list[tuple[str, int, float]]:
    """Name, bytes of the weights and seconds of every rung; SystemExit where one differs from the first."""
    rng = np.random.default_rng(0)
    x = rng.integers(-128, 128, (SIDE, SIDE, CHANNELS), np.int8)
    codes = rng.integers(-1, 2, (OUTPUTS, CHANNELS, 3, 3), np.int8)
    packed = pack_codes(codes, "ternary")  # in the order KH KW C, and of the first rungs C KH KW
    first = [np.ascontiguousarray(x.transpose(2, 0, 1)), pack_codes(codes.reshape(OUTPUTS, -1), "ternary")]
    rungs = []
    with tempfile.TemporaryDirectory() as folder:
        library = compiled(Path(folder))
        for k in range(library.ladder_rungs()):
            y = np.zeros((SIDE, SIDE, OUTPUTS), np.int32)
            given = first if k < CHANNELS_FIRST else [x, packed]
            took = library.ladder_run(k, *(array.ctypes.data for array in (*given, y)), seconds)
            y = y.reshape(OUTPUTS, SIDE, SIDE).transpose(1, 2, 0) if k < CHANNELS_FIRST else y
            rungs.append((library.ladder_name(k).decode(), library.ladder_weight_bytes(k), took, y))
    rungs += shipped(seconds, x, packed)
    for name, _, _, y in rungs:
        if not np.array_equal(y, rungs[0][3]):
            raise SystemExit(f"ladder: {name} computes other sums than the definition")
    return [(name, size, took) for name, size, took, _ in rungs]


def table(rungs: list[tuple[str, int, float]]) -> str:
    lines = [f"{'rung':<30} {'ms':>9} {'GMAC/s':>8} {'gain':>7} {'in all':>8}  bytes of the weights"]
    for k, (name, size, took) in enumerate(rungs):
        gain = rungs[max(0, k - 1)][2] / took
        rate, in_all = MACS / took / 1e9, rungs[0][2] / took
        lines.append(f"{name:<30} {1e3 * took:9.3f} {rate:8.2f} {gain:7.2f} {in_all:8.1f}  {size}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ms", type=int, default=500, help="milliseconds for each rung")
    add_output(parser)
    options = parser.parse_args()
    os.environ["ELQ_NUM_THREADS"] = "1"
    rungs = climb(options.ms / 1e3)
    text = f"{cpu_name()}, 1 thread; {date.today()}\n\n{table(rungs)}"
    print(text)
    rows = [dict(zip(("rung", "weight_bytes", "seconds"), rung, strict=True)) for rung in rungs]
    write_result(options.output, text, {"macs": MACS, "rungs": rows})
