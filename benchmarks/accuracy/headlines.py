"""The longer runs: ELQ to ternary and to binary on CIFAR-10 ResNet-20, all layers or all but the first and the last.

python -m benchmarks.accuracy headlines --processes 2     all that is not done yet, then the table and the packed files
python -m benchmarks.accuracy headlines --table           the table of what is done

Needs ELQ_DATA with CIFAR-10 and the public checkpoint (docs/reproduce.md). 72 passes, nearly two hours on a core each.
"""

from .jobs import Job
from .long_runs import carry_out, job

KINDS = {"": (), "-firstlast": ("--first-last-float",)}


def jobs(recipe: str, checkpoint: str | None, passes: float | None) -> list[Job]:
    """A job for the levels and which layers."""
    return [
        job(f"{levels}{kind}", recipe, checkpoint, passes, "--levels", levels, "--seed", "0", *words)
        for kind, words in KINDS.items()
        for levels in ("ternary", "binary")
    ]


def main() -> int:
    return carry_out(__doc__, "cifar10-resnet20", "python -m benchmarks.accuracy headlines", jobs)
