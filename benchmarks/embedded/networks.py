"""Instructions of whole exported networks on emulated processors, beside the same with a byte a weight in every layer.

    python -m benchmarks.embedded networks [FILE.elq ...] [--targets m3,m4] [-o FILE.txt]

One picture through NAME_run, from the table of the input to the last sums, counted as by forms, beside what
interpret_int8 gives. By default LeNet-5 on the digits and ResNet-20 of CIFAR-10; a network without scales gets
them from random pictures, which changes counts by a branch here and there. In bytes: weights, all constants with them,
code of the network's object file without self-test, the arena.
"""

import argparse
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from elq_ref.deploy.calibration import histograms, scale
from elq_ref.deploy.derive import derive
from elq_ref.export_c import export_c
from elq_ref.export_c.choice import FORMS
from elq_ref.runtime import PackedNetwork, interpret_int8
from tools.boards import count
from tools.boards.one_layer import code_bytes

from .. import ROOT
from ..result_text import add_output, write_result
from .forms import KNOWN, about
from .forms import TARGETS as OWN

FILES = (
    "examples/lenet5-int8.elq",
    "benchmarks/results/cifar10-resnet20-ternary.elq",
    "benchmarks/results/cifar10-resnet20-binary.elq",
)
# Of the export: what the forms are chosen for; the last one takes a byte a weight.
EXPORTS = {"speed": {"prefer": "speed"}, "size": {"prefer": "size"}, "int8": {"prefer": "speed"}}
TARGETS = {"m0": "m0", "m3": "portable", "m4": "dsp", "rv32": "portable", "AArch64 with SDOT": "neon"}
PROGRAM = """
#include "board.h"
#include "net.h"
static const uint8_t picture[] = {%s};
static const int32_t wanted[] = {%s};
static uint32_t arena[NET_ARENA_BYTES / 4 + 1];
int main(void) {
    int32_t raw[NET_CLASSES];
    int wrong = 0;
    BOARD_COUNT("empty", );
    BOARD_COUNT("run", wrong = net_run(arena, sizeof arena, picture, raw));
    for (int i = 0; i < NET_CLASSES; i++) wrong |= raw[i] != wanted[i];
    return wrong != 0;
}
"""


def load(path: str) -> PackedNetwork:
    """A network with scales."""
    network = PackedNetwork.load(path)
    if network.int8 is not None:
        return network
    pictures = np.random.default_rng(0).integers(0, 256, (16, *network.graph.input_shape), np.uint8)
    scales = {name: scale(h, "mse") for name, h in histograms(network, pictures).items()}
    return replace(network, int8=derive(network, scales, {"method": "mse"}))


def measure(network: PackedNetwork, target: str, kind: str, folder: Path) -> dict[str, Any]:
    """The figures of a network on a target."""
    int8 = network.int8
    assert int8 is not None
    forms = [form for form in FORMS if kind != "int8" or form.name.startswith("int8")]
    made = export_c(network, "net", target=TARGETS[target], selftest=False, forms=forms, **EXPORTS[kind])
    made.save(folder)
    picture = np.random.default_rng(1).integers(0, 256, (1, *network.graph.input_shape), np.uint8)
    raw = interpret_int8(int8, picture).raw[0]
    pixels = np.moveaxis(picture[0], 0, -1).ravel()
    (folder / "main.c").write_text(PROGRAM % (", ".join(map(str, pixels)), ", ".join(map(str, raw))))
    known, flags = KNOWN[OWN[target][0]], [*OWN[target][1].split(), f"-I{folder}"]
    counts = count(known, [folder / "net.c", folder / "main.c"], folder / "program", flags, 600)
    contents = made.contents
    return {
        "target": target,
        "choice": kind,
        "instructions": counts["run"],
        "macs": contents.macs,
        "weight_bytes": contents.weight_bytes,
        "constant_bytes": contents.constant_bytes,
        "arena_bytes": contents.plan.bytes,
        "code_bytes": code_bytes(known, folder / "program-0.o"),
        "forms": dict(Counter(form.name for form in contents.forms if form)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", default=[str(ROOT / name) for name in FILES], metavar="FILE.elq")
    parser.add_argument("--targets", default=",".join(TARGETS), help="some of %(default)s")
    add_output(parser)
    options = parser.parse_args()
    lines = [about(target) for target in options.targets.split(",")]
    figures = []
    head = f"{'target':<18}{'choice':<7}{'instructions':>12}{'a MAC':>8}"
    head += f"{'weights':>9}{'constants':>10}{'code':>7}{'arena':>7}  forms"
    print("\n".join(lines))
    with tempfile.TemporaryDirectory() as folder:
        for path in options.files:
            network = load(path)
            lines += ["", Path(path).name, head]
            print("\n".join(lines[-3:]), flush=True)
            for target in options.targets.split(","):
                for kind in EXPORTS:
                    f = measure(network, target, kind, Path(folder))
                    forms = ", ".join(f"{count} {name}" for name, count in f["forms"].items())
                    line = f"{target:<18}{kind:<7}{f['instructions']:>12}{f['instructions'] / f['macs']:>8.3f}"
                    line += f"{f['weight_bytes']:>9}{f['constant_bytes']:>10}{f['code_bytes']:>7}{f['arena_bytes']:>7}"
                    lines.append(f"{line}  {forms}")
                    print(lines[-1], flush=True)
                    figures.append({"network": Path(path).name, **f})
    write_result(options.output, "\n".join(lines), figures)
