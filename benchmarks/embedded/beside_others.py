"""BitNetMCU's and bitnet-edge's shapes, exported: instructions, flash, RAM, accuracy beside what they publish.

    python -m benchmarks.embedded beside_others [--data-dir DIR] [-o FILE.txt]

Instructions are ours, counted by an emulator of boards (tools/boards); cycles are theirs, measured by them on their
chips. The two are no ratio of each other: an instruction takes a cycle or more. Each count is of a run whose integers
were the ones that Python computes. Nothing is timed, so a busy machine does not matter.
"""

import argparse
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elq_ref.cli.output import table
from elq_ref.export_c import export_c
from elq_ref.runtime import PackedNetwork, Session, interpret_int8
from tools.boards import TARGETS, Target, build, compile_object, run

from ..result_text import add_output, write_result
from .peer_networks import FOLDER, pictures, right

FORMS = {"m0": "m0", "m4": "dsp", "rv32": "portable"}  # board -> what export-c is told; CH32V002 is a RISC-V 32
PICTURES = 3
MAIN = """
#include "board.h"
#include "net.h"
static uint32_t arena[(NET_ARENA_BYTES + 3) / 4];
static int32_t raw[NET_CLASSES];
static const uint8_t pictures[][NET_INPUT_BYTES] = {@PICTURES@};
int main(void) {
    BOARD_COUNT("empty", );
    for (unsigned i = 0; i < sizeof pictures / sizeof pictures[0]; i++) {
        BOARD_COUNT("run", net_run(arena, sizeof arena, pictures[i], raw));
        board_put("raw");
        for (int o = 0; o < NET_CLASSES; o++) board_put(" "), board_put_signed(raw[o]);
        board_put("\\n");
    }
    return 0;
}
"""


@dataclass(frozen=True)
class Published:
    """Of the same shape, by its authors. cycles of one picture on `chip`; flash, ram: in their words."""

    who: str
    chip: str
    cycles: int
    flash: str
    ram: str
    accuracy: str
    source: str


_MCU = "github.com/cpldcpu/BitNetMCU at def8bc4: mcu/readme.md, docs/documentation_cnn.md"
_EDGE = "github.com/bxf1001g/bitnet-edge at d50bbe3: README.md"
_MCU_64 = Published(
    "BitNetMCU, 64-wide CNN",
    "CH32V002, RV32EmC",
    2_736_250,
    "11.0 kB of weights",
    "2,048 bytes of buffers",
    "99.55 %",
    _MCU,
)
PUBLISHED = {
    "bitnetmcu-64": _MCU_64,
    "bitnetmcu-64-ternary": _MCU_64,
    "bitnet-edge-cifar10": Published(
        "bitnet-edge, CIFAR-10",
        "ESP32-S3",
        round(0.3333 * 240e6),
        "67 KB of weights",
        "two buffers of 65 KB",
        "69.02 %",
        _EDGE,
    ),
}


def program(network: PackedNetwork, pictures: np.ndarray, form: str, folder: Path) -> tuple[list[Path], dict[str, int]]:
    """The C of a program that runs `pictures`, and the sizes that the header states."""
    export = export_c(network, "net", target=form)
    export.save(folder)
    rows = [", ".join(map(str, np.moveaxis(picture, 0, -1).ravel())) for picture in pictures]
    main = folder / "main.c"
    main.write_text(MAIN.replace("@PICTURES@", ", ".join(f"{{{row}}}" for row in rows)))
    contents = export.contents
    sizes = {"arena": contents.plan.bytes, "weights": contents.weight_bytes, "constants": contents.constant_bytes}
    return [main, folder / "net.c"], sizes | {"macs": contents.macs}


def measured(name: str, target: Target, pictures: np.ndarray) -> dict[str, float]:
    """Instructions of a picture, the mean over `pictures`; code and constants of the object file; what a run takes."""
    network = PackedNetwork.load(FOLDER / f"{name}.elq")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        sources, sizes = program(network, pictures, FORMS[target.name], folder)
        flags = [f"-I{folder}"]
        text = run(target, build(target, sources, folder / "program", flags), counting=True)
        raw = np.array([line.split()[1:] for line in text.splitlines() if line.startswith("raw")], np.int64)
        np.testing.assert_array_equal(raw, interpret_int8(network.int8, pictures).raw)
        counts = [int(n) for n in re.findall(r"^count run (\d+)$", text, re.M)]
        marks = int(re.search(r"^count empty (\d+)$", text, re.M)[1])
        return sizes | {"instructions": sum(counts) / len(counts) - marks, "flash": flash(target, sources[1], flags)}


def flash(target: Target, source: Path, flags: Sequence[str]) -> int:
    """Bytes of code and constants of a source, compiled."""
    path = compile_object(target, source, source.with_suffix(".o"), flags)
    size = target.compiler.replace("gcc", "size")
    text, data, bss = map(int, subprocess.check_output([size, str(path)], text=True).splitlines()[1].split()[:3])
    assert (data, bss) == (0, 0)
    return text


def compiler(target: Target) -> str:
    """Its compiler's name and version."""
    said = subprocess.check_output([target.compiler, "--version"], text=True).splitlines()[0]
    return f"{target.name}: {said}"


def lines_of(name: str, figures: dict[str, Any]) -> list[str]:
    """The figures of a network as text."""
    theirs, macs = PUBLISHED[name], figures["macs"]
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
        flash = f"{found['flash']:,} bytes, {found['weights']:,} of weights"
        each = [f"{count:,.0f} instructions", f"{count / macs:.2f} instructions", flash, f"{found['arena']:,} bytes"]
        rows.append([f"{board}, --target {FORMS[board]}", *each, accuracy])
    title = f"{name}: {macs:,} multiply-adds a picture. Published: {theirs.who} ({theirs.source})"
    return [title, table(rows), ""]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="folder of the data sets (default: the environment variable ELQ_DATA)")
    add_output(parser)
    args = parser.parse_args()
    text, every = [], {}
    for name in PUBLISHED:
        _, test = pictures(name, args.data_dir)
        session = Session(PackedNetwork.load(FOLDER / f"{name}.elq"), activations="int8")
        boards = {board: measured(name, TARGETS[board], test.images[:PICTURES]) for board in FORMS}
        macs = {int(found["macs"]) for found in boards.values()}
        figures = {"macs": macs.pop(), "right": right(session, test), "of": len(test), "boards": boards}
        every[name] = figures | {"published": asdict(PUBLISHED[name])}
        text += lines_of(name, figures)
    text += [
        f"Instructions: ours, the mean of {PICTURES} test pictures. Cycles: theirs.",
        "Flash: code and constants of NAME.c, its self-test among them. RAM: the arena.",
        *(compiler(TARGETS[board]) for board in FORMS),
    ]
    print("\n".join(text))
    write_result(args.output, "\n".join(text), every)
    return 0
