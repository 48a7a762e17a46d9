"""ResNet-18 and AlexNet on photographs of ten classes, from random weights: float, ternary, binary, float for as long.

python -m benchmarks.accuracy photographs all                  what is not done yet, then the table
python -m benchmarks.accuracy photographs NETWORK-STEP ...     resnet18, alexnet; float longer ternary binary; or table
python -m benchmarks.accuracy photographs all --share 0.02 --runs FOLDER        to see it work

Needs ELQ_DATA with imagenette-128/ (or --data). Every layer is quantized. "longer" is float training of as many passes
as those that end in ternary or binary weights have in all. A step that was stopped goes on, one that is done is
skipped. Choices were made on pictures held out of train/, and the runs are judged on such while they go on; val/ is
read once, by the finished file. The networks see 96x96 pixels: in training random crops, else the centre of the picture
at 112x112. So the feature map before ResNet-18's mean is 3x3, and AlexNet's, 2x2, is spread to the 6x6 that its first
fully connected layer reads (its adaptive mean).
"""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import NamedTuple

from elq_ref.cli.output import table as aligned
from elq_ref.files import atomic_write

from ..result_text import made_by
from .elq_steps import asked, done, quantizing, said, training

INPUT = ["--input", "3,96,96", "--resize", "crop 112"]
BATCH = ["--batch-size", "64"]
PARTS = ("float", "longer", "ternary", "binary")


class Recipe(NamedTuple):
    """Passes and options of a network's runs, chosen on held-out pictures."""

    float_epochs: float
    epochs: float  # of the quantization
    train: list[str]
    quantize: list[str]


RECIPES = {
    "resnet18": Recipe(20, 10, shlex.split("--lr 0.05"), shlex.split("--set epochs=8,1,1,1,1 --lr 0.015")),
    "alexnet": Recipe(40, 20, shlex.split("--lr 0.01"), []),
}
STEPS = {f"{network}-{step}": (network, step) for network in RECIPES for step in PARTS}


def commands(name: str, args: argparse.Namespace) -> list[list[str]]:
    """What follows `elq` in each command of a step; the last one's answer is the step's."""
    network, step = STEPS[name]
    recipe, held = RECIPES[network], ["--hold-out", str(args.held)]
    if step in ("float", "longer"):
        epochs = recipe.float_epochs + (recipe.epochs if step == "longer" else 0)
        words = ["--model", network, *INPUT, *BATCH, *recipe.train, *held]
        words += ["--epochs", f"{epochs * args.share:g}"]
        return training(words, args.runs / f"{name}.safetensors", args.data)
    words = [str(args.runs / f"{network}-float.safetensors"), *BATCH, "--levels", step, *recipe.quantize, *held]
    return quantizing([*words, "--epochs", f"{recipe.epochs * args.share:g}"], args.runs / name, args.data)


def write(args: argparse.Namespace) -> None:
    """The table of what is done, and the commands with the lines of their stages, as text and on output."""
    rows, environment = [["", "passes", "right", "top-1 %", "minus longer", "packed file", "core-hours"]], ""
    found = {name: json.loads((args.runs / f"{name}.json").read_text()) for name in STEPS if _is_done(args, name)}
    for name, result in found.items():
        network, step = STEPS[name]
        recipe, longer = RECIPES[network], found.get(f"{network}-longer")
        passes = recipe.float_epochs + (0 if step == "float" else recipe.epochs)
        less = f"{result['top1'] - longer['top1']:+.2f}" if longer and step != "longer" else "-"
        packed = args.runs / name / "net.elq"
        size = f"{packed.stat().st_size:,}" if packed.is_file() else "-"
        right = f"{result['correct']} of {result['total']}"
        hours = f"{result['cpu_seconds'] / 3600:.2f}"
        rows.append([name, f"{passes * args.share:g}", right, f"{result['top1']:.2f}", less, size, hours])
        if packed.is_file():
            environment = made_by(json.loads((packed.parent / "result.json").read_text())["environment"])
    lines = [
        __doc__.partition("\n")[0],
        "",
        aligned(rows),
        "",
        environment,
        "",
        *said(list(found), args.runs, args.data),
    ]
    text = "\n".join(lines) + "\n"
    with atomic_write(args.output) as temporary:
        temporary.write_text(text)
    print(text)


def _is_done(args: argparse.Namespace, name: str) -> bool:
    return Path(args.runs, f"{name}.json").is_file()


def main() -> None:
    """Parse, do the steps, write the table."""
    args, names = asked(__doc__, "photographs", STEPS, 469)
    for name in names:
        done(name, commands(name, args), args.runs)
    write(args)
