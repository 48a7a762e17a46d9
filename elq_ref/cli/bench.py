"""elq bench: how fast a packed network runs here, layer by layer, and beside other runtimes."""

from __future__ import annotations

import argparse
import datetime
import platform
from typing import Any

import numpy as np

from .. import __version__
from ..machine import cpu_name
from ..runtime import PackedNetwork
from ..timing import Timed, missing, percentiles, take_turns
from .bench_tables import tables
from .output import Commands, Result, add_activations

PEERS = ("onnxruntime fp32", "onnxruntime u8s8")
ROUNDS = 7


def add(commands: Commands) -> None:
    command = commands.add_parser("bench", help="time a packed network, layer by layer, and beside other runtimes")
    command.add_argument("network", help="packed network (.elq)")
    command.add_argument("--batch", type=int, nargs="+", default=[1, 64], help="pictures a call (default 1 64)")
    command.add_argument("--threads", type=int, nargs="+", default=[1], help="numbers of threads (default 1)")
    add_activations(command)
    command.add_argument("--seconds", type=float, default=2.0, help="for each runtime and batch (default 2)")
    command.add_argument("--peers", action="store_true", help="also onnxruntime, float32 and u8s8; wants onnx and it")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    if min(args.batch) < 1 or not args.seconds > 0:
        raise ValueError(
            f"--batch {min(args.batch)}, --seconds {args.seconds}: wanted at least 1 picture and some time"
        )
    network = PackedNetwork.load(args.network)
    work = sum(network.macs.values())
    limit = f"limit {args.activations}"
    runners = [f"elq {args.activations}", limit, *(PEERS if args.peers else ())]
    absent = {name: f"not installed: {', '.join(missing(name))}" for name in runners if missing(name)}
    result: dict[str, Any] = {
        "file": args.network,
        "cpu": cpu_name(),
        "date": datetime.date.today().isoformat(),
        "versions": {"elq_ref": __version__, "Python": platform.python_version(), "NumPy": np.__version__},
        "activations": args.activations,
        "macs": work,
        "weight_bytes": network.weight_bytes,
        "float_bytes": network.float_bytes,
        "runs": [],
        "layers": [],
        "not_run": absent,
    }
    for threads in args.threads:
        chosen = [name for name in runners if name not in absent]
        found, failed = take_turns(chosen, args.network, threads, args.batch, args.seconds, ROUNDS)
        if runners[0] in failed:
            raise ValueError(failed[runners[0]])
        result["not_run"] |= failed
        for batch in args.batch:
            times = [timed.seconds(batch).min() for timed in found if timed.runner == limit]
            most = batch * work / float(times[0]) / 1e9 if times else None
            result["runs"] += [entry(timed, found[0], threads, batch, work, most) for timed in found]
            result["layers"] += layers(found[0], threads, batch, most)
    return result, tables(result, network), 0


def entry(timed: Timed, ours: Timed, threads: int, batch: int, work: int, most: float | None) -> dict[str, Any]:
    """One line of the comparison, as JSON values; `most` GMAC/s are the limit, if there is one."""
    times = percentiles(timed.seconds(batch))
    images = batch / times["p50"]
    middle, low, high = ours.ratio(timed, batch)
    return {
        "threads": threads,
        "batch": batch,
        "runner": timed.runner,
        **times,
        "images_per_second": images,
        "gmacs": images * work / 1e9,
        "share_of_limit": most and images * work / 1e9 / most,
        "time_over_ours": {"median": middle, "lower": low, "upper": high},
        "version": timed.about.get("version"),
        "load_seconds": timed.about["load_seconds"],
        "peak_memory_bytes": timed.memory,
        "memory_before_bytes": timed.about["memory_before"],
        "weights_in_memory_bytes": timed.about.get("weight_bytes"),
        "activations_in_memory_bytes": timed.about.get("arena_bytes"),
    }


def layers(ours: Timed, threads: int, batch: int, most: float | None) -> list[dict[str, Any]]:
    """Our steps, as JSON values."""
    found = []
    for step, op, kernel, seconds, work in ours.profile[batch] or []:
        rate = batch * work / seconds / 1e9 if work else None
        row = {"step": step, "op": op, "kernel": kernel, "seconds": seconds, "macs": work, "gmacs": rate}
        found.append({"threads": threads, "batch": batch, **row, "share_of_limit": most and rate and rate / most})
    return found
