"""elq pack: a checkpoint to a packed network."""

from __future__ import annotations

import argparse

from .. import checkpoint, datasets
from ..deploy import pack
from ..files import check_target
from .data import add_data
from .networks import open_network
from .output import Commands, Result, add_key


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "pack", help="pack a checkpoint: quantized weights as 1-2 bits, the others as float32"
    )
    command.add_argument("checkpoint")
    command.add_argument("--model", help="model name, where the checkpoint does not say it")
    add_key(command)
    add_data(command, required=False, when="where the checkpoint does not say which pictures it reads: ")
    command.add_argument("-o", "--output", required=True, help="packed network to write (.elq)")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    check_target(args.output)
    file = checkpoint.read(args.checkpoint, args.key)
    pictures = datasets.load(args.data, args.data_dir, "test") if args.data and file.info is None else None
    net, info = open_network(file, args.model, pictures)
    packed = pack(net, info, quantized=file.codes, metadata={} if file.plan is None else {"plan": file.plan})
    packed.save(args.output)
    result = {"file": args.output, "weight_bytes": packed.weight_bytes, "float_bytes": packed.float_bytes}
    text = f"{packed.summary()}\n{args.output}"
    if not file.codes:
        text += "\nThe checkpoint holds no quantized weights: they stay float32 (elq quantize makes them)."
    return result, text, 0
