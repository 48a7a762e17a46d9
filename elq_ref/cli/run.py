"""elq run: classify pictures with a packed network. Imports nothing of the training side."""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

from ..errors import shown
from ..machine import megabytes, peak_memory
from ..runtime import PackedNetwork, Session
from .output import Commands, Result, add_activations, add_most_operations, say
from .picture_files import Picture, listed, read_in_batches


def add(commands: Commands) -> None:
    command = commands.add_parser("run", help="classify pictures with a packed network")
    command.add_argument("network", help="packed network (.elq)")
    command.add_argument(
        "pictures",
        nargs="+",
        help="pictures in any format that Pillow reads, or folders of them; sub-folders named like classes: accuracy",
    )
    command.add_argument("--top", type=int, default=5, help="how many classes to name (default 5)")
    command.add_argument("--batch", type=int, default=32, help="pictures that are computed together (default 32)")
    add_most_operations(command)
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
    session, classes = Session(packed, args.activations, args.most_operations), packed.metadata.classes
    pictures = [found for path in args.pictures for found in listed(path, classes)]
    unreadable: list[str] = []
    answers: list[dict[str, Any]] = []
    seconds = 0.0
    for batch, pixels in read_in_batches(packed, pictures, args.batch, unreadable if args.keep_going else None):
        start = time.perf_counter()
        logits = session(pixels)
        seconds += time.perf_counter() - start
        finite = np.isfinite(logits).all(1)
        for (path, _), sound in zip(batch, finite, strict=True):
            if not sound:
                message = f"{path}: the network's outputs are no numbers (NaN or infinite), wanted a class"
                if not args.keep_going:
                    raise ValueError(message)
                unreadable.append(message)
        answered = [picture for picture, sound in zip(batch, finite, strict=True) if sound]
        shares = softmax(logits[finite])
        answers += [answer(*one, classes, args.top) for one in zip(answered, shares, strict=True)]
    result: dict[str, Any] = {"network": args.network, "activations": args.activations, "pictures": answers}
    lines = [line(found) for found in answers]
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
        say(f"elq: {shown(message)}")
    result |= {"unreadable": unreadable, "seconds": seconds, "peak_memory_bytes": memory}
    return result, "\n".join(lines), 1 if unreadable else 0


def answer(picture: Picture, shares: np.ndarray, classes: tuple[str, ...], count: int) -> dict[str, Any]:
    """The `count` likeliest classes of a picture, and what its label says, as JSON values."""
    path, label = picture
    order = np.argsort(-shares, kind="stable")[:count]
    top = [{"class": classes[k], "probability": float(shares[k])} for k in order]
    return {"picture": path, "top": top} | ({} if label is None else {"label": classes[label]})


def line(found: dict[str, Any]) -> str:
    """An answer for people."""
    wanted = "" if found.get("label") in (None, found["top"][0]["class"]) else f"  (is {found['label']})"
    classes = ", ".join(f"{t['class']} {t['probability']:.1%}" for t in found["top"])
    return f"{shown(found['picture'])}: {classes}{wanted}"


def softmax(logits: np.ndarray) -> np.ndarray:
    """Shares float64 (N, classes) that sum to 1."""
    exps = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    shares: np.ndarray = exps / exps.sum(1, keepdims=True)
    return shares
