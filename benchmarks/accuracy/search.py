"""What ELQ may borrow, and its open choices: trials on the exploration network around the plan of the longer runs.

python -m benchmarks.accuracy search --processes 2     12 passes, one seed: all that is not done yet, then the table
python -m benchmarks.accuracy search --seeds 0 1 2     of several seeds; --passes: another length, its own table
python -m benchmarks.accuracy search --table           the table of what is done

Judged on 5,000 held-out training images; the test set is not read (docs/reproduce.md). --only takes the words of a
row's name; what stands in no row of a longer search lost in a shorter one.
"""

from statistics import mean

from elq_ref.cli.output import table as aligned
from elq_ref.runs.record import RunRecord

from .jobs import Job, exploring, work_off, write_table

LEVELS = ("ternary", "binary")
RIVAL = {"ternary": "twn", "binary": "bwn"}
LATE = "epochs=11,0.25,0.25,0.25,0.25"  # freezes when all but the end of the run is over
ROWS: dict[str, tuple[str, ...]] = {
    "late": ("--headline", "--set", LATE),
    "twn or bwn": (),
    "parq": ("--method", "parq"),
    "late moving": ("--headline", "--set", LATE, "alpha_from=stage0"),
    "late channel": ("--headline", "--set", LATE, "per_channel=true"),
    "late moving channel": ("--headline", "--set", LATE, "alpha_from=stage0", "per_channel=true"),
    "binaryrelax": ("--method", "binaryrelax"),
    "late channel frequent": ("--headline", "--set", LATE, "per_channel=true", "freeze_to=frequent"),
}


def words(name: str, levels: str) -> tuple[str, ...]:
    """What follows `elq reproduce RECIPE NETWORK` for a row, but length and seed."""
    return ("--levels", levels, *(ROWS[name] or ("--method", RIVAL[levels])))


def jobs(recipe: str, network: str, passes: float, seeds: list[int]) -> list[Job]:
    """A job a row, levels and seed, those of one seed and row beside each other."""
    return [
        Job(
            _file(name, levels, seed),
            (recipe, network, *words(name, levels), "--passes", f"{passes:g}", "--seed", str(seed)),
        )
        for seed in seeds
        for name in ROWS
        for levels in LEVELS
    ]


def _file(name: str, levels: str, seed: int) -> str:
    return "-".join((levels, *name.split(), f"seed{seed}"))


def _cell(runs: dict[str, RunRecord], name: str, levels: str, seeds: list[int]) -> str:
    found = [runs[job].top1 for seed in seeds if (job := _file(name, levels, seed)) in runs]
    return f"{mean(found):.2f} ({len(found)})" if found else "-"


def main() -> int:
    parser = exploring(__doc__, "search")
    parser.add_argument("--passes", type=float, default=12.0)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    args = parser.parse_args()
    args.name = f"{args.name}_{args.passes:g}_passes"
    everything = jobs(args.recipe, args.network, args.passes, args.seeds)
    done, place, runs = work_off(everything, args)
    rows = [["top-1 % (runs)", *LEVELS]]
    rows += [[name, *(_cell(runs, name, levels, args.seeds) for levels in LEVELS)] for name in ROWS]
    seeds = " ".join(map(str, args.seeds))
    command = f"    python -m benchmarks.accuracy search --passes {args.passes:g} --seeds {seeds}"
    meanings = [f"{name}: {' '.join(given)}" for name, given in ROWS.items() if given]
    lines = [command, "", aligned(rows), "", f"{args.passes:g} passes each; means of so many seeds.", "", *meanings]
    write_table(place, "\n".join(lines))
    return 0 if done else 1
