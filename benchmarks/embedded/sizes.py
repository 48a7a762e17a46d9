"""Flash, RAM and instructions of the committed networks, exported for a Cortex-M4.

    python -m benchmarks.embedded sizes [--data-dir DIR] [-o benchmarks/results/embedded_sizes.txt]

The ResNet-20 of benchmarks/results are calibrated first, on training pictures of CIFAR-10 (ELQ_DATA or --data-dir); of
the others the file says all. Nothing is timed, so a busy machine does not matter.
"""

import argparse
from dataclasses import asdict
from pathlib import Path

import numpy as np

from elq_ref import datasets
from elq_ref.cli.output import table
from elq_ref.deploy.calibration import calibrate
from elq_ref.runtime import PackedNetwork
from tools.boards import TARGETS

from ..result_text import add_output, write_result
from .on_board import OnBoard, compiler, measured

ROOT = Path(__file__).parents[2]
NETWORKS = {
    "LeNet-5, digits, ternary": "examples/lenet5-int8.elq",
    "demo's network, drawn digits, ternary": "examples/browser/drawn-digits.elq",
    "ResNet-20, CIFAR-10, ternary": "benchmarks/results/cifar10-resnet20-ternary.elq",
    "ResNet-20, CIFAR-10, binary": "benchmarks/results/cifar10-resnet20-binary.elq",
}
PREFERENCES = ("size", "speed")
BOARD, FORM = TARGETS["m4"], "dsp"


def row(name: str, prefer: str, found: OnBoard) -> list[str]:
    """A line of the table."""
    code = found.flash - found.constants
    numbers = [found.macs, found.weights, found.constants, code, found.flash, found.arena, found.bound, found.stack]
    per = f"{found.instructions / found.macs:.2f}"
    return [name, prefer, *(f"{n:,}" for n in numbers), f"{found.instructions:,.0f}", per]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="folder of the data sets (default: the environment variable ELQ_DATA)")
    add_output(parser)
    args = parser.parse_args()
    head = ["network", "prefer", "MACs", "weights", "constants", "code", "flash", "arena", "bound", "stack"]
    rows, figures = [[*head, "instructions", "a MAC"]], {}
    for name, path in NETWORKS.items():
        network, pictures = ready(PackedNetwork.load(ROOT / path), args.data_dir)
        for prefer in PREFERENCES:
            found = measured(network, pictures, BOARD, FORM, prefer)
            rows.append(row(name, prefer, found))
            figures[f"{path} {prefer}"] = asdict(found)
    text = [
        table(rows),
        "",
        "Bytes, without the self-test; flash is constants (the weights among them) and code.",
        compiler(BOARD),
    ]
    print("\n".join(text))
    write_result(args.output, "\n".join(text), figures)
    return 0


def ready(network: PackedNetwork, data_dir: str | None) -> tuple[PackedNetwork, np.ndarray]:
    """The network with scales of int8 activations, and two test pictures."""
    if network.graph.input_shape == (1, 8, 8):
        _, test = datasets.digits()
    else:
        train, test = datasets.load("cifar10", data_dir)
    if network.int8 is None:
        network = calibrate(network, train.images[np.arange(512) * len(train) // 512])
    return network, test.images[:2]
