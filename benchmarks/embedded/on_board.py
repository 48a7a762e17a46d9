"""An exported network on an emulated board: the instructions of a picture, and the bytes of flash, arena and stack."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from elq_ref.export_c import export_c
from elq_ref.runtime import PackedNetwork, interpret_int8
from tools.boards import Target, build, compile_object, run

MAIN = """
#include "board.h"
#include "net.h"

#define PAINTED 3000 /* bytes of stack below this function */
static uint32_t arena[(NET_ARENA_BYTES + 3) / 4];
static int32_t raw[NET_CLASSES];
static const uint8_t pictures[][NET_INPUT_BYTES] = {@PICTURES@};

static volatile uint8_t *below(void) { return (volatile uint8_t *)__builtin_frame_address(0) - 64; }

int main(void) {
    BOARD_COUNT("empty", );
    for (unsigned i = 0; i < sizeof pictures / sizeof pictures[0]; i++) {
        BOARD_COUNT("run", net_run(arena, sizeof arena, pictures[i], raw));
        board_put("raw");
        for (int o = 0; o < NET_CLASSES; o++) board_put(" "), board_put_signed(raw[o]);
        board_put("\\n");
    }
    volatile uint8_t *const end = below();
    for (int i = 1; i <= PAINTED; i++) end[-i] = 0xA5;
    net_run(arena, sizeof arena, pictures[0], raw);
    int used = PAINTED;
    while (used && end[-used] == 0xA5) used--;
    board_put("stack ");
    board_put_signed(used + 64);
    board_put("\\n");
    return 0;
}
"""


@dataclass(frozen=True)
class OnBoard:
    """Of one network on one board. instructions: of a picture, the mean over those tried; flash: code and constants of
    NAME.c without its self-test; the others: bytes, and multiply-adds.
    """

    instructions: float
    flash: int
    weights: int
    constants: int
    arena: int
    bound: int
    stack: int
    macs: int


def measured(network: PackedNetwork, pictures: np.ndarray, board: Target, form: str, prefer: str = "speed") -> OnBoard:
    """Export for `form`, build for `board`, run pictures uint8 (N, C, H, W); AssertionError where an integer is not
    the one of Python.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        export = export_c(network, "net", target=form, prefer=prefer, selftest=False)
        export.save(folder)
        rows = [", ".join(map(str, np.moveaxis(picture, 0, -1).ravel())) for picture in pictures]
        (folder / "main.c").write_text(MAIN.replace("@PICTURES@", ", ".join(f"{{{row}}}" for row in rows)))
        flags = [f"-I{folder}"]
        program = build(board, [folder / "main.c", folder / "net.c"], folder / "program", flags)
        text = run(board, program, counting=True)
        flash = _flash(board, folder / "net.c", flags)
    raw = np.array([line.split()[1:] for line in text.splitlines() if line.startswith("raw")], np.int64)
    np.testing.assert_array_equal(raw, interpret_int8(network.int8, pictures).raw)
    counts = [int(n) for n in re.findall(r"^count run (\d+)$", text, re.M)]
    marks, stack = (int(re.search(rf"^{word} (\d+)$", text, re.M)[1]) for word in ("count empty", "stack"))
    contents, plan = export.contents, export.contents.plan
    sizes = contents.weight_bytes, contents.constant_bytes, plan.bytes, plan.bound
    return OnBoard(sum(counts) / len(counts) - marks, flash, *sizes, stack, contents.macs)


def _flash(board: Target, source: Path, flags: Sequence[str]) -> int:
    """Bytes of code and constants of a source, compiled."""
    path = compile_object(board, source, source.with_suffix(".o"), flags)
    size = board.compiler.replace("gcc", "size")
    text, data, bss = map(int, subprocess.check_output([size, str(path)], text=True).splitlines()[1].split()[:3])
    assert (data, bss) == (0, 0)
    return text


def compiler(board: Target) -> str:
    """A board's compiler, with its version."""
    said = subprocess.check_output([board.compiler, "--version"], text=True).splitlines()[0]
    return f"{board.name}: {said}"
