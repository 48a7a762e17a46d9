"""The plots of docs/, drawn from the file of runs: needs matplotlib, the extra `plot`.

python -m benchmarks.accuracy plots [--results benchmarks/results/runs.jsonl] [-o docs/plots]
"""

import argparse
from pathlib import Path

from elq_ref.files import atomic_write
from elq_ref.runs.comparison import grouped
from elq_ref.runs.record import RunRecord, read_runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", default="benchmarks/results/runs.jsonl", help="file of runs")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/plots"), help="folder to write")
    args = parser.parse_args()
    for name, png in drawn(args.results).items():
        with atomic_write(args.output / name) as temporary:
            temporary.write_bytes(png)
        print(args.output / name)


def drawn(results: str) -> dict[str, bytes]:
    """PNGs by their names."""
    from elq_ref.runs.report.beside import beside
    from elq_ref.runs.report.curves import curves
    from elq_ref.runs.report.weights import pooled

    longest = RunRecord.read(f"{results}#cifar10-resnet20/ternary")
    return {
        "cifar10-comparison.png": beside(grouped(read_runs([f"{results}#cifar10_comparison/*"]))),
        "resnet20-ternary-curves.png": curves(longest),
        "resnet20-ternary-weights.png": pooled(longest),
    }
