"""The best recipe known, once and for all: ELQ to ternary and to binary on CIFAR-10 ResNet-20, all layers, three seeds.

python -m benchmarks.accuracy finals --processes 2     all that is not done yet, then the table and the packed files
python -m benchmarks.accuracy finals --table           the table of what is done

Needs ELQ_DATA with CIFAR-10 and the public checkpoint (docs/reproduce.md). 72 passes, one and a half hours on a core
each. The recipe was written down before the first of these runs; docs/reproduce.md says why it is this one.
"""

from statistics import mean, stdev

from elq_ref.cli.output import table as aligned
from elq_ref.runs.record import RunRecord

from ..result_text import made_by
from .headlines import keep_packed, long_runs, packed_file
from .jobs import Job, Series, work_off, write_table

SEEDS = (0, 1, 2)
KEPT = "seed0"  # the packed networks of which are committed, whatever they score
RECIPE = ("--lr", "0.03", "--weight-decay", "5e-4")
LATE = "epochs=66,1.5,1.5,1.5,1.5"
PLANS = {"ternary": (LATE, "alpha_from=stage0"), "binary": (LATE,)}  # the best of ELQ's rows in search_12_passes.txt


def jobs(recipe: str, checkpoint: str | None, passes: float | None) -> list[Job]:
    """A job for each seed and levels."""
    network = [recipe, *([checkpoint] if checkpoint else [])]
    length = ["--headline", *([] if passes is None else ["--passes", f"{passes:g}"])]
    return [
        Job(
            f"{levels}-seed{seed}",
            (*network, "--levels", levels, "--seed", str(seed), *length, *RECIPE, "--set", *PLANS[levels]),
        )
        for seed in SEEDS
        for levels in PLANS
    ]


def main() -> int:
    args = long_runs(__doc__, "resnet20-finals").parse_args()
    everything = jobs(args.recipe, args.checkpoint, args.passes)
    done, place, runs = work_off(everything, args, curves=True)
    keep_packed(place, (job for job in everything if job.name in runs and job.name.endswith(KEPT)))
    write(place, runs, len(everything))
    return 0 if done else 1


def write(place: Series, runs: dict[str, RunRecord], wanted: int) -> None:
    """The table as text beside the file of the runs, and on standard output."""
    rows, means, lines = [["", "right", "top-1 %", "bytes of the weights", "packed file", "minutes"]], [], []
    for levels in PLANS:
        found = {name: run for name, run in runs.items() if name.startswith(levels)}
        for name, run in found.items():
            r, packed = run.result, packed_file(place, name).name if name.endswith(KEPT) else "-"
            cells = f"{r['correct']}", f"{r['top1']:.2f}", f"{r['weight_bytes']:,}", packed
            rows.append([name, *cells, f"{r['seconds'] / 60:.0f}"])
            curve = " ".join(f"{line['top1_hat']:.1f}" for line in run.measured)
            curve = f"  W_hat after each pass, % of {run.config['judge']}: {curve}"
            lines += [f"{name}: {run.config['command']}", f"  {made_by(r['environment'])}", curve, ""]
        if len(found) > 1:
            top1 = [run.top1 for run in found.values()]
            means.append(f"{levels}: mean of {len(top1)} seeds {mean(top1):.2f}, sd {stdev(top1):.2f}")
    total = next((run.result["total"] for run in runs.values()), 0)
    lines = [
        f"ELQ, packed networks on {total:,} images, read once; {len(runs)} of {wanted} runs are done.",
        "",
        "    python -m benchmarks.accuracy finals",
        "",
        aligned(rows),
        *means,
        "",
        *lines,
    ]
    write_table(place, "\n".join(lines).rstrip())
