"""elq calibrate: give a packed network what int8 activations take."""

from __future__ import annotations

import argparse

import numpy as np

from ..deploy.calibration import RULES, ErrorOfValue, Watch, calibrate, value_errors
from ..files import check_target
from ..pictures import read_picture
from ..runtime import PackedNetwork
from .data import add_reading, load_for_packed
from .output import Commands, Result, add_most_operations, progress, table
from .picture_files import listed

MEASURED = 128  # pictures that the table of errors is measured on, at most


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "calibrate", help="choose the scales of int8 activations from pictures, and measure the error that they add"
    )
    command.add_argument("network", help="packed network (.elq)")
    source = command.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--data", help="training images of digits, mnist, cifar10, of such a folder, .npz file or image folder"
    )
    source.add_argument("--pictures", nargs="+", help="pictures like those it was trained on, or folders of them")
    add_reading(command)
    command.add_argument("--data-dir", help="folder of the data sets (default: the environment variable ELQ_DATA)")
    words = "where a value saturates: at its maximum, at its 99.99th percentile, where the squared error is least (mse)"
    command.add_argument("--method", choices=RULES, default="mse", help=f"{words}; default mse")
    command.add_argument("--count", type=int, default=512, help="pictures to use, at most (default 512)")
    add_most_operations(command)
    command.add_argument("-o", "--output", required=True, help="calibrated network to write (.elq)")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    check_target(args.output)
    if args.count < 1:
        raise ValueError(f"--count is {args.count}, wanted at least 1")
    packed = PackedNetwork.load(args.network)
    packed.check_operations(args.most_operations)
    pictures = _sample(args, packed)

    def watch(label: str) -> Watch:
        return lambda batches: progress(batches, len(batches), label)

    calibrated = calibrate(packed, pictures, args.method, watch("calibrate"))
    errors = value_errors(calibrated, pictures[_spread(len(pictures), MEASURED)], watch("compare"))
    calibrated.save(args.output)
    result = {
        "file": args.output,
        "method": args.method,
        "pictures": len(pictures),
        "values": [vars(error) for error in errors],
    }
    head = ["value", "op", "scale", "own dB", "total dB", "saturated"]
    text = table([head, *(_row(error) for error in errors)])
    return result, f"{text}\n{args.output}", 0


def _sample(args: argparse.Namespace, packed: PackedNetwork) -> np.ndarray:
    """uint8 (N, C, H, W), evenly spread over what there is."""
    shape, metadata = packed.graph.input_shape, packed.metadata
    if args.pictures:
        paths = [path for name in args.pictures for path, _ in listed(name, metadata.classes)]
        chosen = [paths[i] for i in _spread(len(paths), args.count)]
        return np.stack([read_picture(p, shape, metadata.resize) for p in progress(chosen, len(chosen), "pictures")])
    train = load_for_packed(args, packed, "train")
    images: np.ndarray = train.images[_spread(len(train), args.count)]
    return images


def _spread(total: int, count: int) -> np.ndarray:
    """At most `count` of 0 .. total - 1, evenly spread."""
    return np.arange(min(count, total)) * total // min(count, total)


def _row(error: ErrorOfValue) -> list[str]:
    own, whole = ("-" if v is None else f"{v:.1f}" for v in (error.own, error.total))
    return [error.name, error.op, f"{error.scale:.4g}", own, whole, f"{error.saturated:.3%}"]
