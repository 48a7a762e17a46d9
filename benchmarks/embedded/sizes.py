"""Flash, RAM and instructions of the committed networks, exported for a Cortex-M4.

    python -m benchmarks.embedded sizes [--data-dir DIR] [-o benchmarks/results/embedded_sizes.txt]

Bytes, without the self-test: flash is constants, most of them weights, and code; RAM is the arena and the stack below
the call. The ResNet-20 are calibrated first, on training pictures of CIFAR-10 (ELQ_DATA or --data-dir). Pictures are
random: hardly an instruction depends on them. Nothing is timed, so a busy machine does not matter.
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
    "LeNet-5, digits": "examples/lenet5-int8.elq",
    "three convolutions, drawn digits": "examples/browser/drawn-digits.elq",
    "ResNet-20, CIFAR-10": "benchmarks/results/cifar10-resnet20-ternary.elq",
    "ResNet-20, CIFAR-10, binary": "benchmarks/results/cifar10-resnet20-binary.elq",
    "BitNetMCU's shape, MNIST 16x16": "benchmarks/networks/bitnetmcu-64.elq",
}
PREFERENCES = ("size", "speed")
BOARD, FORM = TARGETS["m4"], "dsp"


def row(name: str, prefer: str, found: OnBoard) -> list[str]:
    """A line of the table."""
    code = found.flash - found.constants
    numbers = [found.flash, found.weights, code, found.arena, found.stack, found.macs]
    return [name, prefer, *(f"{n:,}" for n in numbers), f"{found.instructions / found.macs:.2f}"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="folder of the data sets (default: the environment variable ELQ_DATA)")
    add_output(parser)
    args = parser.parse_args()
    rows = [["network", "prefer", "flash", "weights", "code", "arena", "stack", "multiply-adds", "instructions each"]]
    figures = {}
    for name, path in NETWORKS.items():
        network, pictures = ready(PackedNetwork.load(ROOT / path), args.data_dir)
        for prefer in PREFERENCES:
            found = measured(network, pictures, BOARD, FORM, prefer)
            rows.append(row(name, prefer, found))
            figures[f"{path} {prefer}"] = asdict(found)
    text = [compiler(BOARD), "", table(rows)]
    print("\n".join(text))
    write_result(args.output, "\n".join(text), figures)
    return 0


def ready(network: PackedNetwork, data_dir: str | None) -> tuple[PackedNetwork, np.ndarray]:
    """The network with scales of int8 activations, and a picture."""
    if network.int8 is None:
        train = datasets.load("cifar10", data_dir, "train")
        network = calibrate(network, train.images[np.arange(512) * len(train) // 512])
    return network, np.random.default_rng(0).integers(0, 256, (1, *network.graph.input_shape), np.uint8)
