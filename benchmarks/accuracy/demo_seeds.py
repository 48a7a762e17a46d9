"""Accuracies of `elq demo` over seeds, beside the floors that they may not fall below.

python -m benchmarks.accuracy demo_seeds [--seeds 5] [-o FILE]
"""

import argparse
import json
import subprocess
import tempfile
from datetime import date

import numpy as np

from elq_ref.machine import python_command
from elq_ref.training.state import environment

from ..result_text import add_output, made_by, write_result

FLOORS = {"float": 98.0, "ternary": 97.5, "binary": 97.0}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    add_output(parser)
    args = parser.parse_args()
    lines, rows, figures = [], [], []

    def say(line: str) -> None:
        print(line, flush=True)
        lines.append(line)

    say(f"elq demo, seeds 0 to {args.seeds - 1}, {date.today()}, {made_by(environment())}")
    say("seed   " + "".join(f"{name:>9}" for name in FLOORS) + "  seconds")
    for seed in range(args.seeds):
        with tempfile.TemporaryDirectory() as out:
            command = python_command("elq_ref", "demo", "--seed", str(seed), "--out", out, "--json")
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        result = json.loads(done.stdout)
        figures.append(
            {"seed": seed, "seconds": result["seconds"], "top1": {name: result[name]["top1"] for name in FLOORS}}
        )
        rows.append([result[name]["top1"] for name in FLOORS])
        say(f"{seed:<7}" + "".join(f"{v:9.2f}" for v in rows[-1]) + f"{result['seconds']:9.0f}")
    means, least = np.mean(rows, 0), np.min(rows, 0)
    for name, values in (("mean", means), ("least", least), ("floor", FLOORS.values())):
        say(f"{name:<7}" + "".join(f"{v:9.2f}" for v in values))
    good = all(m >= f and v >= f - 1 for m, v, f in zip(means, least, FLOORS.values(), strict=True))
    say(f"floors (means at least the floor, no seed more than 1 point below it): {'met' if good else 'MISSED'}")
    write_result(args.output, "\n".join(lines), {"floors": FLOORS, "seeds": figures})
    return 0 if good else 1
