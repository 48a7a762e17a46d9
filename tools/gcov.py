"""What of the C the tests run, counted by gcov for each instruction set: for tools/covered.py.

The sources are compiled as they are shipped but for four flags. -O0 keeps each line its own. always_inline is taken
away, so that a function is one, however often it is inlined. Assertions are off (NDEBUG), as they are shipped.
Counters are atomic, for threads.

A line or branch is counted once for each instruction set whose file has it: of the instances of a template, float and
double or ternary and binary, and of the places that a macro stands in, it is enough that one took it. A branch is one
direction of one condition; C has no exceptions. Not counted are conditions that are no decisions where they are
shipped: those on the line of an unrolling macro, whose sizes are constants there, and the switch that chooses a size,
of which a set has as many as its registers hold and the switch as many as any set's (`UNROLLED`); tests/c runs rows and
runs of every length, and on AArch64 what multiplies without decoding. Cython's glue is not counted.
"""

import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORDS = re.findall(r"^ELQ_SET\((\w+),", (ROOT / "_ext/common/isa.def").read_text(), re.M)
FLAGS = ["-O0", "-Dalways_inline=", "--coverage", "-fprofile-update=atomic"]
UNROLLED = re.compile(r"\bEACH_\w+\(|\bTWO_STEPS\(|\bROW\(0\)|\bCHOOSE_TILE\(|\bswitch \((t|length|pixels)\)")
DECODES = ("neon", "dotprod")  # sets that multiply no pixels without decoding weights: VECTOR_PIXELS is 0, a constant
FEW = re.compile(r"\bfew\b")
CHECKS = {"memory": ["memory_check"], "train": ["train_check"], "infer": ["infer_check", "program_check"]}

Lines = dict[tuple[str, int], "Line"]  # by file and number


class Line:
    """How often a line ran, and each of its branches."""

    def __init__(self) -> None:
        self.count, self.branches = 0, defaultdict[int, list[int]](list)

    def add(self, found: dict) -> None:
        self.count += found["count"]
        taken = [branch["count"] for branch in found["branches"]]
        known = self.branches[len(taken)]  # instances of one form have as many
        self.branches[len(taken)] = [a + b for a, b in zip(known or [0] * len(taken), taken, strict=True)]

    @property
    def taken(self) -> list[int]:
        return [count for counts in self.branches.values() for count in counts]


def build_extension(folder: Path) -> None:
    """The package with its extensions instrumented in `folder`/lib, their objects in `folder`/objects."""
    compiler = folder / "cc"
    folder.mkdir(parents=True, exist_ok=True)
    compiler.write_text(f'#!/bin/sh\nexec {os.environ.get("CC", "cc")} "$@" {" ".join(FLAGS)}\n')
    compiler.chmod(0o755)
    command = [sys.executable, "setup.py", "-q", "build"]
    command += ["--build-temp", folder / "objects", "--build-lib", folder / "lib"]
    _run(command, CC=str(compiler), LDSHARED=f"{compiler} -shared")


def build_checks(folder: Path, compiler: str, architecture: str, link: Iterable[str] = ()) -> list[Path]:
    """The programs of tests/c, instrumented; they share the extension's objects where these are there."""
    made = []
    for room, checks in CHECKS.items():
        objects = []
        patterns = ("*.c", "generic/*.c", f"{architecture}/*.c")
        files = [*(ROOT / "_ext/common").glob("*.c"), *(f for p in patterns for f in (ROOT / "_ext" / room).glob(p))]
        for file in sorted(files):
            source = file.relative_to(ROOT)
            if source.name == "pool_link.c":
                continue
            target = folder / "objects" / source.with_suffix(".o")
            objects.append(target)
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                _run([*_command(compiler, architecture), *_isa_flags(file.stem), "-c", source, "-o", target])
        for check in checks:
            main = [*_command(compiler, architecture), f"tests/c/{check}.c", *objects]
            _run([*main, "-lm", "-pthread", *link, "-o", folder / check])
            made.append(folder / check)
    return made


def _command(compiler: str, architecture: str) -> list[str]:
    options = ["-std=gnu11", "-ffp-contract=fast", "-fno-math-errno", "-DNDEBUG", "-I_ext"]
    return [compiler, *options, f"-DELQ_X86={int(architecture == 'x86')}", *FLAGS]


def _isa_flags(stem: str) -> list[str]:
    word = stem.rpartition("_")[2]
    found = re.search(rf'^ELQ_SET\({word},.*"(.*)"\)$', (ROOT / "_ext/common/isa.def").read_text(), re.M)
    return found[1].split() if found else []


def _run(command: list, **environment: str) -> None:
    done = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr[-3000:]}")


def counts(folder: Path, gcov: str = "gcov") -> dict[tuple[str, str], Lines]:
    """(room, set) -> its lines. What is compiled for the baseline, generic kernels apart, is of the set "baseline" and
    of the room that it lies in; other headers are of the room and set that include them."""
    found: dict[tuple[str, str], Lines] = defaultdict(lambda: defaultdict(Line))
    for notes in sorted([*(folder / "objects" / "_ext").rglob("*.gcno"), *folder.glob("*.gcno")]):
        command = [gcov, "--json-format", "--stdout", "--branch-probabilities", notes]
        for text in subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines():
            for file in json.loads(text)["files"]:
                if not file["file"].startswith("_ext/") or file["file"].endswith(".def"):
                    continue
                for line in file["lines"]:
                    place = _place(notes, file["file"])
                    if place[1] not in DECODES or line.get("function_name") not in ("few_pixels", "sum_of"):
                        found[place][file["file"], line["line_number"]].add(line)
    for (_, word), lines in found.items():
        for (file, number), line in lines.items():
            text = (ROOT / file).read_text().splitlines()[number - 1]
            if UNROLLED.search(text) or (word in DECODES and FEW.search(text)):
                line.branches.clear()
    return found


def _place(notes: Path, file: str) -> tuple[str, str]:
    word = notes.stem.rpartition("_")[2]
    if word in WORDS or notes.parent.name == "generic":
        return notes.parents[1].name, word if word in WORDS else "generic"
    return Path(file).parts[1], "baseline"
