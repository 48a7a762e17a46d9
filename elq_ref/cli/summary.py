"""elq summary: what is in a checkpoint or a packed network."""

from __future__ import annotations

import argparse

from ..runtime import PackedNetwork
from .output import Commands, Result, add_key, is_packed, table


def add(commands: Commands) -> None:
    command = commands.add_parser("summary", help="the layers of a checkpoint or a packed network")
    command.add_argument("file")
    add_key(command)
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    if is_packed(args.file):
        return packed_summary(PackedNetwork.load(args.file))
    from .. import checkpoint  # here, so that a packed network needs none of the training side

    file = checkpoint.read(args.file, args.key)
    tensors, metadata = file.tensors, file.metadata
    rows = [[name, "x".join(map(str, t.shape)) or "1", str(t.dtype), f"{t.nbytes:,}"] for name, t in tensors.items()]
    rows.append(["total", "", "", f"{sum(t.nbytes for t in tensors.values()):,}"])
    about = ", ".join(f"{k} {metadata[k]}" for k in ("kind", "model", "input_shape") if k in metadata)
    layers = [{"name": n, "shape": list(t.shape), "dtype": str(t.dtype)} for n, t in tensors.items()]
    text = table([["tensor", "shape", "dtype", "bytes"], *rows])
    return {"kind": "checkpoint", "metadata": metadata, "tensors": layers}, f"{text}\n{about}".rstrip(), 0


def packed_summary(packed: PackedNetwork) -> Result:
    """What a packed network reads, computes and holds."""
    meta, work, int8 = packed.metadata, packed.macs, packed.int8
    shape, classes = packed.graph.input_shape, meta.classes
    mean, std = list(meta.normalization.mean), list(meta.normalization.std)
    result = {
        "kind": "packed",
        "input_shape": list(shape),
        "mean": mean,
        "std": std,
        "resize": meta.resize,
        "classes": list(classes),
        "method": meta.method,
        "int8": None if int8 is None else dict(int8.calibration),
        "macs": sum(work.values()),
        "operations": packed.operations,
        "activation_bytes": packed.activation_bytes,
        "weight_bytes": packed.weight_bytes,
        "float_bytes": packed.float_bytes,
        "layers": [
            {"name": n, "shape": list(w.shape), "levels": w.levels, "macs": work[n]} for n, w in packed.layers.items()
        ],
    }
    named = ", ".join(classes[:10]) + (", ..." if len(classes) > 10 else "")
    lines = [
        packed.summary(),
        f"reads pictures {'x'.join(map(str, shape))} ({meta.resize}), mean {mean}, std {std}",
        f"{len(classes)} classes: {named}",
        f"{sum(work.values()) / 1e6:,.1f} million multiply-adds a picture",
        f"{packed.operations / 1e6:,.1f} million operations in all, {packed.activation_bytes:,} bytes of activations",
    ]
    return result, "\n".join(lines), 0
