"""elq run: classify pictures with a packed network."""

from __future__ import annotations

import argparse

import numpy as np

from ..pictures import read_picture
from ..runtime import PackedNetwork, Session
from .common import Result, progress


def add(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("run", help="classify pictures with a packed network")
    command.add_argument("network", help="packed network (.elq)")
    command.add_argument("pictures", nargs="+", help="pictures in any format that Pillow reads")
    command.add_argument("--top", type=int, default=5, help="how many classes to name (default 5)")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    if args.top < 1:
        raise ValueError(f"--top is {args.top}, wanted at least 1")
    packed = PackedNetwork.load(args.network)
    session, classes = Session(packed), packed.metadata.classes
    answers, lines = [], []
    for path in progress(args.pictures, len(args.pictures), "pictures"):
        pixels = read_picture(path, packed.graph.input_shape, packed.metadata.resize)
        logits = session(pixels[None])[0].astype(np.float64)
        exps = np.exp(logits - logits.max())
        shares = exps / exps.sum()
        order = np.argsort(-shares, kind="stable")[: args.top]
        top = [{"class": classes[k], "probability": float(shares[k])} for k in order]
        answers.append({"picture": path, "top": top})
        lines.append(f"{path}: " + ", ".join(f"{t['class']} {t['probability']:.1%}" for t in top))
    return {"network": args.network, "pictures": answers}, "\n".join(lines), 0
