"""elq run: classify pictures with a packed network. Imports nothing of the training side."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError
from ..machine import megabytes, peak_memory
from ..pictures import find_pictures, read_picture
from ..runtime import PackedNetwork, Session
from .output import Result, add_activations, progress

Picture = tuple[str, int | None]  # path, label


def add(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("run", help="classify pictures with a packed network")
    command.add_argument("network", help="packed network (.elq)")
    command.add_argument(
        "pictures",
        nargs="+",
        help="pictures in any format that Pillow reads, or folders of them; sub-folders named like classes: accuracy",
    )
    command.add_argument("--top", type=int, default=5, help="how many classes to name (default 5)")
    command.add_argument("--batch", type=int, default=32, help="pictures that are computed together (default 32)")
    add_activations(command)
    command.add_argument(
        "--keep-going", action="store_true", help="name unreadable pictures and go on; exit code 1 at the end"
    )
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    for name in ("top", "batch"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name} is {getattr(args, name)}, wanted at least 1")
    packed = PackedNetwork.load(args.network)
    session, classes = Session(packed, args.activations), packed.metadata.classes
    pictures = [found for path in args.pictures for found in listed(path, classes)]
    unreadable: list[str] = []
    answers: list[dict[str, Any]] = []
    lines: list[str] = []
    seconds = 0.0
    for batch, pixels in batches(packed, pictures, args.batch, unreadable if args.keep_going else None):
        start = time.perf_counter()
        logits = session(pixels)
        seconds += time.perf_counter() - start
        for (path, label), shares in zip(batch, softmax(logits), strict=True):
            order = np.argsort(-shares, kind="stable")[: args.top]
            top = [{"class": classes[k], "probability": float(shares[k])} for k in order]
            answers.append({"picture": path, "top": top} | ({} if label is None else {"label": classes[label]}))
            wanted = "" if label in (None, order[0]) else f"  (is {classes[label]})"
            lines.append(f"{path}: " + ", ".join(f"{t['class']} {t['probability']:.1%}" for t in top) + wanted)
    result: dict[str, Any] = {"network": args.network, "activations": args.activations, "pictures": answers}
    labelled = [a for a in answers if "label" in a]
    if labelled:
        correct = sum(a["top"][0]["class"] == a["label"] for a in labelled)
        result |= {"correct": correct, "total": len(labelled), "top1": 100 * correct / len(labelled)}
        lines.append(f"{correct} of {len(labelled)} right, top-1 {result['top1']:.2f} %")
    memory = peak_memory()
    if len(answers) > 1:
        rate = len(answers) / seconds
        lines.append(f"{len(answers)} pictures, computed at {rate:,.0f} a second, peak memory {megabytes(memory)}")
    for message in unreadable:
        print(f"elq: {message}", file=sys.stderr)
    result |= {"unreadable": unreadable, "seconds": seconds, "peak_memory_bytes": memory}
    return result, "\n".join(lines), 1 if unreadable else 0


def listed(path: str, classes: tuple[str, ...]) -> list[Picture]:
    """The pictures that an argument names: a file, or all of a folder."""
    if not Path(path).is_dir():
        return [(path, None)]
    return [(str(file), label) for file, label in find_pictures(path, classes)]


def batches(
    packed: PackedNetwork, pictures: list[Picture], size: int, unreadable: list[str] | None
) -> Iterator[tuple[list[Picture], np.ndarray]]:
    """Pictures with their pixels uint8 (N, C, H, W), N at most `size`. One that cannot be read is an error, or a line
    of `unreadable` where that is given."""
    shape, resize = packed.graph.input_shape, packed.metadata.resize
    read: list[tuple[Picture, np.ndarray]] = []
    for k, picture in enumerate(progress(pictures, len(pictures), "pictures"), 1):
        try:
            read.append((picture, read_picture(picture[0], shape, resize)))
        except (FormatError, OSError, ValueError) as error:
            if unreadable is None:
                raise
            unreadable.append(str(error))
        if read and (len(read) == size or k == len(pictures)):
            yield [p for p, _ in read], np.stack([pixels for _, pixels in read])
            read = []


def softmax(logits: np.ndarray) -> np.ndarray:
    """Shares float64 (N, classes) that sum to 1."""
    exps = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    return exps / exps.sum(1, keepdims=True)
