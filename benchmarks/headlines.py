"""The longer runs: ELQ to ternary and to binary on CIFAR-10 ResNet-20, all layers or all but the first and the last.

python benchmarks/headlines.py --processes 2     all that is not done yet, then the table and the packed files
python benchmarks/headlines.py --table           the table of what is done

Needs ELQ_DATA with CIFAR-10 and the public checkpoint (docs/reproduce.md). 72 passes, nearly two hours on a core each.
"""

import argparse
import shutil
import sys
from pathlib import Path

from jobs import Job, add_options, kept_runs, work_off, write_table
from result_text import made_by

from elq_ref.cli.output import table as aligned
from elq_ref.files import atomic_write
from elq_ref.runs.record import RunRecord

KINDS = (("ternary", ""), ("binary", ""), ("ternary", "-firstlast"), ("binary", "-firstlast"))


def jobs(recipe: str, checkpoint: str | None, passes: float | None) -> list[Job]:
    """A job for the levels and which layers."""
    length = ["--headline", *([] if passes is None else ["--passes", f"{passes:g}"])]
    made = []
    for levels, kind in KINDS:
        words = [recipe, *([checkpoint] if checkpoint else []), "--levels", levels, "--seed", "0", *length]
        made.append(Job(f"{levels}{kind}", (*words, *(["--first-last-float"] if kind else []))))
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, "benchmarks/results/cifar10-resnet20")
    parser.add_argument("--recipe", default="cifar10-resnet20")
    parser.add_argument("--checkpoint", help="trained network (default: the recipe's own)")
    parser.add_argument("--passes", type=float, help="instead of the headline's, to see it work; choose other folders")
    args = parser.parse_args()
    everything = jobs(args.recipe, args.checkpoint, args.passes)
    done, places = work_off(everything, args)
    write(args.results, kept_runs(everything, places))
    return 0 if done else 1


def write(folder: Path, runs: dict[str, RunRecord]) -> None:
    """The table as text beside the folder of the runs and on standard output; FOLDER-NAME.elq of each run."""
    rows = [["", "right", "top-1 %", "bytes of the weights", "packed file", "minutes"]]
    lines = []
    for name, run in runs.items():
        packed = folder.with_name(f"{folder.name}-{name}.elq")
        with atomic_write(packed) as temporary:
            shutil.copyfile(folder / name / "net.elq", temporary)
        r = run.result
        cells = f"{r['correct']}", f"{r['top1']:.2f}", f"{r['weight_bytes']:,}", packed.name, f"{r['seconds'] / 60:.0f}"
        rows.append([name, *cells])
        curve = " ".join(f"{line['top1_hat']:.1f}" for line in run.measured)
        curve = f"  W_hat after each pass, % of {run.config['judge']}: {curve}"
        lines += [f"{name}: {run.config['command']}", f"  {made_by(r['environment'])}", curve, ""]
    total = next((run.result["total"] for run in runs.values()), 0)
    lines = [
        f"ELQ, packed networks on {total:,} images, read once; {len(runs)} of {len(KINDS)} runs are done.",
        "",
        "    python benchmarks/headlines.py",
        "",
        aligned(rows),
        "",
        *lines,
    ]
    write_table(folder, "\n".join(lines).rstrip())


if __name__ == "__main__":
    sys.exit(main())
