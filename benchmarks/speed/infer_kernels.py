"""Each inference kernel alone beside the limit of this machine, measured in the same run.

    python -m benchmarks.speed infer_kernels [--kernels i8_t2] [--layers resnet20] [--threads 1] [-o FILE]

infer_kernels.c is compiled here together with the kernels' sources, each with the flags of its instruction set, and
runs every kernel of this CPU on the layers of ResNet-20 and ResNet-18 and on a few others: microseconds a picture (the
shortest time of many), GMAC/s, the share of the limit, and into how many tasks the kernel cuts the call. The limit is
that of the CPU's best byte dot product with every operand in registers (VNNI, or vpmaddubsw and 16-bit additions), for
float activations that of float multiply-adds, times the threads; Winograd and look-up may exceed the latter.
"""

import argparse
import os
import platform
import re
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

from elq_ref.machine import cpu_name

from .. import ROOT
from ..result_text import add_output, write_result

TABLE = (ROOT / "_ext/common/isa.def").read_text(encoding="utf-8")
FLAGS = {word: flags.split() for word, flags in re.findall(r'^ELQ_SET\((\w+),.*"(.*)"\)$', TABLE, re.M)}  # as setup.py


def build(folder: Path) -> Path:
    """The compiled program."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        raise SystemExit("infer_kernels: no C compiler found (set CC)")
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    common = f"-O3 -DNDEBUG -std=gnu11 -fno-math-errno -DELQ_X86={int(x86)} -I{ROOT}/_ext".split()
    folders = [ROOT / "_ext/infer" / name for name in ("", "generic", "x86" if x86 else "arm")]
    sources = [ROOT / "_ext/common" / f"{name}.c" for name in ("cores", "cpu", "pool")]
    sources += [path for place in folders for path in place.glob("*.c")]

    def compile_one(source: Path) -> Path:
        target = folder / f"{source.parent.name}-{source.stem}.o"
        fused = "off" if source.stem.startswith("ordered") else "fast"  # as setup.py
        flags = [f"-ffp-contract={fused}", *FLAGS.get(source.stem.rpartition("_")[2], [])]
        subprocess.run([compiler, *common, *flags, "-c", str(source), "-o", str(target)], check=True)
        return target

    with ThreadPoolExecutor() as pool:
        objects = list(pool.map(compile_one, [*sources, Path(__file__).with_suffix(".c")]))
    program = folder / "infer_kernels"
    subprocess.run([compiler, *map(str, objects), "-lm", "-pthread", "-o", str(program)], check=True)
    return program


LIMITS = re.compile(r"limits of one thread: float (\S+) GMAC/s, int8 (\S+) GMAC/s")
LINE = re.compile(r"(.+?) +(elq_\S+) +(\S+) +(\S+) +(\S+) +(\d+) tasks")


def figures(text: str) -> dict[str, Any]:
    """What the program printed, as numbers."""
    limits = dict(zip(("float", "int8"), map(float, LIMITS.search(text).groups()), strict=True))
    columns = ("microseconds", "gmacs", "share")
    kernels = []
    for layer, kernel, *values, tasks in LINE.findall(text):
        figure = dict(zip(columns, map(float, values), strict=True))
        kernels.append({"layer": layer, "kernel": kernel, **figure, "tasks": int(tasks)})
    return {"gmacs_limits": limits, "kernels": kernels}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernels", default="i8", help="what a kernel's name must contain")
    parser.add_argument("--layers", default="", help="what a layer's name must contain")
    parser.add_argument("--pictures", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--ms", type=int, default=100, help="milliseconds for each")
    add_output(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        words = [options.kernels, options.layers, str(options.pictures), str(options.ms)]
        environment = os.environ | {"ELQ_NUM_THREADS": str(options.threads)}
        run = subprocess.run([build(Path(folder)), *words], env=environment, capture_output=True, text=True, check=True)
    text = f"{cpu_name()}, {options.pictures} pictures, {options.threads} threads; {date.today()}\n{run.stdout}"
    print(text, end="")
    write_result(options.output, text, figures(run.stdout))
