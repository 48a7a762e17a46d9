"""BitNetMCU's and bitnet-edge's shapes, exported: instructions, flash, RAM, accuracy beside what they publish.

    python -m benchmarks.embedded beside_others [--data-dir DIR] [-o FILE.txt]

Instructions are ours, counted by an emulator of boards (tools/boards), the mean of three test pictures; cycles are
theirs, measured by them on their chips: no ratio, as an instruction takes a cycle or more. Flash is weights, then code
and constants in all, without the self-test; RAM is the arena and the stack below the call. Each count is of a run whose
integers were the ones that Python computes. Nothing is timed, so a busy machine does not matter.
"""

import argparse
from dataclasses import asdict, dataclass
from typing import Any

from elq_ref.cli.output import table
from elq_ref.runtime import PackedNetwork, Session
from tools.boards import TARGETS

from ..result_text import add_output, write_result
from .on_board import compiler, measured
from .peer_networks import FOLDER, pictures, right

FORMS = {"m0": "m0", "m4": "dsp", "rv32": "portable"}  # board -> what export-c is told; CH32V002 is a RISC-V 32
PICTURES = 3


@dataclass(frozen=True)
class Published:
    """Of the same shape, by its authors. cycles of a picture on `chip`; flash, ram: as they say. BitNetMCU's RAM: the
    two arrays of its inference function; bitnet-edge's cycles: 333.3 ms at 240 MHz.
    """

    who: str
    chip: str
    cycles: int
    flash: str
    ram: str
    accuracy: str
    source: str


PUBLISHED = {
    "bitnetmcu-64": Published(
        "BitNetMCU, 64-wide CNN, MNIST 16x16",
        "CH32V002, RV32EmC",
        2_736_250,
        "11.0 kB of weights",
        "2,048 bytes of buffers",
        "99.55 %",
        "github.com/cpldcpu/BitNetMCU at def8bc4: mcu/readme.md, docs/documentation_cnn.md",
    ),
    "bitnet-edge-cifar10": Published(
        "bitnet-edge, CIFAR-10",
        "ESP32-S3",
        round(0.3333 * 240e6),
        "67 KB of weights",
        "two buffers of 65 KB",
        "69.02 %",
        "github.com/bxf1001g/bitnet-edge at d50bbe3: README.md",
    ),
}


def text_of(name: str, figures: dict[str, Any]) -> str:
    """The figures of a network as text."""
    theirs, macs = PUBLISHED[name], figures["boards"]["m4"]["macs"]
    accuracy = f"{100 * figures['right'] / figures['of']:.2f} %"
    rows = [
        ["", "a picture", "a multiply-add", "flash", "RAM", "accuracy"],
        [
            theirs.chip,
            f"{theirs.cycles:,} cycles",
            f"{theirs.cycles / macs:.2f} cycles",
            theirs.flash,
            theirs.ram,
            theirs.accuracy,
        ],
    ]
    for board, found in figures["boards"].items():
        count = found["instructions"]
        flash = f"{found['weights']:,} of {found['flash']:,} bytes"
        ram = f"{found['arena']:,} + {found['stack']:,} bytes"
        each = [f"{count:,.0f} instructions", f"{count / macs:.2f} instructions", flash, ram]
        rows.append([f"{board}, --target {FORMS[board]}", *each, accuracy])
    return f"{theirs.who}, {macs:,} multiply-adds a picture; {theirs.source}\n{table(rows)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="folder of the data sets (default: the environment variable ELQ_DATA)")
    add_output(parser)
    args = parser.parse_args()
    text, every = ["\n".join(compiler(TARGETS[board]) for board in FORMS)], {}
    for name in PUBLISHED:
        _, test = pictures(name, args.data_dir)
        network = PackedNetwork.load(FOLDER / f"{name}.elq")
        boards = {
            board: asdict(measured(network, test.images[:PICTURES], TARGETS[board], form))
            for board, form in FORMS.items()
        }
        found = right(Session(network, activations="int8"), test)
        figures = {"right": found, "of": len(test), "boards": boards}
        every[name] = figures | {"published": asdict(PUBLISHED[name])}
        text.append(text_of(name, figures))
    print("\n\n".join(text))
    write_result(args.output, "\n\n".join(text), every)
    return 0
