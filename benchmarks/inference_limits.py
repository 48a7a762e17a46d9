"""Runners for elq_ref.timing that do the multiply-adds of a network with every operand in registers: the limits.

They are given the network's number of multiply-adds, each thread an equal part, and time one thread. inference_limits.c
is compiled here; x86 only.
"""

import ctypes
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from elq_ref.runtime import PackedNetwork
from elq_ref.timing.runners import Ready, Runner
from elq_ref.timing.work import macs

LIMITS = {  # what it is called: (function, multiply-adds of a step, the words of /proc/cpuinfo that it needs)
    "VNNI limit": ("vnni_512", 12 * 64, {"avx512f", "avx512_vnni"}),
    "AVX2 16-bit limit": ("avx2_16", 12 * 32, {"avx2"}),
    "FMA limit": ("fma_256", 12 * 8, {"fma"}),
}


def library() -> ctypes.CDLL:
    """The compiled functions."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        raise RuntimeError("no C compiler found (set CC)")
    with tempfile.TemporaryDirectory() as folder:
        out, source = Path(folder, "limits.so"), Path(__file__).with_suffix(".c")
        subprocess.run([compiler, "-O2", "-shared", "-fPIC", str(source), "-o", str(out)], check=True)
        return ctypes.CDLL(str(out))


def limit(name: str) -> Runner:
    """A runner of LIMITS."""
    function, size, words = LIMITS[name]

    def make(network: PackedNetwork, threads: int) -> Ready:
        info = Path("/proc/cpuinfo")
        if not info.exists() or not words <= set(info.read_text().split()):
            raise RuntimeError(f"this CPU has no {' '.join(sorted(words))}")
        run = getattr(library(), function)
        run.argtypes, run.restype = [ctypes.c_long], None
        work = sum(macs(network).values())

        def prepare(pictures: np.ndarray):
            steps = len(pictures) * work // size // threads

            def call() -> np.ndarray:
                run(steps)
                return np.zeros((1, 0))

            return call

        return Ready(prepare, {})

    return Runner(make)


def sgemv(network: PackedNetwork, threads: int) -> Ready:
    """NumPy's float32 product of each linear layer's weights and a vector, by its BLAS."""
    weights = [w.values() for w in network.layers.values()]
    vectors = [np.ones(w.shape[1], np.float32) for w in weights]

    def call() -> np.ndarray:
        for w, v in zip(weights, vectors, strict=True):
            w @ v
        return np.zeros((1, 0))

    return Ready(lambda pictures: call, {})


RUNNERS = {name: limit(name) for name in LIMITS} | {"BLAS sgemv": Runner(sgemv)}
