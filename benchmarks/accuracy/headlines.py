"""The longer runs: ELQ to ternary and to binary on CIFAR-10 ResNet-20, all layers or all but the first and the last.

python -m benchmarks.accuracy headlines --processes 2     all that is not done yet, then the table and the packed files
python -m benchmarks.accuracy headlines --table           the table of what is done

Needs ELQ_DATA with CIFAR-10 and the public checkpoint (docs/reproduce.md). 72 passes, nearly two hours on a core each.
"""

import argparse
import shutil
from collections.abc import Iterable
from pathlib import Path

from elq_ref.cli.output import table as aligned
from elq_ref.files import atomic_write
from elq_ref.runs.record import RunRecord

from ..result_text import made_by
from .jobs import Job, Series, add_options, work_off, write_table

KINDS = (("ternary", ""), ("binary", ""), ("ternary", "-firstlast"), ("binary", "-firstlast"))


def jobs(recipe: str, checkpoint: str | None, passes: float | None) -> list[Job]:
    """A job for the levels and which layers."""
    length = ["--headline", *([] if passes is None else ["--passes", f"{passes:g}"])]
    made = []
    for levels, kind in KINDS:
        words = [recipe, *([checkpoint] if checkpoint else []), "--levels", levels, "--seed", "0", *length]
        made.append(Job(f"{levels}{kind}", (*words, *(["--first-last-float"] if kind else []))))
    return made


def long_runs(about: str, name: str) -> argparse.ArgumentParser:
    """The parser of a driver of runs of 72 passes from the public checkpoint; name: of the series."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, name)
    parser.add_argument("--recipe", default="cifar10-resnet20")
    parser.add_argument("--checkpoint", help="trained network (default: the recipe's own)")
    parser.add_argument("--passes", type=float, help="instead of the headline's, to see it work; choose another name")
    return parser


def main() -> int:
    args = long_runs(__doc__, "cifar10-resnet20").parse_args()
    everything = jobs(args.recipe, args.checkpoint, args.passes)
    done, place, runs = work_off(everything, args, curves=True)
    keep_packed(place, (job for job in everything if job.name in runs))
    write(place, runs)
    return 0 if done else 1


def packed_file(place: Series, name: str) -> Path:
    """Where the packed network of a run stays."""
    return place.results.with_name(f"{place.name}-{name}.elq")


def keep_packed(place: Series, finished: Iterable[Job]) -> None:
    """Beside the file of the runs the packed network of each of these that was made here."""
    for job in finished:
        made = place.folder(job) / "net.elq"
        if made.is_file():
            with atomic_write(packed_file(place, job.name)) as temporary:
                shutil.copyfile(made, temporary)


def write(place: Series, runs: dict[str, RunRecord]) -> None:
    """The table as text beside the file of the runs, and on standard output."""
    rows = [["", "right", "top-1 %", "bytes of the weights", "packed file", "minutes"]]
    lines = []
    for name, run in runs.items():
        r, packed = run.result, packed_file(place, name).name
        cells = f"{r['correct']}", f"{r['top1']:.2f}", f"{r['weight_bytes']:,}", packed, f"{r['seconds'] / 60:.0f}"
        rows.append([name, *cells])
        curve = " ".join(f"{line['top1_hat']:.1f}" for line in run.measured)
        curve = f"  W_hat after each pass, % of {run.config['judge']}: {curve}"
        lines += [f"{name}: {run.config['command']}", f"  {made_by(r['environment'])}", curve, ""]
    total = next((run.result["total"] for run in runs.values()), 0)
    lines = [
        f"ELQ, packed networks on {total:,} images, read once; {len(runs)} of {len(KINDS)} runs are done.",
        "",
        "    python -m benchmarks.accuracy headlines",
        "",
        aligned(rows),
        "",
        *lines,
    ]
    write_table(place, "\n".join(lines).rstrip())
