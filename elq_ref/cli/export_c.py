"""elq export-c: a calibrated network as C99 for a microcontroller."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

from ..export_c import PREFERENCES, TARGETS, Export, export_c
from ..export_c.code_size import about
from ..export_c.table import HEAD, aligned, rows
from ..files import check_source
from ..runtime import PackedNetwork
from .output import Commands, Result


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "export-c", help="write a calibrated network as C for a microcontroller: the same bits as int8 activations here"
    )
    command.add_argument("network", help="packed network with scales of int8 activations (.elq)")
    command.add_argument("-o", "--output", required=True, metavar="FOLDER", help="where NAME.h and NAME.c are written")
    command.add_argument("--name", required=True, help="of the files, and what all that others see in them begins with")
    words = "what it is to run on: portable (default), m0, dsp (Cortex-M with DSP instructions), neon, or auto"
    command.add_argument("--target", choices=TARGETS, default="portable", help=words)
    words = "what decides between forms of weights that are near each other: size or speed (default)"
    command.add_argument("--prefer", choices=PREFERENCES, default="speed", help=words)
    command.add_argument("--split-weights", action="store_true", help="weights in NAME_weights.c")
    command.add_argument("--no-selftest", dest="selftest", action="store_false", help="without NAME_selftest")
    command.add_argument("--testbench", action="store_true", help="NAME_main.c too, which runs pictures on a computer")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    if not args.output:
        raise ValueError("the name of the folder to write to is empty")
    check_source(args.network)
    export = export_c(
        PackedNetwork.load(args.network),
        args.name,
        target=args.target,
        prefer=args.prefer,
        split_weights=args.split_weights,
        selftest=args.selftest,
        testbench_main=args.testbench,
        model_sha256=hashlib.sha256(Path(args.network).read_bytes()).hexdigest(),
    )
    files = [str(path) for path in export.save(args.output)]
    return {"files": files, **figures(export)}, f"{text(export)}\n{chr(10).join(files)}", 0


def figures(export: Export) -> dict[str, object]:
    """What --json says of an export."""
    contents, plan = export.contents, export.contents.plan
    keys = ("layer", "op", "value", "macs", "form", "weight_bytes", "other_bytes")
    layers = [
        dict(
            zip(
                keys,
                (int(cell.replace(",", "") or 0) if i in (3, 5, 6) else cell for i, cell in enumerate(row[1:])),
                strict=True,
            )
        )
        for row in rows(contents)
    ]
    return {
        "layers": layers,
        "macs": contents.macs,
        "weight_bytes": contents.weight_bytes,
        "constant_bytes": contents.constant_bytes,
        "code_bytes_about": about(contents),
        "arena_bytes": plan.bytes,
        "arena_bytes_without_scratch": plan.values,
        "arena_bound": plan.bound,
        "arena_bound_is_exact": plan.exact,
        "model_sha256": contents.model_sha256,
    }


def text(export: Export) -> str:
    """What people read."""
    contents, plan = export.contents, export.contents.plan
    scratch = f", {plan.bytes - plan.values:,} of them for scratch memory" if plan.bytes > plan.values else ""
    how = "the best order of layers needs" if plan.exact else "the layer that needs most holds"
    lines = [
        f"flash: {contents.weight_bytes:,} bytes of weights, {contents.constant_bytes:,} of constants in all, "
        f"about {about(contents):,} of code on a Cortex-M4",
        f"arena: {plan.bytes:,} bytes{scratch}; {how} {plan.bound:,}",
        f"{contents.macs:,} multiply-adds a picture",
    ]
    return "\n".join([*(line.rstrip() for line in aligned([HEAD, *rows(contents)])), *lines])
