"""elq info: versions, kernels, threads."""

from __future__ import annotations

import argparse

from .. import kernels, runtime
from ..elq.state import environment
from .common import Result


def add(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("info", help="versions, and which kernels run on this machine")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    training, inference = kernels.info(), runtime.info()
    result = {**environment(), "training": training, "inference": inference}
    rows = [[key, value] for key, value in environment().items() if key not in ("kernel", "threads")]
    for name, info in (("training kernels", training), ("inference kernels", inference)):
        why = f" ({info['reason']})" if info["reason"] else ""
        rows.append([name, f"{info['kernel']}{why}, {info['threads']} thread(s)"])
    rows += [["", name] for name in inference.get("kernels", ())]
    width = max(len(name) for name, _ in rows)
    return result, "\n".join(f"{name:<{width}}  {value}" for name, value in rows), 0
