"""Each training kernel beside the limit of this machine: float32, one thread, processor time.

    python -m benchmarks.speed roofline [--isa avx2] [-o FILE]

roofline.c, compiled here with the flags of the instruction set, measures the limits: multiply-adds with
every operand in registers, and reading from each level of memory. A kernel's limit is the lower of the multiply-adds
and what reading its operands and writing its result once from and to main memory allows (the roofline). Winograd does
36 multiplications for 144 of the direct algorithm, so its share of the limit, counted in the latter, may exceed 1.
"""

import argparse
import ctypes
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np

os.environ["ELQ_NUM_THREADS"] = "1"  # before the kernels are imported: the limits are those of one core

from elq_ref import _train
from elq_ref.machine import cpu_name

from ..result_text import add_output, write_result
from .conv_layers import DIRECTIONS, LAYERS, Layer, arrays, our_calls

FLAGS = {
    "generic": (16, ""),
    "avx2": (32, "-mavx2 -mfma"),
    "avx512": (64, "-mavx512f -mfma"),
    "neon": (16, ""),
}
SHOWN = {
    "resnet20 1": "Winograd, 16 channels",
    "resnet18 1": "Winograd, 64 channels",
    "vgg 3": "Winograd, 128 channels",
    "resnet18 2 down": "direct 3x3, stride 2",
    "5x5 stride 2": "direct 5x5, stride 2",
    "resnet18 first": "direct 7x7, 3 channels",
    "square 1x1": "direct 1x1",
    "8 groups": "direct, 8 groups",
    "resnext 32 groups": "groups of 4 channels",
    "depthwise 3x3": "depthwise 3x3",
    "depthwise 7x7": "depthwise 7x7",
}


class Limits:
    """The measured limits of one core."""

    def __init__(self, isa: str) -> None:
        compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
        if not compiler:
            raise SystemExit("roofline: no C compiler found (set CC)")
        size, flags = FLAGS[isa]
        register = "w" if platform.machine().lower() in ("aarch64", "arm64") else "v" if size == 64 else "x"
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder, "roofline.so")
            source = Path(__file__).with_suffix(".c")
            defines = [f"-DBYTES={size}", f'-DREGISTER="{register}"']
            options = ["-O2", "-ffp-contract=fast", "-shared", "-fPIC", *flags.split(), *defines]
            subprocess.run([compiler, *options, str(source), "-o", str(library)], check=True)
            c = ctypes.CDLL(str(library))
        c.fma_limit.restype = c.read_limit.restype = ctypes.c_double
        c.fma_limit.argtypes = [ctypes.c_long, ctypes.c_float]
        c.read_limit.argtypes = [ctypes.c_void_p, ctypes.c_long, ctypes.c_long]
        self.gmacs = max(c.fma_limit(20_000_000, 0.5) for _ in range(7))
        self.read = {}
        for name, kib in (("L1 16 KB", 16), ("L2 256 KB", 256), ("L3 4 MB", 4096), ("memory 256 MB", 1 << 18)):
            data = np.ones(kib * 256, np.float32)
            times = max(1, (1 << 19) // kib)
            self.read[name] = max(c.read_limit(data.ctypes.data, data.size, times) for _ in range(5))


def best(call: Callable[[], object], runs: int = 9) -> float:
    """The least processor seconds of a call."""
    seconds = []
    for _ in range(runs):
        start = time.process_time()
        call()
        seconds.append(time.process_time() - start)
    return min(seconds)


def norm_rates() -> dict[str, float]:
    """GB/s of batch normalization (with residual and ReLU), whose limit is memory: of the bytes that it must move."""
    rng = np.random.default_rng(0)
    x, residual, dy = (rng.standard_normal((128 * 32 * 32, 64), dtype=np.float32) for _ in range(3))
    ones = np.ones(64, np.float32)
    y, mean, var = _train.batch_norm(x, ones, ones, 1e-5, residual, True)
    # Passes over x-sized arrays: the sums need the whole of x (and dy, y) before the second pass can start.
    cases = {
        "batch_norm": (4, lambda: _train.batch_norm(x, ones, ones, 1e-5, residual, True)),
        "batch_norm_backward": (
            8,
            lambda: _train.batch_norm_backward(dy, y, x, ones, mean, var, 1e-5, True, True),
        ),
        "scale_shift": (3, lambda: _train.scale_shift(x, ones, ones, residual, True)),
    }
    return {name: passes * x.nbytes / best(call) / 1e9 for name, (passes, call) in cases.items()}


def conv_rates(layer: Layer, limits: Limits) -> dict[str, float]:
    """GMAC/s of one layer: the roofline ("limit"), and what each direction reaches."""
    moved = sum(a.nbytes for a in arrays(layer))
    roof = min(limits.gmacs, layer.macs / moved * limits.read["memory 256 MB"])
    rates = (layer.macs / best(call) / 1e9 for call in our_calls(layer))
    return {"limit": roof, **dict(zip(DIRECTIONS, rates, strict=True))}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--isa", choices=FLAGS)
    add_output(parser)
    arguments = parser.parse_args()
    _train.use(arguments.isa)
    limits = Limits(_train.isa())
    lines = [
        f"{cpu_name()}, one core, kernels C {_train.isa()}; {date.today()}",
        f"multiply-adds in registers: {limits.gmacs:.1f} GMAC/s",
        "read: " + ", ".join(f"{name} {rate:.0f} GB/s" for name, rate in limits.read.items()),
        "",
        f"{'GMAC/s (share of limit)':<24}{'limit':>8} " + "".join(f"{d:>10}  share" for d in DIRECTIONS),
    ]
    layers = {SHOWN[layer.name]: conv_rates(layer, limits) for layer in LAYERS if layer.name in SHOWN}
    for what, rates in layers.items():
        shares = "".join(f"{rates[d]:10.1f} {rates[d] / rates['limit']:6.2f}" for d in DIRECTIONS)
        lines.append(f"{what:<24}{rates['limit']:8.1f} {shares}")
    norms, memory = norm_rates(), limits.read["memory 256 MB"]
    lines += [
        "",
        *(f"{name:<24}{rate:8.1f} GB/s {rate / memory:6.2f} of reading memory" for name, rate in norms.items()),
    ]
    print("\n".join(lines))
    figures = {"isa": _train.isa(), "gmacs": limits.gmacs, "read_gb": limits.read, "layers_gmacs": layers}
    write_result(arguments.output, "\n".join(lines), figures | {"norms_gb": norms})
