"""Shared by the tests of runs: a command that makes one, records of made-up accuracies, the one line of an error."""

from pathlib import Path

from elq_ref import Plan
from elq_ref.runs.record import RunRecord

# Files of a finished run.
MADE = ("net.elq", "quantized.safetensors", "steps.jsonl", "stages.jsonl", "layers.jsonl", "passes.jsonl")


def command(trained: Path, out: Path, *more: str) -> list[str]:
    return ["reproduce", "digits", str(trained), "--passes", "3", "-o", str(out), *more]


def records(tops: dict[str, list[float]]) -> list[RunRecord]:
    """Records of made-up accuracies, one a seed."""
    made = []
    for method, values in tops.items():
        for seed, top1 in enumerate(values):
            config = {"method": method, "levels": "float" if method == "float" else "ternary", "seed": seed}
            result = {"top1": top1, "total": 100, "correct": round(top1)}
            made.append(RunRecord(f"{method}/{seed}", config, Plan(), result, [], [], [], []))
    return made


def one_line(error: str) -> str:
    found = [line for line in error.splitlines() if line.startswith("elq: ") and "NumPy computes" not in line]
    assert len(found) == 1, error
    assert "Traceback" not in error
    return found[0]
