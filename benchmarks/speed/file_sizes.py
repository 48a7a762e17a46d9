"""Sizes of the packed files of the networks for ImageNet, ternary and binary, all layers quantized.

    python -m benchmarks.speed file_sizes [--networks alexnet vgg16 googlenet resnet18 resnet50] [-o FILE]

The weights are random on the levels, one alpha a layer: a file is as large whatever the weights are. The classes are
called "class 0" to "class 999", some 10 kB; ImageNet's own names take more. GoogLeNet is without its auxiliary heads,
as packed files are. Nothing is timed, so a busy machine does not matter.
"""

import argparse
import tempfile
from pathlib import Path

from elq_ref.cli.output import table

from ..result_text import add_output, write_result
from .inference_common import QUANTIZE, quantized_model
from .networks import IMAGENET, add_networks, sized


def sizes(name: str, size: int) -> dict[str, int]:
    """Bytes of the weights in float32, and of the file by its levels."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for levels in QUANTIZE:
            packed, path = quantized_model(name, sized(name, size), levels), Path(folder, f"{levels}.elq")
            packed.save(path)
            found |= {"float32": packed.float_bytes, levels: path.stat().st_size}
    return found


def main() -> None:
    """Parse, measure, print, and write the table if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_networks(parser, "--networks", list(IMAGENET))
    add_output(parser)
    given = parser.parse_args()
    figures = {name: sizes(name, given.size) for name in given.networks}
    rows = [["bytes", "float32 weights", "ternary file", "weights / file", "binary file", "weights / file"]]
    for name, found in figures.items():
        row = [name, f"{found['float32']:,}"]
        for levels in QUANTIZE:
            row += [f"{found[levels]:,}", f"{found['float32'] / found[levels]:.1f}"]
        rows.append(row)
    text = table(rows)
    print(text)
    write_result(given.output, text, figures)
