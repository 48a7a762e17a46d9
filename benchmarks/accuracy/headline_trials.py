"""Which plan the longer runs take: trials on the exploration network, 12 passes over its data each.

python -m benchmarks.accuracy headline_trials --processes 2     all that is not done yet, then the table
python -m benchmarks.accuracy headline_trials --table           the table of what is done

Judged on 5,000 held-out training images; the test set is not read (docs/reproduce.md).
"""

from elq_ref.cli.output import table as aligned

from .jobs import Job, exploring, work_off, write_table

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
    args = exploring(__doc__, "headline_trials").parse_args()
    everything = jobs(args.recipe, args.network)
    done, place, runs = work_off(everything, args)
    rows = [["top-1 %", *LEVELS]]
    for name in TRIALS:
        found = [runs.get(_file(name, levels)) for levels in LEVELS]
        rows.append([name, *(f"{run.top1:.2f}" if run else "-" for run in found)])
    meanings = (f"{name}: {' '.join(words)}" for name, words in TRIALS.items())
    text = f"{aligned(rows)}\n\n{PASSES:g} passes each, seed 0; {len(runs)} of {len(everything)} runs are done.\n"
    write_table(place, "\n".join(["    python -m benchmarks.accuracy headline_trials", "", text, *meanings]))
    return 0 if done else 1
