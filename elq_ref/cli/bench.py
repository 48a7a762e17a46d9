"""elq bench: how fast a packed network runs here, layer by layer, and beside other runtimes."""

from __future__ import annotations

import argparse
import datetime
import platform
from typing import Any

import numpy as np

from .. import __version__
from ..machine import cpu_name, megabytes
from ..runtime import PackedNetwork
from ..timing import Timed, missing, percentiles, take_turns
from .output import Result, add_activations, table

PEERS = ("onnxruntime fp32", "onnxruntime u8s8")
ROUNDS = 7


def add(commands: argparse._SubParsersAction) -> None:
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
    for step, op, kernel, seconds, work in ours.steps[batch] or []:
        rate = batch * work / seconds / 1e9 if work else None
        row = {"step": step, "op": op, "kernel": kernel, "seconds": seconds, "macs": work, "gmacs": rate}
        found.append({"threads": threads, "batch": batch, **row, "share_of_limit": most and rate and rate / most})
    return found


def tables(result: dict[str, Any], network: PackedNetwork) -> str:
    """The tables."""
    shape = "x".join(map(str, network.graph.input_shape))
    versions = dict(result["versions"])
    versions |= {r["runner"].split()[0]: r["version"] for r in result["runs"] if r["version"]}
    lines = [
        f"{result['file']}: {shape} -> {len(network.metadata.classes)}, {result['macs'] / 1e6:,.1f} M multiply-adds a "
        f"picture, {result['weight_bytes']:,} bytes of weights (in float32 {result['float_bytes']:,})",
        f"{result['cpu']}; {', '.join(f'{k} {v}' for k, v in versions.items())}; {result['date']}",
        "",
    ]
    rows = [["", "threads", "batch", "p50 ms", "p90", "p99", "images/s", "GMAC/s", "of limit", "time / ours"]]
    for r in result["runs"]:
        ratio = r["time_over_ours"]
        rows.append(
            [
                r["runner"],
                f"{r['threads']}",
                f"{r['batch']}",
                *(f"{1000 * r[p]:.3f}" for p in ("p50", "p90", "p99")),
                f"{r['images_per_second']:,.1f}",
                f"{r['gmacs']:.1f}",
                percent(r["share_of_limit"]),
                f"{ratio['median']:.2f} ({ratio['lower']:.2f} .. {ratio['upper']:.2f})",
            ]
        )
    lines += [table(rows), ""]
    seen = {r["runner"]: r for r in result["runs"] if not r["runner"].startswith("limit")}
    for name, r in seen.items():
        peak, before = megabytes(r["peak_memory_bytes"]), megabytes(r["memory_before_bytes"])
        ready = f"{1000 * r['load_seconds']:.1f} ms"
        lines.append(f"{name}: ready in {ready}, peak memory {peak} ({before} before loading)")
        if r["weights_in_memory_bytes"] is not None:
            sizes = r["weights_in_memory_bytes"], r["activations_in_memory_bytes"]
            lines[-1] += "; weights {:,} bytes, activations of a picture {:,}".format(*sizes)
    lines += [f"{name} did not run: {why}" for name, why in result["not_run"].items()]
    for threads, batch in sorted({(s["threads"], s["batch"]) for s in result["layers"]}):
        lines += ["", steps_table(result["layers"], threads, batch)]
    return "\n".join(lines)


def steps_table(steps: list[dict[str, Any]], threads: int, batch: int) -> str:
    """Where the time goes."""
    chosen = [s for s in steps if (s["threads"], s["batch"]) == (threads, batch)]
    total = sum(s["seconds"] for s in chosen)
    rows = [[f"{threads} thread(s), batch {batch}", "op", "us", "share", "GMAC/s", "of limit", "kernel"]]
    for s in chosen:
        rate = f"{s['gmacs']:.1f}" if s["gmacs"] else ""
        cells = f"{1e6 * s['seconds']:.1f}", f"{s['seconds'] / total:.1%}", rate, percent(s["share_of_limit"])
        rows.append([s["step"], s["op"], *cells, s["kernel"]])
    return table(rows)


def percent(share: float | None) -> str:
    """As a table shows it."""
    return "" if share is None else f"{share:.0%}"
