"""The network of the page: elq demo's, ternary, trained on digits of the package and of MNIST, drawn alike.

    ELQ_NUM_THREADS=1 ELQ_DATA=... python examples/browser/train.py      (about ten minutes of one core)

Writes drawn-digits.elq and drawn-digits.txt beside this file. The package's digits alone are of 43 people, who cross
their sevens and write a one with a flag; MNIST's 60,000 training pictures, half of which are used, are of 250 others.
All are made what draw.js makes of strokes: 32x32 dots that the digit fills from top to bottom, counted in cells of 4x4.
The 500 test digits of the package are not trained on.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

import elq_ref as elq
from elq_ref.deploy.calibration import calibrate

SIDE, CELL, WIDEST = 32, 4, 26  # dots of a digit and of a cell; a digit is no wider than this
COPIES, OTHERS = 23, 30_000


def redrawn(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A digit uint8 (H, W), white on black, turned, slanted, widened and drawn with another pen: uint8 (8, 8)."""
    angle, slant = np.deg2rad(rng.uniform(-12, 12)), rng.uniform(-0.25, 0.25)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ [[1, slant], [0, 1]]
    picture = Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    large = Image.new("L", (2 * SIDE, 2 * SIDE))
    large.paste(picture, (SIDE // 2, SIDE // 2))
    offset = SIDE - turn @ [SIDE, SIDE]
    matrix = (*turn[0], offset[0], *turn[1], offset[1])
    large = large.transform(large.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    box = large.point(lambda v: 255 * (v > 100)).getbbox()
    high, wide = box[3] - box[1], box[2] - box[0]
    wide = min(max(round(wide * SIDE / high * rng.uniform(0.85, 1.1)), 5), WIDEST)
    digit = large.crop(box).resize((wide, SIDE), Image.Resampling.BICUBIC)
    dots = Image.new("L", (SIDE, SIDE))
    dots.paste(digit, ((SIDE - wide) // 2 + int(rng.integers(-1, 2)), 0))
    grey = np.asarray(dots.filter(ImageFilter.GaussianBlur(rng.uniform(0.8, 1.6))), float)
    ink = rng.uniform(0.24, 0.36) * (0.55 + 0.45 * min(1, wide / 22))  # a one has less of it than a zero
    counts = (grey > np.quantile(grey, 1 - ink)).reshape(8, CELL, 8, CELL).sum((1, 3))
    return ((counts * 255 + 8) // 16).astype(np.uint8)


def pictures() -> tuple[elq.datasets.Dataset, elq.datasets.Dataset]:
    """(train, test): the package's digits, with copies and MNIST's to train on."""
    (train, test), (others, _) = elq.datasets.digits(), elq.datasets.load("mnist")
    rng = np.random.default_rng(0)
    drawn = [
        redrawn(image[0], rng) for images in ([train.images] * COPIES + [others.images[:OTHERS]]) for image in images
    ]
    images = np.concatenate([train.images, np.stack(drawn)[:, None]])
    labels = np.concatenate([np.tile(train.labels, 1 + COPIES), others.labels[:OTHERS]])
    return replace(train, images=images, labels=labels), test


def main() -> None:
    train, test = pictures()
    net = elq.models.digits_cnn()
    batches = elq.Batches(train, 64, augment=elq.datasets.Augment(pad=1, flip=False))
    for _ in elq.fit(net, batches, 6, elq.SGD(lr=0.05, weight_decay=1e-4)):
        pass
    floats = elq.accuracy(net, test)
    for step in elq.quantize(net, batches, elq.Plan("ternary").spread(12), elq.SGD(lr=0.02)):
        if step.ends_stage:
            print(f"stage {step.stage}: {step.frozen:.1%} frozen, loss {step.loss_hat:.4f}", flush=True)
    chosen = np.arange(512) * len(train) // 512
    packed = calibrate(elq.pack(net, test), train.images[chosen])
    here = Path(__file__).parent
    packed.save(here / "drawn-digits.elq")
    right = int((elq.Session(packed, activations="int8")(test.images).argmax(1) == test.labels).sum())
    line = f"float {floats:.2%}; ternary, int8 activations: {right} of {len(test)} test digits right\n"
    (here / "drawn-digits.txt").write_text(f"    python examples/browser/train.py\n\n{line}")
    print(line, end="")


if __name__ == "__main__":
    main()
