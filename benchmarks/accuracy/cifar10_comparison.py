"""ELQ beside its rivals and float fine-tuning: CIFAR-10 ResNet-20, 12 passes, as many seeds each.

python -m benchmarks.accuracy cifar10_comparison --processes 2     all that is not done yet, then the table
python -m benchmarks.accuracy cifar10_comparison --table           the table of what is done

Needs ELQ_DATA with CIFAR-10 and the public checkpoint (docs/reproduce.md). A run takes 15 to 26 minutes on a core.
"""

import argparse

from elq_ref.cli.output import table as aligned
from elq_ref.runs.comparison import grouped, table
from elq_ref.runs.recipes import PASSES
from elq_ref.runs.record import RunRecord

from ..result_text import made_by
from .jobs import Job, Series, add_options, work_off, write_table

METHODS_AND_LEVELS = (  # in the order of what is most worth knowing
    ("elq", "ternary"),
    ("twn", "ternary"),
    ("float", None),
    ("ttq", "ternary"),
    ("elq", "binary"),
    ("bwn", "binary"),
    ("inq", "ternary"),
    ("lab", "binary"),
    ("lat", "ternary"),
    ("parq", "ternary"),
    ("parq", "binary"),
    ("binaryrelax", "ternary"),
    ("binaryrelax", "binary"),
)


def jobs(recipe: str, checkpoint: str | None, seeds: list[int], more: list[str]) -> list[Job]:
    """A job a method and seed, seed by seed: a whole comparison of one seed comes before the next.

    Beside the methods ELQ with two plans into which more trials went: that of headlines.py in as many passes, and best.
    """
    longer = ["--headline", *([] if "--quick" in more else ["--passes", f"{PASSES:g}"])]
    plans = {"": [], "headline": longer, "best": ["--preset", "best"]}
    kinds = [(method, levels, "") for method, levels in METHODS_AND_LEVELS]
    kinds += [("elq", levels, name) for name in ("headline", "best") for levels in ("ternary", "binary")]
    first = [recipe, checkpoint] if checkpoint else [recipe]
    return [
        _job([*first, *plans[name]], seed, method, levels, name, more)
        for seed in seeds
        for method, levels, name in kinds
    ]


def _job(first: list[str], seed: int, method: str, levels: str | None, plan: str, more: list[str]) -> Job:
    if levels is None:  # float fine-tuning keeps every layer
        more = [word for word in more if word != "--first-last-float"]
    words = [*first, "--method", method, "--seed", str(seed), *more, *(["--levels", levels] if levels else [])]
    name = [method, levels, plan, f"seed{seed}", "firstlast" * ("--first-last-float" in more)]
    return Job("-".join(filter(None, name)), tuple(words))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, "cifar10_comparison")
    parser.add_argument("--recipe", default="cifar10-resnet20")
    parser.add_argument("--checkpoint", help="trained network (default: the recipe's own)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--first-last-float", action="store_true", help="keep the first and the last layer in float")
    parser.add_argument("--quick", action="store_true", help="one pass each, to see it work; choose another name")
    args = parser.parse_args()
    more = ["--first-last-float"] * args.first_last_float + ["--quick"] * args.quick
    everything = jobs(args.recipe, args.checkpoint, args.seeds, more)
    done, place, finished = work_off(everything, args)
    write(place, list(finished.values()), len(everything), more)
    return 0 if done else 1


def write(place: Series, runs: list[RunRecord], wanted: int, more: list[str]) -> None:
    """The table as text beside the file of the runs, and on standard output."""
    groups, total = grouped(runs), runs[0].result["total"]
    in_float = " (first, last layer float)" * ("--first-last-float" in more)
    ours = [f"elq {levels}{plan}{in_float}" for plan in ("", " (best preset)") for levels in ("ternary", "binary")]
    labels = ("float", *ours)
    references = [group for label in labels for group in groups if group.label == label]
    lines = [
        f"Top-1 of packed networks on {total:,} images; {len(runs)} of {wanted} runs are done.",
        "",
        f"    python -m benchmarks.accuracy cifar10_comparison {' '.join(more)}".rstrip(),
        "",
        *[f"{aligned(table(groups, against))}\n" for against in references or [None]],
        "Differences are paired by seed, with Student's 95 % interval. The headline plan of ELQ and its best preset",
        "had more trials than the others: they stand beside the comparison, not in it. The runs, one a line:",
        "",
    ]
    for run in runs:
        r = run.result
        words = f"{r['correct']} right, {r['seconds'] / 60:.0f} min, {made_by(r['environment'])}"
        lines.append(f"{run.config['command']}: {words}")
    write_table(place, "\n".join(lines))
