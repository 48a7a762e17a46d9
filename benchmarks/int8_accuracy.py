"""What int8 activations do to accuracy: python benchmarks/int8_accuracy.py FILE.elq ... [--count 512] [-o FILE]

For each packed CIFAR-10 network (ELQ_DATA or --data-dir) and each method of calibration on --count training images:
right answers of the 10,000 test images, the difference from float activations in points, and on how many images the
two give the same answer; with the error of the logits in dB and the size of the file. Nothing is timed, so a busy
machine does not matter.
"""

import argparse
import datetime
from dataclasses import replace
from pathlib import Path

import numpy as np
from result_text import keep, made_by

from elq_ref import datasets
from elq_ref.deploy import derive
from elq_ref.deploy.calibration import RULES, histograms, scale
from elq_ref.runtime import PackedNetwork, Session
from elq_ref.runtime.format import to_bytes
from elq_ref.training.state import environment

BATCH = 100


def logits(session: Session, images: np.ndarray) -> np.ndarray:
    return np.concatenate([session(images[first : first + BATCH]) for first in range(0, len(images), BATCH)])


def rows(path: str, train: datasets.Dataset, test: datasets.Dataset, count: int) -> list[str]:
    network = PackedNetwork.load(path)
    images = train.images[np.arange(count) * len(train) // count]
    found = histograms(network, images)
    wanted = logits(Session(network), test.images)
    right = int((wanted.argmax(1) == test.labels).sum())
    lines = [f"{Path(path).name}: float32 activations {right} of {len(test)} right; {len(to_bytes(network)):,} bytes"]
    for method in RULES:
        program = derive(network, {name: scale(h, method) for name, h in found.items()}, {"method": method})
        calibrated = replace(network, int8=program)
        got = logits(Session(calibrated, activations="int8"), test.images)
        here = int((got.argmax(1) == test.labels).sum())
        same = int((got.argmax(1) == wanted.argmax(1)).sum())
        noise = 10 * np.log10(np.square(wanted).sum() / np.square(wanted - got).sum())
        lines.append(
            f"  {method:<10}  {here} right ({100 * (here - right) / len(test):+.2f} points), same answer {same}, "
            f"logits {noise:.1f} dB; {len(to_bytes(calibrated)):,} bytes"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="+")
    parser.add_argument("--count", type=int, default=512)
    parser.add_argument("--data-dir")
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    train, test = datasets.load("cifar10", args.data_dir)
    lines = [f"int8 activations, {args.count} training images, {datetime.date.today()}, {made_by(environment())}"]
    for path in args.networks:
        lines += rows(path, train, test, args.count)
    print("\n".join(lines))
    keep(args.output, "\n".join(lines))


if __name__ == "__main__":
    main()
