"""What an ELQ step costs beside a plain float step.

    python -m benchmarks.speed elq_step [--threads 1 2] [--rounds 20] [-o benchmarks/results/elq_step.txt]

ResNet-20, batch 128, float32, straight-through, from the same random weights. A number of threads is a process of its
own, in which the kinds take turns of one step; the ratio is paired with the float step of the same turn. Medians with
quartiles. One kind is watched only while s = -1, where it makes one forward pass more; with s = 1 it makes two whole
passes, as the last kind does always.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from elq_ref import SGD, Batches, Plan, quantize
from elq_ref.datasets import Augment, Dataset, Normalization
from elq_ref.models import resnet20
from elq_ref.training.float_training import fit
from elq_ref.training.stages import Step

from ..result_text import add_output, write_result
from .peers import Peer, heading, quartiles

KINDS = {
    "sign assumed, a1 = 1: one pass": {"sign": "assumed", "a1": 1.0},
    "sign computed, a1 = 1: one forward pass more while s = -1": {"sign": "computed", "a1": 1.0},
    "sign computed, a1 = 0.5: two passes": {"sign": "computed", "a1": 0.5},
}


def batches() -> Batches:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (1280, 3, 32, 32), dtype=np.uint8)
    normalization = Normalization((0.5,) * 3, (0.25,) * 3)
    data = Dataset(images, rng.integers(0, 10, 1280), tuple("0123456789"), normalization, "noise")
    return Batches(data, 128, augment=Augment(4, True))


def timed(steps: Iterator[Step]) -> tuple[float, float]:
    """(seconds of the next step, its s)."""
    begin = time.perf_counter()
    step = next(steps)
    return time.perf_counter() - begin, step.sign


def work() -> None:
    """The process of one number of threads: for every line one turn, {"float": seconds, kind: [seconds, s], ...}."""
    sgd = SGD(lr=0.01)
    plain = fit(resnet20(), batches(), 100, sgd)
    runs = {k: quantize(resnet20(), batches(), Plan(sigma2=(), epochs=(100.0,), **o), sgd) for k, o in KINDS.items()}
    for steps in (plain, *runs.values()):
        next(steps)
    for _ in sys.stdin:
        print(json.dumps({"float": timed(plain)} | {name: timed(steps) for name, steps in runs.items()}), flush=True)


def compare(threads: int, rounds: int) -> tuple[str, dict[str, Any]]:
    """The lines and the figures of one number of threads."""
    peer = Peer(["elq_step", "--work"], threads)
    turns = [peer.ask("") for _ in range(rounds)]
    peer.close()
    plain = quartiles([turn["float"][0] for turn in turns])
    middle, low, high = (1e3 * v for v in plain)
    figures: dict[str, Any] = {"threads": threads, "float_seconds": plain, "ratios": {}}
    lines = [f"{threads} thread(s): a float step takes {middle:.1f} ms ({low:.1f} .. {high:.1f})"]
    for name in KINDS:
        seen = [turn for turn in turns if "while" not in name or turn[name][1] == -1]
        ratios = [turn[name][0] / turn["float"][0] for turn in seen]
        if len(ratios) < 3:
            lines.append(f"  {name}: only {len(ratios)} such step(s)")
            continue
        middle, low, high = quartiles(ratios)
        figures["ratios"][name] = {"ratio": (middle, low, high), "steps": len(ratios)}
        lines.append(f"  {name}: {middle:.2f} ({low:.2f} .. {high:.2f}), {len(ratios)} steps")
    return "\n".join(lines), figures


def main() -> None:
    """Parse, run, print, and write the lines if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=20)
    add_output(parser)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work()
        return
    parts = [f"ELQ step beside a float step, ResNet-20, batch 128, float32. {heading()}"]
    print(parts[0], flush=True)
    figures = []
    for threads in arguments.threads:
        text, found = compare(threads, arguments.rounds)
        parts.append(text)
        figures.append(found)
        print(text, flush=True)
    write_result(arguments.output, "\n".join(parts), figures)
