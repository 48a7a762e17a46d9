"""Which plan the longer runs take: trials on the exploration network, 12 passes over its data each.

python benchmarks/headline_trials.py --processes 2     all that is not done yet, then the table
python benchmarks/headline_trials.py --table           the table of what is done

Judged on 5,000 held-out training images; the test set is not read (docs/reproduce.md).
"""

import sys

from jobs import Job, exploring, kept_runs, work_off, write_table

from elq_ref.cli.output import table as aligned

PASSES = 12.0
LEVELS = ("ternary", "binary")
LONG = "epochs=8,1,1,1,1"  # most passes with all weights free
TRIALS: dict[str, tuple[str, ...]] = {
    "lr 0.03": ("--lr", "0.03", "--set", LONG, "restart=0.1"),
    "lr 0.03, tail clip": ("--lr", "0.03", "--set", LONG, "restart=0.1", "tail=clip"),
    "lr 0.01": ("--lr", "0.01", "--set", LONG, "restart=0.3"),
    "lr 0.005": ("--lr", "0.005", "--set", LONG, "restart=0.6"),
}


def jobs(recipe: str, network: str) -> list[Job]:
    """A job a trial and levels."""
    length = ("--passes", f"{PASSES:g}")
    return [
        Job(_file(name, levels), (recipe, network, "--levels", levels, *length, *words))
        for name, words in TRIALS.items()
        for levels in LEVELS
    ]


def _file(name: str, levels: str) -> str:
    return "-".join((levels, *name.replace(",", "").split()))


def main() -> int:
    args = exploring(__doc__, "benchmarks/results/headline_trials").parse_args()
    everything = jobs(args.recipe, args.network)
    done, places = work_off(everything, args)
    runs = kept_runs(everything, places)
    rows = [["top-1 %", *LEVELS]]
    for name in TRIALS:
        found = [runs.get(_file(name, levels)) for levels in LEVELS]
        rows.append([name, *(f"{run.top1:.2f}" if run else "-" for run in found)])
    meanings = (f"{name}: {' '.join(words)}" for name, words in TRIALS.items())
    text = f"{aligned(rows)}\n\n{PASSES:g} passes each, seed 0; {len(runs)} of {len(everything)} runs are done.\n"
    write_table(args.results, "\n".join(["    python benchmarks/headline_trials.py", "", text, *meanings]))
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main())
