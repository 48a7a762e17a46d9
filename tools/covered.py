"""How much of the code the tests run, in lines and in branches, and what they do not and why.

    python tools/covered.py python c -o benchmarks/results/coverage.txt     minutes; needs `pip install coverage`, gcc
    python tools/covered.py python --check benchmarks/results/coverage.txt  1 when a share has fallen

python: the rooms that run and read files, by coverage.py, under their own tests but for the slowest. c: _ext by gcov
(tools/gcov.py says what counts), under tests/c and the tests of the kernels; arm: the same, tests/c alone, for the
instruction sets of AArch64 under emulation. What is not reached must be explained by a row of tools/unreached.txt, and
every row must explain something, but for races and what is AArch64's; what is not ends with 1.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import gcov

ROOT = Path(__file__).resolve().parents[1]
EXPLAINED = ROOT / "tools" / "unreached.txt"
ROOMS = {"runtime": "runtime", "graph": "graph", "checkpoint": "checkpoint", "pictures": "ground", "files": "ground"}
# What is tested beside the room too: pictures where they are streamed, ONNX files where they are read.
BESIDE = ["tests/datasets", "tests/exchange/test_onnx_refusals.py", "tests/exchange/test_onnx_import.py"]
SLOW = ["test_format_fuzz.py", "test_sequences.py"]
SLOW_TESTS = "million_objects or calls_within_calls or training_checkpoint_of_pytorch or a_signal or real_pictures"
KERNELS = ["tests/kernels", "tests/runtime/test_kernels.py", "tests/runtime/test_winograd.py"]
KERNELS += ["tests/runtime/test_limits.py", "tests/runtime/test_run_nonfinite.py", "tests/parallel/test_world.py"]
ARM = ("neon", "dotprod")  # the sets of AArch64
FLOORS = {"python": (98.0, 98.0), "c": (95.0, 90.0), "arm": (95.0, 90.0)}  # per cent of lines, of branches


class Part(NamedTuple):
    """Lines and branches of a part that ran, and how many it has."""

    name: str
    lines: tuple[int, int]
    branches: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.name:<22}" + "".join(f"{n:>8} of {of:>5} {_share(n, of):>6.2f} %" for n, of in self[1:])


class Missed(NamedTuple):
    """A line of a part that did not run, or of whose branches some were not taken."""

    part: str
    file: str
    number: int
    text: str
    what: str


def _share(n: int, of: int) -> float:
    return 100 * n / of if of else 100.0


def python(folder: Path) -> tuple[list[Part], list[Missed]]:
    """The rooms of the package."""
    sources = [f"elq_ref/{name}" + ("/" if (ROOT / "elq_ref" / name).is_dir() else ".py") for name in ROOMS]
    rc = folder / "coverage.rc"
    excluded = ["if TYPE_CHECKING:", "^\\s*assert_never", ": \\.\\.\\.$"]
    report = ["[report]", "exclude_also =", *(f"    {line}" for line in excluded)]
    rc.write_text(
        "\n".join(["[run]", "branch = True", "source_pkgs = elq_ref", f"data_file = {folder / 'data'}", *report])
    )
    tests = [f"tests/{room}" for room in dict.fromkeys(ROOMS.values())] + [*BESIDE, "tests/test_fuzz_corpus.py"]
    ignored = [f"--ignore=tests/{room}/{name}" for room in ROOMS.values() for name in SLOW]
    pytest = str(Path(sysconfig.get_path("scripts"), "pytest"))  # by its path: an installed package goes first
    run = [sys.executable, "-m", "coverage", "run", "--rcfile", str(rc), pytest, "-q", "-x", "-p", "no:cacheprovider"]
    here = {} if find_spec("elq_ref") else {"PYTHONPATH": str(ROOT)}
    _done([*run, *tests, *ignored, "-k", f"not ({SLOW_TESTS})"], **here)
    found_in = folder / "coverage.json"
    _done([sys.executable, "-m", "coverage", "json", "--rcfile", str(rc), "-q", "-o", str(found_in)])
    parts, missed = [], []
    for name, source in zip(ROOMS, sources, strict=True):
        lines, branches = [0, 0], [0, 0]
        for file, found in sorted(json.loads(found_in.read_text())["files"].items()):
            inside = file[file.rindex("elq_ref/") :]
            if not inside.startswith(source):
                continue
            sums = found["summary"]
            lines = [lines[0] + sums["covered_lines"], lines[1] + sums["num_statements"]]
            branches = [branches[0] + sums["covered_branches"], branches[1] + sums["num_branches"]]
            texts = (ROOT / file).read_text().splitlines()
            places = dict.fromkeys(found["missing_lines"], "line")
            places |= {a: f"to {b}" for a, b in found["missing_branches"] if a not in places}
            missed += [Missed(name, inside, n, texts[n - 1].strip(), what) for n, what in sorted(places.items())]
        parts.append(Part(name, tuple(lines), tuple(branches)))
    return parts, missed


def c(folder: Path) -> tuple[list[Part], list[Missed]]:
    """_ext on this machine, in the instruction sets that its CPU has."""
    gcov.build_extension(folder)
    architecture = "x86" if os.uname().machine == "x86_64" else "arm"
    for check in gcov.build_checks(folder, os.environ.get("CC", "cc"), architecture):
        _done([str(check)], ELQ_NUM_THREADS="2")
    path = os.pathsep.join((str(folder / "lib"), str(ROOT / "tests")))
    command = [sys.executable, "-c", "import sys, pytest; sys.path.remove(''); sys.exit(pytest.main(sys.argv[1:]))"]
    slow = ["--ignore=tests/kernels/test_interrupts.py", "-k", "not a_signal"]  # calls that end soon, at -O0 not
    _done([*command, "-q", "-p", "no:cacheprovider", *slow, *KERNELS], PYTHONPATH=path, ELQ_NUM_THREADS="2")
    return _of_gcov(folder, "gcov")


def arm(folder: Path) -> tuple[list[Part], list[Missed]]:
    """What _ext has for AArch64 alone, its instruction sets, under emulation; the rest is the C that `c` measures."""
    for check in gcov.build_checks(folder, "aarch64-linux-gnu-gcc", "arm", ["-static"]):
        _done(["qemu-aarch64", str(check)], ELQ_NUM_THREADS="2")
    parts, missed = _of_gcov(folder, "aarch64-linux-gnu-gcov")
    own = {part.name for part in parts if part.name.endswith(ARM)}
    return [part for part in parts if part.name in own], [m for m in missed if m.part in own]


def _of_gcov(folder: Path, tool: str) -> tuple[list[Part], list[Missed]]:
    parts, missed = [], []
    for (room, word), lines in sorted(gcov.counts(folder, tool).items()):
        name = f"{room} {word}"
        ran = sum(line.count > 0 for line in lines.values())
        taken = [count > 0 for line in lines.values() for count in line.taken]
        parts.append(Part(name, (ran, len(lines)), (sum(taken), len(taken))))
        for (file, number), line in sorted(lines.items()):
            text = (ROOT / file).read_text().splitlines()[number - 1].strip()
            none = [k for k, count in enumerate(line.taken) if not count]
            if not line.count:
                missed.append(Missed(name, file, number, text, "line"))
            elif none:
                missed.append(Missed(name, file, number, text, f"{len(none)} of {len(line.taken)} branches"))
    return parts, missed


def _done(command: list[str], **environment: str) -> None:
    done = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")


class Row(NamedTuple):
    """Lines of a file, by a part of their text, that need not be reached, and why."""

    file: str
    text: str
    why: str

    def explains(self, missed: Missed) -> bool:
        return missed.file.endswith(self.file) and self.text in missed.text


def rows() -> Iterator[Row]:
    """Of tools/unreached.txt: paragraphs of a reason, then of FILE: TEXT lines that are indented."""
    for paragraph in EXPLAINED.read_text().strip().split("\n\n"):
        lines = paragraph.splitlines()
        why = "\n".join(line for line in lines if not line.startswith(" "))
        for line in lines:
            if line.startswith(" "):
                file, _, text = line.strip().partition(": ")
                yield Row(file, text, why)


def fallen(parts: list[Part], committed: Path) -> list[str]:
    """What has a smaller share than the committed text says, by more than its rounding."""
    before = {m[1].strip(): (float(m[2]), float(m[3])) for m in re.finditer(
        r"^(\S.{21}) +\d+ of +\d+ +([\d.]+) % +\d+ of +\d+ +([\d.]+) %$", committed.read_text(), re.M)}  # fmt: skip
    found = []
    for part in parts:
        for what, was, now in zip(("lines", "branches"), before.get(part.name, (0, 0)), part[1:], strict=True):
            if _share(*now) < was - 0.006:
                found.append(f"{part.name}: {_share(*now):.2f} % of the {what}, {committed} has {was:.2f} %")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="+", choices=("python", "c", "arm"))
    parser.add_argument("--check", type=Path, metavar="FILE.txt", help="what no share may fall behind")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.txt")
    parser.add_argument("--folder", type=Path, help="for what is compiled (default: a temporary one)")
    given = parser.parse_args()
    measures = {"python": python, "c": c, "arm": arm}
    parts: list[Part] = []
    missed: list[Missed] = []
    bad = []
    for kind in given.kinds:
        folder = given.folder / kind if given.folder else Path(tempfile.mkdtemp())
        folder.mkdir(parents=True, exist_ok=True)
        found, unreached = measures[kind](folder)
        parts, missed = parts + found, missed + unreached
        bad += [f"{part.name}: wanted {floor:.0f} % of the {what}" for part in found for what, floor, pair in zip(
            ("lines", "branches"), FLOORS[kind], part[1:], strict=True) if _share(*pair) < floor]  # fmt: skip
        if not given.folder:
            shutil.rmtree(folder)
    table = list(rows())
    bad += [f"{m.part} {m.file}:{m.number}: {m.what} of {m.text!r} is not reached" for m in missed
            if not any(row.explains(m) for row in table)]  # fmt: skip
    if set(given.kinds) >= {"python", "c"}:
        bad += [f"{row.file}: {row.text!r} is explained and reached" for row in table
                if not row.why.startswith(("A race", "On AArch64"))
                and not any(row.explains(m) for m in missed)]  # fmt: skip
    if given.check:
        bad += fallen(parts, given.check)
    text = "\n".join([f"{'':<22}{'lines':>24}{'branches':>24}", *map(str, parts)])
    print(text)
    if given.output:
        command = f"    python tools/covered.py {' '.join(given.kinds)}"
        given.output.write_text(f"{command}\n\n{text}\n\n{_reasons(missed, table)}")
    print(*bad, sep="\n")
    return bool(bad)


def _reasons(missed: list[Missed], table: list[Row]) -> str:
    """Every line that is not reached whole, by the reason."""
    texts = []
    for why in dict.fromkeys(row.why for row in table):
        mine = [m for m in missed if any(row.why == why and row.explains(m) for row in table)]
        places = dict.fromkeys(f"    {m.file}:{m.number} ({m.part}): {m.what}" for m in mine)
        if mine:
            texts.append("\n".join([why, *places]) + "\n")
    return "Not reached:\n\n" + "\n".join(texts)


if __name__ == "__main__":
    sys.exit(main())
