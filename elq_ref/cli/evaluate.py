"""elq eval: accuracy of a checkpoint or of a packed network."""

from __future__ import annotations

import argparse

from .. import datasets
from ..runs.measures import right_packed
from ..runtime import PackedNetwork
from ..training.evaluate import count_correct
from .data import add_data, add_pictures, load_data, load_for_packed
from .networks import open_network
from .output import Commands, Result, add_activations, add_key, add_most_operations, is_packed
from .trainable import network_file


def add(commands: Commands) -> None:
    command = commands.add_parser("eval", help="accuracy of a checkpoint or a packed network on the test images")
    command.add_argument("file", help="network (.safetensors, .pth, .th, .onnx) or packed network (.elq)")
    command.add_argument("--model", help="model name, where a checkpoint does not say it")
    add_key(command)
    add_data(command)
    add_pictures(command)
    add_activations(command)
    add_most_operations(command)
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    if is_packed(args.file):
        packed = PackedNetwork.load(args.file)
        test = load_for_packed(args, packed, "test")
        right = right_packed(packed, test, activations=args.activations, most_operations=args.most_operations)
        correct, total = int(right.sum()), len(right)
    elif args.activations != "float32":
        raise ValueError(f"{args.file} is no packed network (.elq): only those run with {args.activations} activations")
    else:
        file = network_file(args, args.file)
        test = load_data(args, file, "test")
        net, info = open_network(file, args.model, test)
        correct, total = count_correct(net, datasets.adapted(test, info)), len(test)
    top1 = 100 * correct / total
    return {"correct": correct, "total": total, "top1": top1}, f"{correct} of {total} right, top-1 {top1:.2f} %", 0
