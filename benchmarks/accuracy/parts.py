"""What each part of ELQ does to the weights: how often codes flip, where weights gather, what a freeze leaves wrong.

python -m benchmarks.accuracy parts all             what is not measured yet, then the table
python -m benchmarks.accuracy parts PART ...        some of them; table: of what there is

Needs ELQ_DATA. From the exploration network, 3 passes over its 45,000 training pictures, one change at a time as in the
ablation; judged on the 5,000 held-out ones, the test set is not read. A part takes 5 to 10 minutes of one core.

flips         weights whose code changes in a step, of 1,000: mean over the last quarter of stage 0
band, beyond  free weights at the end of stage 0 in [0.4, 0.6) alpha (binary: within 0.2 alpha), and beyond 1.05 alpha
wrong         of the weights that froze before the last stage, or in it, those that froze on another level than the one
              that they were on most often in the last hundred steps or so
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from elq_ref import Batches, checkpoint, datasets, quantize
from elq_ref.cli.networks import open_network
from elq_ref.cli.output import table as aligned
from elq_ref.cli.plan_options import changed
from elq_ref.elq.averages import followed, frequent_codes
from elq_ref.files import atomic_write
from elq_ref.runs.layers import BINS, layer_records, shares_of_shape
from elq_ref.runs.measures import accuracies
from elq_ref.runs.recipes import EXPERIMENTS, recipe
from elq_ref.training.stages import Step
from elq_ref.training.state import State

from ..result_text import about, made_by

PORTIONS = "portions=0.164,0.313,0.448,1"  # what the bands of the baseline freeze
REESTIMATION = 50  # batches
POINTS = 16  # steps of which a point of the curves is the mean
BOUND = ("gradient=taylor-elementwise", "sign=computed", "norm=absolute", "a2=1e-5", "tail=pull")
# name -> levels, method, what is set beside the plan of the comparison
PARTS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "loss": ("ternary", "elq", ("a1=0",)),
    "perturbation": ("ternary", "elq", ()),
    "error": ("ternary", "elq", ("a2=1e-2",)),
    "rising": ("ternary", "elq", ("a2=0.2", "a2_rise=0.1,0.33")),  # E at full weight when stage 0 ends
    "paper": ("ternary", "elq", ("a2=0.2", "a2_rise=0.1,0.33", "tail=pull")),  # elq quantize --preset paper
    "bound": ("ternary", "elq", BOUND),
    "largest": ("ternary", "order", ("order=magnitude", PORTIONS)),
    "stable": ("ternary", "order", ("order=stable", PORTIONS)),
    "binary": ("binary", "elq", ()),
    "binary-stable": ("binary", "order", ("order=stable", PORTIONS)),
}


class Watch:
    """The codes of every layer from step to step: what flips, and what a freeze decides."""

    def __init__(self) -> None:
        self.codes: dict[str, np.ndarray] = {}
        self.frozen: dict[str, np.ndarray] = {}
        self.averages: dict[str, np.ndarray] = {}

    def see(self, step: Step) -> tuple[dict[str, int], int, int]:
        """After a step: (codes that changed, by layer; weights that froze before it; how many of them wrong)."""
        state, flips, froze, wrong = step.state, {}, 0, 0
        for name, weight in state.weights.items():
            codes = state.method.codes(weight)
            if name not in self.codes:
                self.codes[name], self.frozen[name] = codes, np.zeros_like(weight.frozen)
                self.averages[name] = codes.astype(np.float32)
            new = weight.frozen & ~self.frozen[name]
            froze += int(np.sum(new))
            often = frequent_codes(self.averages[name], state.plan.levels)
            wrong += int(np.sum(new & (codes != often)))
            flips[name] = int(np.sum(codes != self.codes[name]))
            self.averages[name] = followed(self.averages[name], codes)
            self.codes[name], self.frozen[name] = codes, weight.frozen.copy()
        return flips, froze, wrong


def measure(steps: Iterator[Step], batches: Batches, judge: datasets.Dataset) -> dict[str, Any]:
    """The figures of one run."""
    watch, flips, shape = Watch(), [], {}
    stages: list[dict[str, Any]] = []
    for step in steps:
        seen, froze, wrong = watch.see(step)
        flips.append(seen)
        if step.index == 0:
            stages.append({"froze": froze, "wrong": wrong})
        if step.ends_stage:
            stages[-1] |= {"step": step.step, "share frozen": step.frozen}
            stages[-1] |= accuracies(step.state, batches, judge, REESTIMATION)
            if step.stage == 0:
                shape = _shape(step.state)
    sizes = {name: codes.size for name, codes in watch.codes.items()}
    each = [1000 * sum(seen.values()) / sum(sizes.values()) for seen in flips]
    end = stages[0]["step"]
    late = slice(end - max(1, end // 4), end)
    return {
        "curve": [_mean(each[k : k + POINTS]) for k in range(0, len(each), POINTS)],
        "flips": _mean(each[late]),
        "layers": {name: _mean([1000 * seen[name] / size for seen in flips[late]]) for name, size in sizes.items()},
        "shape": shape,
        "stages": stages,
        "about": about(),
    }


def _mean(values: list[float]) -> float:
    return round(float(np.mean(values)), 4)


def _shape(state: State) -> dict[str, Any]:
    """Figure 1 of the paper: its two numbers, and the histogram of the free weights of all layers."""
    records = layer_records(state)
    counts = [np.array(record["free"]) for record in records.values() if record["free"]]
    return {**shares_of_shape(records, state.plan.levels), "free": sum(counts, np.zeros(BINS, int)).tolist()}


def run(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Quantize the network by a part's plan, and measure it."""
    levels, method, settings = PARTS[name]
    experiment = EXPERIMENTS[args.recipe]
    train, judge = datasets.hold_out(datasets.load(experiment.data, split="train"), experiment.hold_out)
    net, info = open_network(checkpoint.read(args.network), experiment.model, train)
    plan, sgd = recipe(method, levels, tuple(net.quantizable()), passes=args.passes)
    train, judge = (datasets.adapted(part, info) for part in (train, judge))
    batches = Batches(train, experiment.batch_size, augment=datasets.default_augment(train), seed=0)
    return measure(quantize(net, batches, changed(plan, settings).spread(args.passes), sgd), batches, judge)


def _row(name: str, found: dict[str, Any]) -> list[str]:
    first, *freezes = found["stages"]
    wrong = [[sum(stage[key] for stage in part) for key in ("wrong", "froze")] for part in (freezes[:-1], freezes[-1:])]
    shares = [f"{100 * bad / froze:.1f}" if froze else "-" for bad, froze in wrong]
    shape = [f"{100 * found['shape'][key]:.1f}" for key in ("band", "beyond")]
    tops = [f"{first[key]:.2f}" for key in ("top1", "top1_hat")]
    return [name, f"{found['flips']:.2f}", *shape, *tops, *shares, f"{freezes[-1]['top1_hat']:.2f}"]


def write(found: dict[str, dict[str, Any]], args: argparse.Namespace) -> None:
    """The table of what is measured, as text and on output, and the figures beside it as .json."""
    heads = ["", "flips", "band %", "beyond %", "W", "W_hat", "wrong before %", "wrong last %", "end"]
    layers = [["", *found]]
    for name in next(iter(found.values()))["layers"]:
        layers.append([name, *(f"{one['layers'][name]:.2f}" for one in found.values())])
    options = {name: (f"--levels {PARTS[name][0]} --method {PARTS[name][1]} --set", *PARTS[name][2]) for name in found}
    lines = [
        "    python -m benchmarks.accuracy parts all",
        "",
        aligned([heads, *(_row(name, one) for name, one in found.items())]),
        "",
        f"{args.passes:g} passes each, seed 0; top-1 % of held-out pictures, of W and W_hat after stage 0, at the end.",
        made_by(next(iter(found.values()))["about"]),
        "",
        *(f"{name}: {' '.join(words).removesuffix(' --set')}" for name, words in options.items()),
        "",
        "Of 1,000 weights of a layer, those that flip in a step of the last quarter of stage 0:",
        "",
        aligned(layers),
    ]
    text = "\n".join(lines) + "\n"
    for path, content in ((args.output, text), (args.output.with_suffix(".json"), json.dumps(found) + "\n")):
        with atomic_write(path) as temporary:
            temporary.write_text(content)
    print(text)


def main() -> None:
    """Parse, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "parts", nargs="+", metavar="PART", choices=(*PARTS, "all", "table"), help=f"{', '.join(PARTS)}, all, or table"
    )
    parser.add_argument("--recipe", default="cifar10-resnet20-exploration")
    parser.add_argument("--network", default="benchmarks/networks/resnet20-exploration.safetensors")
    parser.add_argument("--passes", type=float, default=3.0, help="over the data (default: 3)")
    parser.add_argument("--runs", type=Path, default=Path("runs/parts"), help="folder to work in (default: runs/parts)")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/parts.txt"), help="text to write")
    args = parser.parse_args()
    args.runs.mkdir(parents=True, exist_ok=True)
    files = {name: args.runs / f"{name}.json" for name in PARTS}
    for name in PARTS if "all" in args.parts else args.parts:
        if name != "table" and not files[name].is_file():
            found = run(name, args)
            with atomic_write(files[name]) as temporary:
                temporary.write_text(json.dumps(found) + "\n")
            print(f"{name}: {found['stages'][-1]['top1_hat']:.2f} %", flush=True)
    write({name: json.loads(file.read_text()) for name, file in files.items() if file.is_file()}, args)
