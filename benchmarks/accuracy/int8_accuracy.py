"""What int8 activations do to accuracy, by method of calibration.

python -m benchmarks.accuracy int8_accuracy FILE.elq ... [--count 512] [-o FILE]

For each packed CIFAR-10 network (ELQ_DATA or --data-dir) and each method of calibration on --count training images:
right answers of the 10,000 test images, the difference from float activations in points, and on how many images the
two give the same answer; with the error of the logits in dB and the size of the file. Nothing is timed, so a busy
machine does not matter; the float network is computed in the order of runtime/ordered.py, so no machine does.
"""

import argparse
import datetime
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from elq_ref import datasets
from elq_ref.deploy import derive
from elq_ref.deploy.calibration import RULES, histograms, scale
from elq_ref.runtime import PackedNetwork, Session
from elq_ref.runtime.format import to_bytes
from elq_ref.runtime.ordered import OrderedNetwork
from elq_ref.training.state import environment

from ..result_text import add_output, made_by, write_result

BATCH = 100


def size(network: PackedNetwork) -> int:
    """Bytes of its file."""
    return len(to_bytes(network.graph, network.metadata, network.int8))


def in_order(network: PackedNetwork) -> Callable[[np.ndarray], np.ndarray]:
    """What gives the float network's logits of uint8 images."""
    ordered, graph = OrderedNetwork(network.graph, network.shapes), network.graph
    return lambda images: ordered.values(network.metadata.normalization.apply(images))[graph.output]


def logits(run: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> np.ndarray:
    return np.concatenate([run(images[first : first + BATCH]) for first in range(0, len(images), BATCH)])


def measured(path: str, train: datasets.Dataset, test: datasets.Dataset, count: int) -> dict[str, Any]:
    """Of one packed network: pictures right, bytes of the file; the same and more of each method of calibration."""
    network = PackedNetwork.load(path)
    images = train.images[np.arange(count) * len(train) // count]
    found = histograms(network, images)
    wanted = logits(in_order(network), test.images)
    right = int((wanted.argmax(1) == test.labels).sum())
    int8: dict[str, dict[str, Any]] = {}
    for rule in RULES:
        derived = derive(network, {name: scale(h, rule) for name, h in found.items()}, {"method": rule})
        calibrated = replace(network, int8=derived)
        got = logits(Session(calibrated, activations="int8"), test.images)
        here = int((got.argmax(1) == test.labels).sum())
        same = int((got.argmax(1) == wanted.argmax(1)).sum())
        noise = 10 * np.log10(np.square(wanted).sum() / np.square(wanted - got).sum())
        int8[rule] = {"right": here, "same_answer": same, "logits_db": float(noise), "bytes": size(calibrated)}
    return {"right": right, "of": len(test), "bytes": size(network), "int8": int8}


def lines_of(name: str, figures: dict[str, Any]) -> list[str]:
    """The figures of a network as text."""
    right, total = figures["right"], figures["of"]
    lines = [f"{name}: float32 activations {right} of {total} right; {figures['bytes']:,} bytes"]
    for rule, f in figures["int8"].items():
        lines.append(
            f"  {rule:<10}  {f['right']} right ({100 * (f['right'] - right) / total:+.2f} points), "
            f"same answer {f['same_answer']}, logits {f['logits_db']:.1f} dB; {f['bytes']:,} bytes"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+")
    parser.add_argument("--count", type=int, default=512)
    parser.add_argument("--data-dir")
    add_output(parser)
    args = parser.parse_args()
    train, test = datasets.load("cifar10", args.data_dir)
    lines = [f"int8 activations, {args.count} training images, {datetime.date.today()}, {made_by(environment())}"]
    found = {Path(path).name: measured(path, train, test, args.count) for path in args.networks}
    for name, figures in found.items():
        lines += lines_of(name, figures)
    print("\n".join(lines))
    write_result(args.output, "\n".join(lines), found)
