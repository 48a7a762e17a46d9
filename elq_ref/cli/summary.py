"""elq summary: what is in a checkpoint or a packed network."""

from __future__ import annotations

import argparse
from pathlib import Path

from .. import checkpoint
from ..runtime import PackedNetwork
from .common import Result, is_packed, table


def add(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("summary", help="the layers of a checkpoint or a packed network")
    command.add_argument("file")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    if not Path(args.file).is_file():
        raise FileNotFoundError(f"there is no file {args.file}")
    if is_packed(args.file):
        packed = PackedNetwork.load(args.file)
        layers = [{"name": n, "shape": list(w.shape), "levels": w.levels} for n, w in packed.layers.items()]
        result = {
            "kind": "packed",
            "weight_bytes": packed.weight_bytes,
            "float_bytes": packed.float_bytes,
            "layers": layers,
        }
        return result, packed.summary(), 0
    tensors, metadata = checkpoint.read(args.file)
    rows = [[name, "x".join(map(str, t.shape)) or "1", str(t.dtype), f"{t.nbytes:,}"] for name, t in tensors.items()]
    rows.append(["total", "", "", f"{sum(t.nbytes for t in tensors.values()):,}"])
    about = ", ".join(f"{k} {metadata[k]}" for k in ("kind", "model", "input_shape") if k in metadata)
    layers = [{"name": n, "shape": list(t.shape), "dtype": str(t.dtype)} for n, t in tensors.items()]
    text = table([["tensor", "shape", "dtype", "bytes"], *rows])
    return {"kind": "checkpoint", "metadata": metadata, "tensors": layers}, f"{text}\n{about}".rstrip(), 0
