"""Which parts of ELQ matter: one choice changed at a time, on the exploration network, 3 passes over its data each.

python -m benchmarks.accuracy ablation --processes 2     all that is not done yet, then the table
python -m benchmarks.accuracy ablation --table           the table of what is done

Trains on 45,000 training images and is judged on the other 5,000, which the exploration network has never seen; the
test set is not read (docs/reproduce.md). `scope=layer`, 21 passes a step, is left out.
"""

import numpy as np

from elq_ref.cli.output import table as aligned
from elq_ref.runs.record import RunRecord

from .jobs import Job, Series, exploring, work_off, write_table

PASSES = 3.0
SHARES = "portions=0.164,0.313,0.448,1"  # what the bands of sigma2 froze in benchmarks/results/*-ternary-6passes.txt


def spread(*shares: float) -> str:
    """epochs=... of PASSES in these proportions."""
    return "epochs=" + ",".join(f"{PASSES * share / sum(shares):g}" for share in shares)


SETTINGS: dict[str, tuple[str, ...]] = {
    "a1 0 (float fine-tuning, then quantized)": ("a1=0",),
    "a1 0.5": ("a1=0.5",),
    "a1 2": ("a1=2",),
    "a2 1e-4": ("a2=1e-4",),
    "a2 1e-3": ("a2=1e-3",),
    "a2 1e-2": ("a2=1e-2",),
    "a2 1e-5, absolute norm": ("a2=1e-5", "norm=absolute"),
    "sign computed": ("sign=computed",),
    "sign computed, a1 0.5": ("sign=computed", "a1=0.5"),
    "positive part": ("sign=computed", "perturbation=positive"),
    "gradient constant": ("gradient=constant", "sign=computed", "a1=0.5"),
    "gradient taylor-inner": ("gradient=taylor-inner", "sign=computed", "a1=0.5"),
    "gradient taylor-elementwise": ("gradient=taylor-elementwise", "sign=computed"),
    "gradient taylor-elementwise, a1 0.2": ("gradient=taylor-elementwise", "sign=computed", "a1=0.2"),
    "partition magnitude": ("order=magnitude", SHARES),
    "partition random": ("order=random", SHARES),
    "all free to the end": ("sigma2=", spread(1)),
    "all frozen at once": ("sigma2=0", spread(1, 1)),
    "no stage 0": (spread(0, 1, 1, 1, 1),),
    "long stage 0": (spread(8, 1, 1, 1, 1),),
    "seven freezes": ("sigma2=0.4,0.3,0.2,0.15,0.1,0.05,0", spread(4, 1, 1, 1, 1, 1, 1, 2)),
    "tail pull": ("tail=pull",),
    "tail clip": ("tail=clip",),
    "tail 2alpha": ("tail=2alpha",),
    "scale l2": ("scale=l2",),
    "scale twn": ("scale=twn",),
    "a scale a channel": ("per_channel=true",),
    "alpha from stage 0": ("alpha_from=stage0",),
    "momentum reset": ("momentum_at_freeze=reset",),
}


def method_of(settings: tuple[str, ...]) -> str:
    """The method that has these options: ELQ, or freezing by order."""
    return "order" if any(setting.startswith("order=") for setting in settings) else "elq"


VARIANTS: dict[str, tuple[str, ...]] = {  # what follows `elq reproduce ...`
    "baseline": (),
    **{
        name: (*(("--method", "order") if method_of(settings) == "order" else ()), "--set", *settings)
        for name, settings in SETTINGS.items()
    },
    "weight decay 1e-4": ("--weight-decay", "1e-4"),
    "weight decay 5e-4": ("--weight-decay", "5e-4"),
}


def jobs(seeds: list[int], recipe: str, network: str) -> list[Job]:
    """A job a variant and seed, seed by seed."""
    made = []
    for seed in seeds:
        for name, more in VARIANTS.items():
            words = [recipe, network, "--passes", f"{PASSES:g}", "--seed", str(seed), *more]
            made.append(Job(f"{_file(name)}-seed{seed}", tuple(words)))
    return made


def _file(name: str) -> str:
    return "-".join("".join(c if c.isalnum() or c == "." else " " for c in name).split())


def main() -> int:
    parser = exploring(__doc__, "ablation")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    args = parser.parse_args()
    everything = jobs(args.seeds, args.recipe, args.network)
    done, place, runs = work_off(everything, args)
    write(place, runs, args.seeds)
    return 0 if done else 1


def write(place: Series, runs: dict[str, RunRecord], seeds: list[int]) -> None:
    """The table as text beside the file of the runs, and on standard output."""
    by_variant = {name: [runs.get(f"{_file(name)}-seed{seed}") for seed in seeds] for name in VARIANTS}
    rows = [["changed", "runs", "top-1 %", "minus baseline", "W, stage 0", "W_hat, stage 0", "frozen before the last"]]
    base = {run.seed: run.top1 for run in by_variant["baseline"] if run}
    for name, found in by_variant.items():
        done = [run for run in found if run]
        if not done:
            rows.append([name, "0", *["-"] * 5])
            continue
        pairs = [run.top1 - base[run.seed] for run in done if run.seed in base]
        first = [stage for run in done for stage in run.stages if stage["stage"] == 0]
        before = [run.stages[-2]["frozen"] if len(run.stages) > 1 else 0 for run in done]
        rows.append([
            name,
            str(len(done)),
            f"{np.mean([run.top1 for run in done]):.2f}",
            f"{np.mean(pairs):+.2f}" if pairs else "-",
            *(f"{np.mean([s[key] for s in first]):.2f}" if first else "-" for key in ("top1", "top1_hat")),
            f"{np.mean(before):.0%}",
        ])  # fmt: skip
    total = next((run.result["total"] for run in runs.values()), 0)
    text = "\n".join([
        f"Top-1 of packed networks on {total:,} held-out training images, {PASSES:g} passes each; {len(runs)} of "
        f"{len(VARIANTS) * len(seeds)} runs are done.",
        "",
        "    python -m benchmarks.accuracy ablation",
        "",
        aligned(rows),
        "",
        *(f"{name}: {' '.join(more)}" for name, more in VARIANTS.items() if more),
    ])  # fmt: skip
    write_table(place, text)
