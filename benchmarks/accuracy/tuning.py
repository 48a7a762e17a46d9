"""The same number of trials for every method on the exploration network: learning rates, 3 passes each.

python -m benchmarks.accuracy tuning --processes 2     all that is not done yet, then the table
python -m benchmarks.accuracy tuning --table           the table of what is done

The plans (elq_ref/training/plans.py) take the best of each line, judged on 5,000 held-out training images
(docs/reproduce.md).
"""

from elq_ref.cli.output import table as aligned

from .cifar10_comparison import METHODS_AND_LEVELS
from .jobs import Job, exploring, work_off, write_table

RATES, PASSES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3), 3.0


def jobs(recipe: str, network: str) -> list[Job]:
    """A job a method and learning rate."""
    made = []
    for method, levels in METHODS_AND_LEVELS:
        for rate in RATES:
            words = [recipe, network, "--method", method, "--passes", f"{PASSES:g}", "--lr", f"{rate:g}"]
            words += ["--levels", levels] if levels else []
            made.append(Job("-".join(filter(None, (method, levels, f"lr{rate:g}"))), tuple(words)))
    return made


def main() -> int:
    args = exploring(__doc__, "tuning").parse_args()
    everything = jobs(args.recipe, args.network)
    done, place, runs = work_off(everything, args)
    rows = [["top-1 % at lr", *(f"{rate:g}" for rate in RATES)]]
    for method, levels in METHODS_AND_LEVELS:
        names = ["-".join(filter(None, (method, levels, f"lr{rate:g}"))) for rate in RATES]
        cells = [f"{runs[name].top1:.2f}" if name in runs else "-" for name in names]
        rows.append([f"{method} {levels or ''}".strip(), *cells])
    text = f"{aligned(rows)}\n\n{PASSES:g} passes each, seed 0; {len(runs)} of {len(everything)} runs are done."
    write_table(place, f"    python -m benchmarks.accuracy tuning\n\n{text}")
    return 0 if done else 1
