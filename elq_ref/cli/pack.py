"""elq pack: a checkpoint to a packed network."""

from __future__ import annotations

import argparse

from .. import checkpoint, datasets
from ..runs.quantizing import pack_network
from .common import Result, add_data, load_network


def add(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "pack", help="pack a checkpoint: quantized weights as 1-2 bits, the others as float32"
    )
    command.add_argument("checkpoint")
    command.add_argument("--model", help="model name, where the checkpoint does not say it")
    add_data(command)
    command.add_argument("-o", "--output", required=True, help="packed network to write (.elq)")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    test = datasets.load(args.data, args.data_dir, "test")
    net, metadata = load_network(args.checkpoint, args.model, test)
    tensors, _ = checkpoint.read(args.checkpoint)
    names = [name.removeprefix("elq/codes/") for name in tensors if name.startswith("elq/codes/")]
    packed = pack_network(net, {n: (tensors[f"elq/codes/{n}"], tensors[f"elq/alpha/{n}"]) for n in names}, metadata)
    packed.save(args.output)
    result = {"file": args.output, "weight_bytes": packed.weight_bytes, "float_bytes": packed.float_bytes}
    note = "" if names else "\nThe checkpoint holds no quantized weights: they stay float32 (elq quantize makes them)."
    return result, f"{packed.summary()}\n{args.output}{note}", 0
