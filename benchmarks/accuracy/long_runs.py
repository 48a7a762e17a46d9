"""What the drivers of runs of 72 passes have in common: their options, their table, the packed networks beside it."""

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path

from elq_ref.cli.output import table as aligned
from elq_ref.files import atomic_write
from elq_ref.runs.record import RunRecord

from ..result_text import made_by
from .jobs import Job, Series, add_options, work_off, write_table

Runs = dict[str, RunRecord]


def job(name: str, recipe: str, checkpoint: str | None, passes: float | None, *words: str) -> Job:
    """A run from `checkpoint` (None: the recipe's own) of `passes` (None: the headline's) with these words besides."""
    network = [recipe, *([checkpoint] if checkpoint else [])]
    length = [] if passes is None else ["--passes", f"{passes:g}"]
    return Job(name, (*network, *words, "--headline", *length))


def carry_out(
    about: str,
    name: str,
    command: str,
    jobs: Callable[[str, str | None, float | None], list[Job]],
    said: Callable[[Runs], list[str]] = lambda runs: [],
) -> int:
    """Do of a series what the command line asks for; 1 if some of it is not done.

    name: of the series; command: that makes it, for the text; jobs: those of a recipe, a checkpoint and a number of
    passes; said: lines under the table.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, name)
    parser.add_argument("--recipe", default="cifar10-resnet20")
    parser.add_argument("--checkpoint", help="trained network (default: the recipe's own)")
    parser.add_argument("--passes", type=float, help="instead of the headline's, to see it work; choose another name")
    args = parser.parse_args()
    everything = jobs(args.recipe, args.checkpoint, args.passes)
    done, place, runs = work_off(everything, args, curves=True)
    for one in everything:
        made = place.folder(one) / "net.elq"
        if one.name in runs and made.is_file():
            with atomic_write(packed_file(place, one.name)) as temporary:
                shutil.copyfile(made, temporary)
    write(place, runs, len(everything), command, said(runs))
    return 0 if done else 1


def packed_file(place: Series, name: str) -> Path:
    """Where the packed network of a run stays."""
    return place.results.with_name(f"{place.name}-{name}.elq")


def write(place: Series, runs: Runs, wanted: int, command: str, said: list[str]) -> None:
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
        f"ELQ, packed networks on {total:,} images, read once; {len(runs)} of {wanted} runs are done.",
        "",
        f"    {command}",
        "",
        aligned(rows),
        *said,
        "",
        *lines,
    ]
    write_table(place, "\n".join(lines).rstrip())
