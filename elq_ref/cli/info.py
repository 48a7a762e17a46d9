"""elq info: versions, kernels, threads."""

from __future__ import annotations

import argparse

from .. import extensions, kernels, runtime
from ..training.state import environment
from .output import Commands, Result


def add(commands: Commands) -> None:
    command = commands.add_parser("info", help="versions, and which kernels run on this machine")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    training, inference = kernels.info(), runtime.info()
    result = {**environment(), "training": training, "inference": inference}
    rows = [[key, value] for key, value in environment().items() if key not in ("kernel", "threads")]
    for name, info in (("training kernels", training), ("inference kernels", inference)):
        why = f" ({info['reason']}: {extensions.INSTEAD})" if info["reason"] else ""
        rows.append([name, f"{info['kernel']}{why}, {info['threads']} thread(s)"])
    groups: dict[str, list[str]] = {}  # elq_conv_f32_t2_winograd__avx512: elq_conv_f32_t2, "winograd avx512"
    for row in inference["rows"]:  # elq_rows_silu_f32__avx512: elq_rows_silu_f32, "avx512"
        name, _, isa = row.partition("__")
        groups.setdefault(name, []).append(isa or "any")
    for kernel in inference["kernels"]:
        name, _, isa = kernel.partition("__")
        what = "_".join(name.split("_")[:4])
        groups.setdefault(what, []).append(f"{name[len(what) + 1 :]} {isa}".strip())
    rows += [[f"  {what}", ", ".join(ways)] for what, ways in groups.items()]
    width = max(len(name) for name, _ in rows)
    return result, "\n".join(f"{name:<{width}}  {value}" for name, value in rows), 0
