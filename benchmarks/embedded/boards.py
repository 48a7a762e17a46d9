"""Exported C on this machine and on every emulated one: the same bits as Python's int8, or how many bytes do not fit.

    python -m benchmarks.embedded boards [--short] [-o FILE.txt]

Random small networks (tests/random_nets.py), many to one program, and whole networks: results and the hash of each
layer's value, the self-test, status codes, unaligned and too small arenas, writes beyond them. --short is for every
day: 200 networks on three targets, one of every kind on each other, and LeNet-5. Exit code 1 if anything differs. A
target whose compiler or emulator is not installed is skipped.
"""

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from tools.boards import TARGETS, Target
from tools.boards.trials import Outcome, Trial, check

from ..result_text import add_output, write_result
from .whole_networks import ROOT, WHOLE, absent

sys.path.insert(-1, str(ROOT / "tests"))  # the checkout stays last
from random_nets import KINDS, random_network

MANY = ("m4", "rv32")  # and one of this machine's:
SANITIZED = ("clang-sanitized", "gcc-sanitized")
RANDOM, FEW = 200, len(KINDS)  # at least one of every kind
PICTURES = 2
OPTIONS = list(itertools.product(("portable", "m0", "dsp", "neon"), ("speed", "size")))  # targets and preferences
WANTS = {"m0": "m0", "microbit": "m0", "m4": "dsp", "m7": "dsp", "m33": "dsp", "m55": "dsp"}
WANTS |= dict.fromkeys(("aarch64", "aarch64-a72", "armv7"), "neon")
SECONDS = 600  # for a program under emulation on a busy machine


def random_trials(count: int, folder: Path) -> list[Trial]:
    """Networks of the seeds below `count`; every kind of network meets all options in turn."""
    trials = []
    for seed in range(count):
        network = random_network(seed)
        shape = (PICTURES, *network.graph.input_shape)
        pictures = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
        target, prefer = OPTIONS[(seed % len(KINDS) + seed // len(KINDS)) % len(OPTIONS)]
        about = f"seed {seed} ({list(KINDS)[seed % len(KINDS)]}, {target}, {prefer})"
        options = {"target": target, "prefer": prefer, "split_weights": seed % 3 == 0}
        trials.append(Trial.export(network, pictures, f"n{seed}", about, folder, **options))
    return trials


def whole_trials(names: list[str], wanted: set[str], folder: Path) -> Iterator[tuple[str, str, Trial]]:
    """name, target of the export and trial of each whole network for each of the `wanted` targets of an export."""
    for name in names:
        network, pictures = WHOLE[name]()
        for target in sorted(wanted):
            prefix = f"{name.replace('-', '_')}_{target}"
            shown = pictures[: 1 if name == "vgg-small" else PICTURES]
            yield name, target, Trial.export(network, shown, prefix, name, folder, target=target)


def version(program: str) -> str:
    """The first line that a compiler or an emulator says of itself."""
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[0]


def forms(trials: list[Trial]) -> str:
    """How many layers have which form of weights."""
    count = Counter(form for trial in trials for form in trial.forms)
    return f"{len(trials)} networks: " + ", ".join(f"{form} {count[form]}" for form in sorted(count))


def report(here: list[Target], skipped: list[str], found: dict[str, list[Outcome]], columns: list[str]) -> str:
    """The table: of each target how many random networks gave the same bits, and whether each whole one did."""
    rows = [["target", "", "random networks", *columns]]
    notes = []
    for target in here:
        small, *whole = found[target.name]
        cell = f"{len(small.passed)} of {small.total}" + (
            f", {len(small.too_large)} too large" if small.too_large else ""
        )
        one = {name: "same bits" for outcome in whole for name in outcome.passed}
        one |= {name: "too large" for outcome in whole for name in outcome.too_large}
        one |= {name: "DIFFERS" for outcome in whole if outcome.faults for name in columns if name not in one}
        rows.append([target.name, target.about, cell, *(one[name] for name in columns)])
        notes += [f"{name}: {said}" for outcome in found[target.name] for name, said in outcome.too_large.items()]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    programs = sorted({program for target in here for program in (target.compiler, *target.emulator[:1])})
    faults = [fault for outcomes in found.values() for outcome in outcomes for fault in outcome.faults]
    parts = [lines, notes, skipped, faults, [f"{program}: {version(program)}" for program in programs]]
    return "\n\n".join("\n".join(part) for part in parts if part)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="fewer networks, in minutes")
    add_output(parser)
    options = parser.parse_args()
    start = time.monotonic()
    here = [t for t in TARGETS.values() if not t.missing() and "-bare" not in t.name]
    skipped = [f"{t.name} skipped: {', '.join(t.missing())} not installed" for t in TARGETS.values() if t.missing()]
    names = ["lenet5-digits"] if options.short else list(WHOLE)
    skipped += [f"{name} skipped: {absent(name)}" for name in names if absent(name)]
    names = [name for name in names if not absent(name)]
    many = [*MANY, *[t.name for t in here if t.name in SANITIZED][-1:]]
    exports = {t.name: WANTS.get(t.name, "portable") for t in here}

    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(os.cpu_count()) as pool:
        folder = Path(name)
        small = random_trials(RANDOM, folder)
        whole = list(whole_trials(names, set(exports.values()), folder))
        print(f"{len(small)} random networks and {len(whole)} exports of whole ones: {time.monotonic() - start:.0f} s")

        def on(target: Target) -> list[Outcome]:
            count = RANDOM if target.name in many or not options.short else FEW
            outcomes = [check(target, small[:count], folder / target.name, pool, SECONDS)]
            for name, export, trial in whole:
                if export == exports[target.name]:
                    outcomes.append(check(target, [trial], folder / target.name / name, pool, SECONDS))
            faults = sum(len(outcome.faults) for outcome in outcomes)
            print(
                f"{target.name}: {f'{faults} FAULTS' if faults else 'well'}: {time.monotonic() - start:.0f} s",
                flush=True,
            )
            return outcomes

        with ThreadPoolExecutor(max(1, len(here))) as threads:
            found = dict(zip(exports, threads.map(on, here), strict=True))
    counts = [
        f"layers by form of their weights, in {forms(small[:n])}"
        for n in ((FEW, RANDOM) if options.short else (RANDOM,))
    ]
    text = report(here, [*skipped, *counts], found, names)
    print(text)
    figures = {
        name: {
            "same_bits": [n for o in outcomes for n in o.passed],
            "too_large": {k: v for o in outcomes for k, v in o.too_large.items()},
        }
        for name, outcomes in found.items()
    }
    write_result(options.output, text, figures)
    return int(any(outcome.faults for outcomes in found.values() for outcome in outcomes))
