"""Networks of the shapes that BitNetMCU and bitnet-edge publish, trained, quantized and calibrated here.

    python -m benchmarks.embedded peer_networks NAME ... [--data-dir DIR]

Writes benchmarks/networks/NAME.elq and NAME.txt with the command and the accuracy. ELQ_DATA or --data-dir has the data.
Shapes alone are taken over: sizes of all layers, strides, paddings, poolings and the pictures' size. In place of the
others' normalizations (of activations, computed on the device) stands BatchNorm behind each hidden layer, which costs
nothing once it is folded into the requantization.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

import elq_ref as elq
from elq_ref import datasets
from elq_ref.deploy.calibration import calibrate
from elq_ref.files import atomic_write
from elq_ref.machine import cpu_name
from elq_ref.nn import BatchNorm2d, Conv2d, Flatten, Linear, MaxPool2d, Module, ReLU, Sequential
from elq_ref.runtime import Session

from ..result_text import command

FOLDER = Path(__file__).parents[1] / "networks"
CALIBRATED_ON = 512
SEED = 0


def conv(inputs: int, outputs: int, kernel: int, padding: int = 0, groups: int = 1) -> list[Module]:
    """A convolution, BatchNorm, ReLU. Of a picture as large as its kernel it is a fully connected layer."""
    layer = Conv2d(inputs, outputs, kernel, padding=padding, groups=groups, bias=False)
    return [layer, BatchNorm2d(outputs), ReLU()]


def bitnetmcu(width: int = 64) -> Sequential:
    """BitNetMCU's CNNMNIST of `width` channels, then 96 and 64: pictures 1x16x16, no padding, two depthwise layers."""
    return Sequential(
        *conv(1, width, 3), *conv(width, width, 3, groups=width), MaxPool2d(2),
        *conv(width, width, 3, groups=width), MaxPool2d(2),
        *conv(width, 96, 2), *conv(96, 64, 1), Flatten(), Linear(64, 10),
    )  # fmt: skip


def bitnet_edge() -> Sequential:
    """bitnet-edge's VeduBitNetCNN for CIFAR-10: pictures 3x32x32, 16 and 32 channels, then 128."""
    return Sequential(
        *conv(3, 16, 3, padding=1), MaxPool2d(2), *conv(16, 32, 3, padding=1), MaxPool2d(2),
        *conv(32, 128, 8), Flatten(), Linear(128, 10),
    )  # fmt: skip


def smaller(dataset: datasets.Dataset, side: int) -> datasets.Dataset:
    """The same pictures of one channel, `side` x `side`, by Pillow's bilinear filter, as torchvision's Resize does."""
    images = [Image.fromarray(image[0]).resize((side, side), Image.Resampling.BILINEAR) for image in dataset.images]
    return replace(dataset, images=np.stack([np.asarray(image)[None] for image in images]))


class Recipe(NamedTuple):
    """A network and how it is trained. side: pictures are made so large; floats, passes: over the data, in float and of
    quantization; pad, flip: the augmentation; keep_float: weights that become int8 in place of ternary.
    """

    build: Callable[[], Sequential]
    data: str
    side: int
    floats: int
    passes: int
    pad: int
    flip: bool
    keep_float: tuple[str, ...] = ()


DEPTHWISE = ("0.weight", "3.weight", "7.weight")  # BitNetMCU's convolutions, which it keeps at 8 bits
RECIPES = {
    "bitnetmcu-64": Recipe(bitnetmcu, "mnist", 16, 15, 30, 1, False, keep_float=DEPTHWISE),
    "bitnet-edge-cifar10": Recipe(bitnet_edge, "cifar10", 32, 3, 6, 4, True),
}


def pictures(name: str, data_dir: str | None = None) -> tuple[datasets.Dataset, datasets.Dataset]:
    """(train, test) of a recipe, of the size that its network reads."""
    recipe = RECIPES[name]
    both = datasets.load(recipe.data, data_dir)
    if both[0].input_shape[-1] == recipe.side:
        return both
    return smaller(both[0], recipe.side), smaller(both[1], recipe.side)


def right(session: Session, dataset: datasets.Dataset) -> int:
    """How many pictures it names rightly."""
    found = [session(dataset.images[first : first + 500]).argmax(1) for first in range(0, len(dataset), 500)]
    return int((np.concatenate(found) == dataset.labels).sum())


def train(name: str, data_dir: str | None) -> None:
    """Train, quantize, calibrate; write the network and its log."""
    start = time.process_time()
    recipe, (pupils, test) = RECIPES[name], pictures(name, data_dir)
    net = recipe.build()
    augment = datasets.Augment(pad=recipe.pad, flip=recipe.flip)
    batches = elq.Batches(pupils, 64, augment=augment, seed=SEED)
    for step in elq.fit(net, batches, recipe.floats, elq.SGD(lr=0.05, weight_decay=1e-4)):
        if step.index % 2000 == 0:
            print(f"{name}: float, step {step.index}, loss {step.loss:.3f}", flush=True)
    floats = elq.accuracy(net, test)
    plan = elq.Plan("ternary", keep_float=recipe.keep_float).spread(recipe.passes)
    for step in elq.quantize(net, batches, plan, elq.SGD(lr=0.02)):
        if step.ends_stage:
            print(f"{name}: stage {step.stage}, {step.frozen:.1%} frozen, loss {step.loss_hat:.4f}", flush=True)
    packed = elq.pack(net, test)
    chosen = np.arange(CALIBRATED_ON) * len(pupils) // CALIBRATED_ON
    packed = calibrate(packed, pupils.images[chosen])
    lines = [
        f"{name}: float {floats:.2%}, ternary {right(Session(packed), test)} of {len(test)} test pictures right, "
        f"with int8 activations {right(Session(packed, activations='int8'), test)}",
        f"{recipe.floats} passes in float, {recipe.passes} of quantization, seed {SEED}; "
        f"{(time.process_time() - start) / 60:.0f} minutes of one core, {cpu_name()}",
    ]
    packed.save(FOLDER / f"{name}.elq")
    with atomic_write(FOLDER / f"{name}.txt") as temporary:
        temporary.write_text("\n".join([f"    {command()}", "", *lines, ""]))
    print("\n".join(lines))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=RECIPES, metavar="NAME", help=", ".join(RECIPES))
    parser.add_argument("--data-dir", help="folder of the data sets (default: the environment variable ELQ_DATA)")
    args = parser.parse_args()
    for name in args.names:
        train(name, args.data_dir)
    return 0
