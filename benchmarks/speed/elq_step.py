"""What an ELQ step costs beside a plain float step.

    python -m benchmarks.speed elq_step [--threads 1 2] [--rounds 20] [-o benchmarks/results/elq_step.txt]
    python -m benchmarks.speed elq_step --networks alexnet resnet18 --size 224 [...]

By default ResNet-20, batch 128; float32, straight-through, from the same random weights. A network on a number of
threads is a process of its own, in which the kinds take turns of one step; the ratio is paired with the float step of
the same turn. Medians with quartiles. One kind is watched only while s = -1, where it makes one forward pass more; with
s = 1 it makes two whole passes, as the last kind does always.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from elq_ref import SGD, Batches, Plan, quantize
from elq_ref.datasets import Dataset, Normalization
from elq_ref.models import build
from elq_ref.training.float_training import fit
from elq_ref.training.stages import Step

from ..result_text import add_output, write_result
from .networks import Network, add_networks, sized
from .peers import Peer, heading, quartiles

KINDS = {
    "sign assumed, a1 = 1: one pass": {"sign": "assumed", "a1": 1.0},
    "sign computed, a1 = 1: one forward pass more while s = -1": {"sign": "computed", "a1": 1.0},
    "sign computed, a1 = 0.5: two passes": {"sign": "computed", "a1": 0.5},
}


def batches(network: Network) -> Batches:
    """Noise, ten batches an epoch."""
    rng = np.random.default_rng(0)
    count, classes = 10 * network.batch, tuple(map(str, range(network.classes)))
    images = rng.integers(0, 256, (count, *network.picture), dtype=np.uint8)
    normalization = Normalization((0.5,) * len(images[0]), (0.25,) * len(images[0]))
    data = Dataset(images, rng.integers(0, network.classes, count), classes, normalization, "noise")
    return Batches(data, network.batch)


def timed(steps: Iterator[Step]) -> tuple[float, float]:
    """(seconds of the next step, its s)."""
    begin = time.perf_counter()
    step = next(steps)
    return time.perf_counter() - begin, step.sign


def work(name: str, network: Network) -> None:
    """The process of one number of threads: for every line one turn, {"float": seconds, kind: [seconds, s], ...}."""
    sgd, data = SGD(lr=0.01), batches(network)
    nets = (build(name, network.picture, network.classes, 0) for _ in range(1 + len(KINDS)))
    plain = fit(next(nets), data, 100, sgd)
    runs = {k: quantize(next(nets), data, Plan(sigma2=(), epochs=(100.0,), **o), sgd) for k, o in KINDS.items()}
    for steps in (plain, *runs.values()):
        next(steps)
    for _ in sys.stdin:
        print(json.dumps({"float": timed(plain)} | {name: timed(steps) for name, steps in runs.items()}), flush=True)


def compare(name: str, size: int, threads: int, rounds: int) -> tuple[str, dict[str, Any]]:
    """The lines and the figures of one number of threads."""
    peer = Peer(["elq_step", "--work", "--networks", name, "--size", str(size)], threads)
    turns = [peer.ask("") for _ in range(rounds)]
    peer.close()
    plain = quartiles([turn["float"][0] for turn in turns])
    middle, low, high = (1e3 * v for v in plain)
    figures: dict[str, Any] = {"network": name, "threads": threads, "float_seconds": plain, "ratios": {}}
    lines = [
        f"{sized(name, size).title}, {threads} thread(s): a float step takes {middle:.1f} ms ({low:.1f} .. {high:.1f})"
    ]
    for kind in KINDS:
        seen = [turn for turn in turns if "while" not in kind or turn[kind][1] == -1]
        ratios = [turn[kind][0] / turn["float"][0] for turn in seen]
        if len(ratios) < 3:
            lines.append(f"  {kind}: only {len(ratios)} such step(s)")
            continue
        middle, low, high = quartiles(ratios)
        figures["ratios"][kind] = {"ratio": (middle, low, high), "steps": len(ratios)}
        lines.append(f"  {kind}: {middle:.2f} ({low:.2f} .. {high:.2f}), {len(ratios)} steps")
    return "\n".join(lines), figures


def main() -> None:
    """Parse, run, print, and write the lines if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_networks(parser, "--networks", ["resnet20"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=20)
    add_output(parser)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given.networks[0], sized(given.networks[0], given.size))
        return
    chosen = [sized(name, given.size) for name in given.networks]
    about = ", ".join(f"{n.title} {'x'.join(map(str, n.picture))} batch {n.batch}" for n in chosen)
    parts = [f"ELQ step beside a float step, float32: {about}. {heading()}"]
    print(parts[0], flush=True)
    figures = []
    for name in given.networks:
        for threads in given.threads:
            text, found = compare(name, given.size, threads, given.rounds)
            parts.append(text)
            figures.append(found)
            print(text, flush=True)
    write_result(given.output, "\n".join(parts), figures)
