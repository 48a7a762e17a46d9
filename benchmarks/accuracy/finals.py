"""The best recipe known, once and for all: ELQ to ternary and to binary on CIFAR-10 ResNet-20, all layers, three seeds.

python -m benchmarks.accuracy finals --processes 2     all that is not done yet, then the table and the packed files
python -m benchmarks.accuracy finals --table           the table of what is done

Needs ELQ_DATA with CIFAR-10 and the public checkpoint (docs/reproduce.md). 72 passes, one and a half hours on a core
each. The recipe was written down before the first of these runs; docs/reproduce.md says why it is this one.
"""

from statistics import mean, stdev

from .jobs import Job
from .long_runs import Runs, carry_out, job

SEEDS = (0, 1, 2)
RECIPE = ("--lr", "0.03", "--weight-decay", "5e-4", "--set", "epochs=66,1.5,1.5,1.5,1.5")
PLANS = {"ternary": ("alpha_from=stage0",), "binary": ()}  # as the best of ELQ's rows in search_12_passes.txt


def jobs(recipe: str, checkpoint: str | None, passes: float | None) -> list[Job]:
    """A job for each seed and levels."""
    return [
        job(f"{levels}-seed{seed}", recipe, checkpoint, passes, "--levels", levels, "--seed", str(seed), *RECIPE, *plan)
        for seed in SEEDS
        for levels, plan in PLANS.items()
    ]


def means(runs: Runs) -> list[str]:
    """A line for the levels of which there are several seeds."""
    found = {levels: [run.top1 for name, run in runs.items() if name.startswith(levels)] for levels in PLANS}
    return [
        f"{levels}: mean of {len(top1)} seeds {mean(top1):.2f}, sd {stdev(top1):.2f}"
        for levels, top1 in found.items()
        if len(top1) > 1
    ]


def main() -> int:
    return carry_out(__doc__, "resnet20-finals", "python -m benchmarks.accuracy finals", jobs, means)
