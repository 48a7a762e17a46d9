"""elq export-onnx: the network of a checkpoint or of a packed network in ONNX, for other runtimes."""

from __future__ import annotations

import argparse
import inspect

from .. import checkpoint, models
from ..deploy import pack
from ..exchange.onnx_export import BATCH, CODE_OPSET, OPSET, export_onnx
from ..files import check_target
from ..graph.info import NetworkInfo
from ..graph.shapes import infer_shapes
from ..preprocessing import Normalization
from ..runtime import PackedNetwork
from .networks import model_name, open_network
from .output import Commands, Result, add_key, is_packed


def add(commands: Commands) -> None:
    command = commands.add_parser("export-onnx", help="write a network as ONNX, its codes as integers (package onnx)")
    command.add_argument("file", help="checkpoint (.safetensors, .pth, .th) or packed network (.elq)")
    command.add_argument("--model", help="model name, where a checkpoint does not say it")
    add_key(command)
    command.add_argument("--float", action="store_true", help="float32 weights instead of codes and alpha")
    command.add_argument(
        "--opset",
        type=int,
        help="of the file: codes are INT2 from 25 on, INT4 from 21, INT8 from 13 "
        f"(default: {CODE_OPSET}; without codes {OPSET})",
    )
    command.add_argument("-o", "--output", required=True, metavar="FILE", help="ONNX file to write")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    check_target(args.output)
    network = (
        PackedNetwork.load(args.file) if is_packed(args.file) else from_checkpoint(args.file, args.model, args.key)
    )
    opset = export_onnx(network, args.output, floats=args.float, opset=args.opset)
    shape, classes = network.graph.input_shape, len(network.metadata.classes)
    result = {"file": args.output, "opset": opset, "input_shape": [BATCH, *shape], "output_shape": [BATCH, classes]}
    sizes = "x".join(map(str, (BATCH, *shape)))
    return result, f"opset {opset}, normalized float32 {sizes} -> {BATCH}x{classes}\n{args.output}", 0


def from_checkpoint(path: str, model: str | None, key: str | None) -> PackedNetwork:
    """The network of a checkpoint with all weights float; what the file does not say is as the model's defaults."""
    file = checkpoint.read(path, key)
    net, info = open_network(file, model, file.info or usual(file, model))
    return pack(net, info, quantized={})


def usual(file: checkpoint.Checkpoint, model: str | None) -> NetworkInfo:
    """What the network of a file reads and means by default: classes are numbers, pictures are not normalized."""
    if model is None and file.graph is not None:
        shape, classes = file.graph.input_shape, infer_shapes(file.graph)[file.graph.output][0]
    else:
        shape, classes = _of_model(model_name(file, model), file.stated.get("input_shape"))
    plain = Normalization((0.0,) * shape[0], (1.0,) * shape[0])
    return NetworkInfo(shape, tuple(map(str, range(classes))), plain)


def _of_model(model: str, input_shape: tuple[int, int, int] | None) -> tuple[tuple[int, int, int], int]:
    """The pictures and the number of classes of a model; input_shape: where the file states it."""
    if model not in models.MODELS:
        raise ValueError(f"there is no model {model!r}; there are: {', '.join(models.MODELS)}")
    default = {name: p.default for name, p in inspect.signature(models.MODELS[model]).parameters.items()}
    return input_shape or default["input_shape"], default["classes"]
