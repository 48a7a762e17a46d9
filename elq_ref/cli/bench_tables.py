"""What `elq bench` measured, as tables."""

from __future__ import annotations

from typing import Any

from ..machine import megabytes
from ..runtime import PackedNetwork
from .output import table


def tables(result: dict[str, Any], network: PackedNetwork) -> str:
    """The runners beside each other, then where our time goes, layer by layer."""
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
