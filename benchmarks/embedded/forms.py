"""Instructions of every form of weights of exported C on emulated processors, exactly counted.

    python -m benchmarks.embedded forms [--targets m3,m4] [--layers 3x3] [-o FILE.txt]

Whole layers: operands gathered, sums, requantization, results stored; what they compute is compared with NumPy. The
emulator (qemu, -icount) advances a clock of the board by a fixed time an instruction; an empty measurement is
subtracted, and tests/export_c/test_boards.py counts loops of known length. Instructions, not cycles: an emulator has
none. memcpy is that of tools/boards/c/memory.c. A macro undefined for a target takes its instructions away.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from elq_ref.export_c.choice import FORMS
from elq_ref.export_c.layers import Layer
from tools.boards import TARGETS as KNOWN
from tools.boards import count
from tools.boards.one_layer import Case, code_bytes, program

from ..result_text import add_output, write_result

# (channels, outputs, kernel, size, stride, groups)
LAYERS = {
    "3x3 32->32, 16x16": (32, 32, 3, 16, 1, 1),
    "3x3 32->32, 8x8": (32, 32, 3, 8, 1, 1),
    "3x3 16->16, 16x16": (16, 16, 3, 16, 1, 1),
    "3x3 64->64, 8x8": (64, 64, 3, 8, 1, 1),
    "3x3 3->16, 16x16": (3, 16, 3, 16, 1, 1),
    "5x5 6->16, 10x10": (6, 16, 5, 10, 1, 1),
    "3x3 16->32, 16x16 by 2": (16, 32, 3, 16, 2, 1),
    "1x1 64->64, 8x8": (64, 64, 1, 8, 1, 1),
    "3x3 32->32, 8x8, 4 groups": (32, 32, 3, 8, 1, 4),
    "3x3 32, 16x16, by channel": (32, 32, 3, 16, 1, 32),
    "linear 400->120": (400, 120, 1, 1, 1, 1),
    "linear 84->10": (84, 10, 1, 1, 1, 1),
    "linear 1024->32": (1024, 32, 1, 1, 1, 1),
}
TARGETS = {
    "m0": ("m0", ""),
    "m3": ("m3", ""),
    "m4": ("m4", ""),
    "m7": ("m7", ""),
    "m4 without DSP": ("m4", "-U__ARM_FEATURE_DSP"),
    "m33": ("m33", ""),
    "m55": ("m55", ""),
    "rv32": ("rv32", ""),
    "AArch64 without NEON": ("aarch64-a72-bare", "-U__ARM_NEON"),
    "AArch64": ("aarch64-a72-bare", ""),
    "AArch64 with SDOT": ("aarch64-bare", ""),
}
DENSITY = 0.5  # of ternary weights


def layer_of(name: str, levels: str) -> tuple[Layer, np.ndarray, np.ndarray]:
    """A layer with random weights and constants, operands int8 (h, w, c), and what it computes."""
    c, o, kernel, size, stride, groups = LAYERS[name]
    rng = np.random.default_rng(0)
    k, padding = kernel * kernel * c // groups, kernel // 2 if size > 1 and kernel != 5 else 0
    rows = rng.choice([-1, 1], (o, k)).astype(np.int8)
    if levels == "int8":
        rows = rng.integers(-127, 128, (o, k)).astype(np.int8)
    elif levels == "ternary":  # exactly so many, at random places
        rows.ravel()[rng.permutation(rows.size)[round(DENSITY * rows.size) :]] = 0
    out = (size + 2 * padding - kernel) // stride + 1
    deviation = 37 * (k * (3000 if levels == "int8" else 0.7)) ** 0.5
    s = 32 + round(np.log2(deviation / 20))  # so that results fill int8
    layer = Layer(
        *(0, name, "conv", "conv", (), size, size, c, out, out, o, kernel, kernel, stride, stride, 1, 1),
        *(padding, padding, groups),
        **{"lo": 0, "l": 1, "rows": rows, "levels": levels, "b": rng.integers(-200, 200, o).astype(np.int32)},
        **{"q31": rng.integers(1 << 30, (1 << 31) - 1, o).astype(np.int32), "s": np.full(o, max(s, 33), np.uint8)},
    )
    x = rng.integers(-128, 128, (size, size, c)).astype(np.int8)
    return layer, x, computed(layer, x)


def computed(layer: Layer, x: np.ndarray) -> np.ndarray:
    """int8 (p, q, o) by NumPy."""
    wide = np.pad(x.astype(np.int64), ((layer.top,) * 2, (layer.left,) * 2, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(wide, (layer.kh, layer.kw), (0, 1))[:: layer.sy, :: layer.sx]
    per_group = windows.reshape(layer.p, layer.q, layer.groups, -1, layer.kh, layer.kw).transpose(0, 1, 2, 4, 5, 3)
    rows = layer.rows.reshape(layer.groups, layer.o // layer.groups, layer.k).astype(np.int64)
    sums = np.einsum("pqgk,gok->pqgo", per_group.reshape(layer.p, layer.q, layer.groups, layer.k), rows)
    sums = sums.reshape(layer.p, layer.q, layer.o) + layer.b
    s = layer.s.astype(np.int64)
    return (
        ((((sums << layer.l) * layer.q31.astype(np.int64)) + (1 << (s - 1))) >> s).clip(layer.lo, 127).astype(np.int8)
    )


def cases_of(name: str) -> list[Case]:
    """Every form that can hold the weights of a layer: ternary where it can hold those, else binary, else int8."""
    found = []
    for form in FORMS:
        for levels in ("int8",) if form.name.startswith("int8") else ("ternary", "binary"):
            layer, x, wanted = layer_of(name, levels)
            if form.fits(layer):
                found.append(Case(f"{name}, {form.name}, {levels}", layer, form, x, wanted))
                break
    return found


def measure(wanted: list[str], target: str, folder: Path) -> list[dict[str, Any]]:
    """A figure of each layer and form."""
    known, flags = KNOWN[TARGETS[target][0]], TARGETS[target][1].split()
    cases = [case for name in wanted for case in cases_of(name)]
    figures = []
    for form in FORMS:
        own = [case for case in cases if case.form is form]
        if not own:
            continue
        source = folder / "layers.c"
        source.write_text(program(own))
        counts = count(known, [source], folder / "program", flags, 300)
        code = code_bytes(known, folder / "program-0.o")
        for case in own:
            layer, words = case.layer, form.encode(case.layer)
            sizes = {"weight_bytes": words.nbytes, "scratch_bytes": form.scratch_bytes(layer), "code_bytes": code}
            figure = {"target": target, "layer": layer.name, "form": form.name, "levels": layer.levels}
            figures.append(figure | {"macs": layer.macs, "instructions": counts[case.name]} | sizes)
    return sorted(figures, key=lambda figure: wanted.index(figure["layer"]))


def about(target: str) -> str:
    """Compiler and flags of a target."""
    known, more = KNOWN[TARGETS[target][0]], TARGETS[target][1]
    version = subprocess.run([known.compiler, "--version"], capture_output=True, text=True, check=True).stdout
    hidden = ("-DTIMER", "-DTICK", "-DSHIFT", "-DCOUNTER", "-nostdlib", "-Wl", "-static", "-fno-pie")
    flags = [flag for flag in known.flags if not flag.startswith(hidden)]
    return f"{target}: {version.splitlines()[0]}, {' '.join([*flags, *more.split()])}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", default=",".join(TARGETS), help="some of %(default)s")
    parser.add_argument("--layers", default="", help="what a layer's name must contain")
    add_output(parser)
    options = parser.parse_args()
    wanted = [name for name in LAYERS if options.layers in name]
    lines, figures = [], []
    head = (
        f"{'layer':<27}{'form':<18}{'weights':<9}{'instructions':>12}{'a MAC':>9}{'bits':>7}{'scratch':>9}{'code':>7}"
    )
    with tempfile.TemporaryDirectory() as folder:
        for target in options.targets.split(","):
            lines += ["", about(target), head]
            print("\n".join(lines[-2:]), flush=True)
            for figure in measure(wanted, target, Path(folder)):
                bits = 8 * figure["weight_bytes"] / np.prod(layer_of(figure["layer"], "binary")[0].rows.shape)
                lines.append(
                    f"{figure['layer']:<27}{figure['form']:<18}{figure['levels']:<9}{figure['instructions']:>12}"
                    f"{figure['instructions'] / figure['macs']:>9.3f}{bits:>7.2f}{figure['scratch_bytes']:>9}"
                    f"{figure['code_bytes']:>7}"
                )
                print(lines[-1], flush=True)
                figures.append(figure)
    text = (
        "Half of the ternary weights are 0. a MAC: instructions a multiply-add, zeros counted; bits: a weight in flash."
    )
    write_result(options.output, "\n".join([text, *lines]), figures)
