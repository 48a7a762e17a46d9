"""Break the method's code one place at a time and see which test notices.

    python tools/mutate.py [--only TEXT] [--written] [--share S [--seed N]] [--workers N] [--output FILE]

The package is copied to a temporary folder for every worker and broken there, never here. Mutants are those of
tools/mutants.json (written by hand) and all that tools/operators.py and tools/statement_order.py make, or the share S
of these that the seed chooses. A mutant that no test notices survives: it must be explained in mutants.json, by key,
with the reason. Exit code 1 if one survives unexplained, or if an explanation is about a mutant that was noticed or is
not there.

A test that takes LIMIT seconds of processor time with a mutant in place has caught it: what else this machine does
changes no result. With --output, every result is noted in FILE.part as it comes and that file is deleted when nothing
survives. Started again, the run takes from there what was caught of a source file that is still the same, and of its
explained survivors those whose test files are the same too; delete it after a test, or what tests share, became weaker.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from queue import Queue
from subprocess import DEVNULL, PIPE
from typing import NamedTuple

from operators import mutants
from statement_order import reordered

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "tools" / "mutants.json"
FILES = [
    path.relative_to(ROOT).as_posix()
    for pattern in ("elq/*", "methods/*", "training/*", "runtime/integer*", "deploy/*")
    for path in sorted((ROOT / "elq_ref").glob(f"{pattern}.py"))
]
METHOD = [f"elq/test_{name}" for name in ("plan", "levels", "bands", "sums", "objective")]
METHOD += [f"training/test_{name}" for name in ("sgd", "step", "stages", "state", "golden_run")]
METHOD += ["elq/test_rising", "elq/test_second_loss", "methods/test_frequent", "methods/test_order", "test_method_page"]
STATEMENTS = "statements/test_statements.py::test_every_statement_holds"
INTEGERS = [f"runtime/test_integer{part}" for part in ("", "_limits", "_network", "_tables", "_graphs")]
INTEGERS += [f"deploy/test_{name}" for name in ("halves", "float64", "requantize_limits")]
# the tests of a folder's files, a file's own ones first
TESTS = {
    "elq": [*METHOD, STATEMENTS],
    "methods": ["methods/test_methods", "methods/test_relaxed", *METHOD, STATEMENTS],
    "training": [
        *(
            f"training/test_{name}"
            for name in ("plans", "evaluate", "one_picture", "restoring", "layer_costs", "transfer", "agreement")
        ),
        *("training/test_micro_batches", *METHOD),
        *("methods/test_relaxed", "methods/test_methods", "cli/test_chance", STATEMENTS),
    ],
    "deploy": [
        *INTEGERS,
        *(f"deploy/test_{name}" for name in ("calibration", "calibration_exact", "packing", "packing_reads")),
    ],
    "graph": ["graph/test_elementary", "graph/test_function_definitions", "ops/test_any_cnn_ops", *INTEGERS],
    "kernels": ["training/test_sgd", "kernels/test_between"],
    "runtime": [
        *INTEGERS,
        *("runtime/test_format", "runtime/test_format_deviations", "runtime/test_format_deviations_newer"),
        "deploy/test_calibration",
    ],
}
NEAREST = dict.fromkeys(("gradients", "borrowed"), "elq/test_objective")
NEAREST |= {"levels": "elq/test_sums", "elq": "training/test_step", "stages": "training/test_step"}
NEAREST |= {"put_off": "training/test_step", "numpy_ops": "training/test_sgd", "keeping": "training/test_layer_costs"}
NEAREST |= {"state": "training/test_state", "packing": "deploy/test_packing", "calibration": "deploy/test_calibration"}
# files of training that the tests of these names alone run
ALONE = {name: name for name in ("agreement", "layer_costs", "restoring", "transfer")} | {"keeping": "layer_costs"}
LIMIT = 25  # seconds of processor time for a test file; ten times as many of the clock, for one that only waits


class Broken(NamedTuple):
    """One mutant: what makes a file's new content."""

    key: str
    file: str
    make: Callable[[], str]


def written() -> Iterator[Broken]:
    """The mutants of mutants.json; ValueError where the code has moved away from one."""
    for entry in json.loads(LIST.read_text())["written"]:
        source = (ROOT / entry["file"]).read_text()
        if source.count(entry["old"]) != 1:
            raise ValueError(
                f"{entry['name']}: {entry['old']!r} is {source.count(entry['old'])} times in {entry['file']}"
            )
        make = partial(source.replace, entry["old"], entry["new"])
        yield Broken(f"{entry['file']} {entry['name']}", entry["file"], make)


def generated() -> Iterator[Broken]:
    """All operator mutants of FILES."""
    for file in FILES:
        source = (ROOT / file).read_text()
        for mutant in (*mutants(source, file), *reordered(source, file)):
            yield Broken(mutant.key, file, mutant.make)


def copy(folder: Path) -> None:
    """What the tests need of this project, in `folder`."""
    for name in ("elq_ref", "tests", "data", "docs", "benchmarks/results"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)


def caught_by(folder: Path, broken: Broken) -> str | None:
    """The first test that fails with this mutant in place, the file's own tests first, or None if all pass."""
    path = folder / broken.file
    kept, times = path.read_text(), path.stat()
    path.write_text(broken.make())
    try:
        own = [test for test in tests_of(broken.file) if NEAREST.get(path.stem, f"test_{path.stem}") in test][:1]
        rest = [test for test in tests_of(broken.file) if test not in own]
        return next((failure for tests in (own, rest) if tests and (failure := first_failure(folder, tests))), None)
    finally:
        path.write_text(kept)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # so that its compiled form is found again


def tests_of(file: str) -> list[str]:
    """The tests that a mutant of this file is given to."""
    path = Path(file)
    names = [f"training/test_{ALONE[path.stem]}"] if path.stem in ALONE else TESTS[path.parent.name]
    return [f"tests/{name}" if "::" in name else f"tests/{name}.py" for name in names]


def first_failure(folder: Path, tests: list[str], keep_compiled: bool = False) -> str | None:
    """The first of these tests that fails in `folder`, or None.

    Compiled code is kept of the right sources only: a cache knows a source by its second and its size, too coarse for
    mutants.
    """
    environment = {**os.environ, "PYTHONPATH": str(folder), "ELQ_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment["PYTHONDONTWRITEBYTECODE"] = "" if keep_compiled else "1"
    limit = LIMIT * len(tests)
    command = ["sh", "-c", 'ulimit -t "$0" && exec "$@"', str(limit), sys.executable, "-m", "pytest"]
    command += ["-x", "--tb=no", "-rfE", "-p", "no:cacheprovider", *tests]
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=PIPE, stderr=DEVNULL, text=True, start_new_session=True
    ) as process:
        try:
            text = process.communicate(timeout=10 * limit)[0]
        except subprocess.TimeoutExpired:
            text = ""
            os.killpg(process.pid, signal.SIGKILL)  # a test's own children too
    if process.returncode == 0:
        return None
    if process.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return f"{', '.join(tests)}: no end"
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", text, re.M)
    return found.group(1).removeprefix("tests/") if found else f"pytest: exit code {process.returncode}"


def judge(every: Sequence[Broken], workers: int) -> Iterator[tuple[Broken, str | None]]:
    """(mutant, the test that caught it or None), in order. RuntimeError if the tests fail without any mutant."""
    tests = sorted({test for broken in every for test in tests_of(broken.file)})
    with ExitStack() as stack:
        folders: Queue[Path] = Queue()
        first = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="elq-mutants-")))
        copy(first)
        failure = first_failure(first, tests, keep_compiled=True)
        if failure:
            raise RuntimeError(f"{failure} fails without any mutant")
        folders.put(first)
        for _ in range(1, workers):
            other = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="elq-mutants-")))
            shutil.copytree(first, other, dirs_exist_ok=True)
            folders.put(other)

        def work(broken: Broken) -> tuple[Broken, str | None]:
            folder = folders.get()
            try:
                return broken, caught_by(folder, broken)
            finally:
                folders.put(folder)

        pool = stack.enter_context(ThreadPoolExecutor(workers))
        yield from pool.map(work, every)


class Notes:
    """The results of a run, noted in a file as they come; without one, nothing is."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        lines = path.read_text().splitlines() if path and path.is_file() else []
        self.known = {tuple(key): test for *key, test in map(json.loads, lines)}

    def caught(self, broken: Broken) -> str | None:
        """The test that caught this mutant of these very sources, if that was noted."""
        return self.known.get((broken.key, _digest(broken.file)))

    def survived(self, broken: Broken) -> bool:
        """Whether it was noted that no test caught it, of these very sources and tests."""
        return (broken.key, _digest(broken.file), _digest(*_files_of(tests_of(broken.file)))) in self.known

    def add(self, broken: Broken, test: str | None) -> None:
        if self.path:
            key = [broken.key, _digest(broken.file)]
            key += [] if test else [_digest(*_files_of(tests_of(broken.file)))]
            with self.path.open("a") as file:
                file.write(json.dumps([*key, test]) + "\n")


def _files_of(tests: Sequence[str]) -> list[str]:
    return [test.partition("::")[0] for test in tests]


@cache
def _digest(*files: str) -> str:
    sums = hashlib.sha256()
    for file in files:
        sums.update((ROOT / file).read_bytes())
    return sums.hexdigest()[:16]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--only", default="", help="only mutants whose key contains this text")
    options.add_argument("--written", action="store_true", help="only those written by hand")
    options.add_argument("--share", type=float, default=1.0, help="this share of those that are made, from 0 to 1")
    options.add_argument("--seed", type=int, default=0, help="which of them")
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--output", type=Path, help="file for the list of all mutants and what caught them")
    args = options.parse_args()
    made = [] if args.written else [*generated()]
    chosen = made if args.share == 1 else random.Random(args.seed).sample(made, round(args.share * len(made)))
    every = [broken for broken in (*chosen, *written()) if args.only in broken.key]
    explained = json.loads(LIST.read_text())["explained"]
    lines, survivors, stale, started = [], [], [], time.perf_counter()
    notes = Notes(args.output.with_name(f"{args.output.name}.part") if args.output else None)
    noted = {broken for broken in every if notes.caught(broken) or (broken.key in explained and notes.survived(broken))}
    judged = judge([broken for broken in every if broken not in noted], args.workers)
    for broken in every:
        test = notes.caught(broken)
        if broken not in noted:
            _, test = next(judged)
            notes.add(broken, test)
        if test is None and broken.key not in explained:
            survivors.append(broken.key)
        if test is not None and broken.key in explained:
            stale.append(broken.key)
        verdict = test or ("SURVIVES" if broken.key not in explained else f"equivalent: {explained[broken.key]}")
        lines.append(f"{broken.key}\n    {verdict}")
        print(lines[-1], flush=True)
    if not args.only and not args.written and args.share == 1:
        stale += [key for key in explained if key not in {broken.key for broken in every}]
    known = sum(broken.key in explained for broken in every)
    caught = len(every) - len(survivors) - known
    summary = f"{len(every)} mutants: {caught} caught, {known} explained, {len(survivors)} survive"
    if args.share < 1:
        summary += f" (of {len(made)} that are made {len(chosen)}, by seed {args.seed}; all that are written)"
    print(f"\n{summary} ({time.perf_counter() - started:.0f} s)")
    for title, keys in (("survives, unexplained", survivors), ("explained, but caught or not there", stale)):
        for key in keys:
            print(f"{title}: {key}")
    if args.output:
        if not survivors and not stale:
            notes.path.unlink()
        args.output.write_text(f"tools/mutate.py, {time.strftime('%Y-%m-%d')}: {summary}\n\n" + "\n".join(lines) + "\n")
    return 1 if survivors or stale else 0


if __name__ == "__main__":
    sys.exit(main())
