"""What an ELQ step costs beside a plain float step: python benchmarks/elq_step.py [--rounds 20] [-o FILE]

ResNet-20, batch 128, float32, straight-through, from the same random weights, all in one process, the kinds taking
turns of one step; the ratio is paired with the float step of the same turn. Medians with quartiles.
"""

import argparse
import datetime
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from elq_ref import SGD, Batches, Plan, quantize
from elq_ref.datasets import Augment, Dataset, Normalization
from elq_ref.elq.stages import Step
from elq_ref.elq.state import environment
from elq_ref.models import resnet20
from elq_ref.training import fit

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    sgd = SGD(lr=0.01)
    plain = fit(resnet20(), batches(), 100, sgd)
    runs = {k: quantize(resnet20(), batches(), Plan(sigma2=(), epochs=(100.0,), **o), sgd) for k, o in KINDS.items()}
    for steps in (plain, *runs.values()):
        next(steps)
    ratios: dict[str, list[float]] = {name: [] for name in KINDS}
    floats = []
    for _ in range(args.rounds):
        seconds, _ = timed(plain)
        floats.append(1000 * seconds)
        for name, steps in runs.items():
            mine, sign = timed(steps)
            if sign == -1 or "while" not in name:
                ratios[name].append(mine / seconds)
    lines = [
        f"ELQ step beside a float step, ResNet-20, batch 128, {datetime.date.today()}, {environment()}, "
        f"load average {os.getloadavg()[0]:.2f}",
        f"float step: {statistics.median(floats):.1f} ms",
    ]
    for name, values in ratios.items():
        if len(values) < 3:
            lines.append(f"{name}: only {len(values)} such step(s)")
            continue
        low, middle, high = statistics.quantiles(values, n=4)
        lines.append(f"{name}: {middle:.2f} ({low:.2f} .. {high:.2f}), {len(values)} steps")
    text = "\n".join(lines) + "\n"
    sys.stdout.write(text)
    if args.output:
        args.output.write_text(text)


if __name__ == "__main__":
    main()
