"""elq export-onnx: the float network of a checkpoint or of a packed network, for other runtimes."""

from __future__ import annotations

import argparse
import inspect
from pathlib import Path

from .. import checkpoint, models
from ..deploy import pack
from ..exchange.onnx_export import BATCH, OPSET, export_onnx
from ..runtime import PackedNetwork
from .common import Result, is_packed


def add(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("export-onnx", help="write a network with float32 weights as ONNX (package onnx)")
    command.add_argument("file", help="checkpoint (.safetensors, .pth, .th) or packed network (.elq)")
    command.add_argument("--model", help="model name, where a checkpoint does not say it")
    command.add_argument("-o", "--output", required=True, metavar="FILE", help="ONNX file to write")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    if not Path(args.file).is_file():
        raise FileNotFoundError(f"there is no file {args.file}")
    network = PackedNetwork.load(args.file) if is_packed(args.file) else from_checkpoint(args.file, args.model)
    export_onnx(network, args.output)
    shape, classes = network.graph.input_shape, len(network.metadata.classes)
    result = {"file": args.output, "opset": OPSET, "input_shape": [BATCH, *shape], "output_shape": [BATCH, classes]}
    sizes = "x".join(map(str, (BATCH, *shape)))
    return result, f"opset {OPSET}, normalized float32 {sizes} -> {BATCH}x{classes}\n{args.output}", 0


def from_checkpoint(path: str, model: str | None) -> PackedNetwork:
    """The network of a checkpoint with all weights float, for the pictures and classes that the file or else the
    model's own defaults say."""
    _, metadata = checkpoint.read(path)
    name = model or metadata.get("model")
    if name not in models.MODELS:
        given = f"there is no model {name!r}" if name else f"{path} does not say which model it is: give --model"
        raise ValueError(f"{given}; there are: {', '.join(models.MODELS)}")
    usual = {k: p.default for k, p in inspect.signature(models.MODELS[name]).parameters.items()}
    shape = tuple(metadata.get("input_shape", usual["input_shape"]))
    classes = metadata.get("classes", [str(k) for k in range(usual["classes"])])
    plain = {"mean": [0.0] * shape[0], "std": [1.0] * shape[0]}
    normalization = metadata.get("normalization", plain)
    net = models.build(name, shape, len(classes))
    checkpoint.load(net, path)
    numbers = (normalization["mean"], normalization["std"])
    return pack(net.eval(), {}, input_shape=shape, normalization=numbers, classes=classes, metadata={"model": name})
