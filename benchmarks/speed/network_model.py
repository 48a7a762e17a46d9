"""What more machines would bring to ELQ on ImageNet: computed from measured steps and a stated network, not timed.

    python -m benchmarks.speed network_model [--measured benchmarks/results/ranks.json] [-o FILE]

Of `python -m benchmarks.speed ranks` come s, the seconds that one core takes for a picture, and u, what a step takes
besides on every machine (quantization and SGD of all weights, which all machines do alike), for ResNet-18 and VGG-16 at
224; and e, what a core is worth among several of one process, of a core alone. A machine has c cores and runs one
process. A step of a batch of B pictures in K micro-batches on N machines takes, with n bytes of free gradients, C
channels of BatchNorm, R whole spans of the tree in a machine's run (1 where N is a power of two), b bits a second each
way and l seconds of delay a message:

    compute    t_c = u + B s / (N c e)
    exchange   t_x = 8 (N - 1) / N ((R + 1) n + 8 C K) / b + 2 (N - 1) l       none for N = 1; nothing runs meanwhile
    epoch      T   = ceil(1,281,167 / B) (t_c + t_x)
    money      T N c / 3600 times the price of a core-hour

Communication binds where t_x > t_c, marked *. Without u, C and l that is so for

    N > 1 + B s b / (16 c e n)

With a share f of the q quantized among p parameters frozen, n = 4 (p - f q). What a run saves is the mean over its
passes; the shares of its stages are those of the committed 12-pass run of ResNet-20 on CIFAR-10.

Assumed, not measured: c, l, the price, that b is reached in full, that s and e hold for machines of c cores, and that
pictures are read as fast as they are used.
"""

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elq_ref.models import build
from elq_ref.nn import BatchNorm2d
from elq_ref.parallel import World, tree
from elq_ref.runs.record import RunRecord

from ..result_text import add_output, write_result

RESULTS = Path(__file__).parents[1] / "results"
PICTURES = 1_281_167
NODES = (1, 2, 4, 8, 16, 32, 64)
GIGABITS = (1, 10, 25, 100)
CORES, DELAY, PRICE = 16, 20e-6, 0.04  # a machine's; seconds a message; dollars a core-hour
BATCH, MICRO_BATCHES = 256, 64
MODELS = {"resnet18": "ResNet-18", "vgg16": "VGG-16"}
STAGES = "runs.jsonl#cifar10_comparison/elq-ternary-seed0"


@dataclass(frozen=True)
class Step:
    """Seconds of a step of `batch` pictures, as the docstring above has them.

    picture: s; besides: u; quantized, others: parameters; channels: C; efficiency: e; cores: c; delay: l.
    """

    picture: float
    besides: float
    quantized: int
    others: int
    channels: int
    efficiency: float
    batch: int = BATCH
    micro_batches: int = MICRO_BATCHES
    cores: int = CORES
    delay: float = DELAY

    def compute(self, nodes: int) -> float:
        """t_c."""
        return self.besides + self.batch * self.picture / (nodes * self.cores * self.efficiency)

    def traffic(self, nodes: int, frozen: float = 0.0) -> float:
        """Bytes that the machine with the most spans sends in a step."""
        runs = (World(rank, nodes).run(self.micro_batches) for rank in range(nodes))
        most = max(len(tree.spans(run, self.micro_batches)) for run in runs)
        gradients = 4 * (self.others + (1 - frozen) * self.quantized)
        return (nodes - 1) / nodes * ((most + 1) * gradients + 8 * self.channels * self.micro_batches)

    def exchange(self, nodes: int, gigabits: float, frozen: float = 0.0) -> float:
        """t_x."""
        return 8 * self.traffic(nodes, frozen) / (1e9 * gigabits) + 2 * (nodes - 1) * self.delay

    def epoch(self, nodes: int, gigabits: float, frozen: float = 0.0) -> float:
        """T."""
        return math.ceil(PICTURES / self.batch) * (self.compute(nodes) + self.exchange(nodes, gigabits, frozen))

    def money(self, nodes: int, gigabits: float, frozen: float = 0.0) -> float:
        """Dollars an epoch."""
        return self.epoch(nodes, gigabits, frozen) / 3600 * nodes * self.cores * PRICE

    def binding(self, gigabits: float) -> float:
        """Machines beyond which the exchange takes longer than the pictures."""
        size = 4 * (self.quantized + self.others)
        return 1 + self.batch * self.picture * 1e9 * gigabits / (16 * self.cores * self.efficiency * size)


def efficiency(measured: dict[str, Any]) -> float:
    """e: what a core of two threads is of a core alone."""
    one, two = (measured["resnet18-112"][f"1 process x {n}"]["seconds"][0] for n in ("1 thread", "2 threads"))
    return float(one / two / 2)


def stages(place: str) -> tuple[list[float], list[float]]:
    """(passes, share frozen) of every stage of a committed run."""
    run = RunRecord.read(place)
    return list(run.plan.epochs), [stage["frozen"] for stage in run.stages]


def table(step: Step) -> list[str]:
    """A line a number of machines: hours and dollars of an epoch by bandwidth, before anything is frozen."""
    lines = ["machines  compute s" + "".join(f"{f'{gigabits} Gbit/s: h, $':>24}" for gigabits in GIGABITS)]
    for nodes in NODES:
        line = f"{nodes:8d}  {step.compute(nodes):9.3f}"
        for gigabits in GIGABITS:
            mark = "*" if step.exchange(nodes, gigabits) > step.compute(nodes) else " "
            line += f"{step.epoch(nodes, gigabits) / 3600:13.2f}{mark} {step.money(nodes, gigabits):9.2f}"
        lines.append(line)
    bounds = ", ".join(f"{step.binding(gigabits):.0f} at {gigabits} Gbit/s" for gigabits in GIGABITS)
    return [*lines, f"the exchange takes longer than the pictures beyond this many machines: {bounds}"]


def saved(step: Step, passes: list[float], shares: list[float], nodes: int) -> list[str]:
    """Lines: traffic and the seconds of a step by the share frozen, and over a run's stages."""
    whole = step.traffic(nodes)
    lines = [
        f"{nodes} machines, frozen   MB a step" + "".join(f"{f'{gigabits} Gbit/s: s':>16}" for gigabits in GIGABITS)
    ]
    for share in (0, 0.25, 0.5, 0.75, 1):
        seconds = (step.compute(nodes) + step.exchange(nodes, gigabits, share) for gigabits in GIGABITS)
        numbers = "".join(f"{value:16.3f}" for value in seconds)
        lines.append(f"{share:19.0%}  {step.traffic(nodes, share) / 1e6:10.2f}{numbers}")
    mean = sum(n * step.traffic(nodes, share) for n, share in zip(passes, shares, strict=True)) / sum(passes)
    words = ", ".join(f"{share:.0%} in {n:g}" for n, share in zip(passes, shares, strict=True))
    return [*lines, f"a run with {words} passes sends {1 - mean / whole:.0%} less than one that freezes nothing"]


def main() -> None:
    """Compute, print, and write the result if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measured", type=Path, default=RESULTS / "ranks.json")
    add_output(parser)
    arguments = parser.parse_args()
    result = json.loads(arguments.measured.read_text())
    measured, e = result["figures"], efficiency(result["figures"])
    parts = [
        f"ImageNet, batches of {BATCH} in {MICRO_BATCHES} micro-batches; machines of {CORES} cores, one process each, "
        f"a core {e:.2f}\nof one alone; {1e6 * DELAY:.0f} us a message, ${PRICE} a core-hour (all assumed but for "
        f"what was measured on\n{result['about']['cpu']}, {result['about']['date']})"
    ]
    figures: dict[str, Any] = {}
    for model, title in MODELS.items():
        net = build(model, (3, 224, 224), 1000, 0)
        quantized = sum(p.data.size for p in net.quantizable().values())
        others = sum(p.data.size for _, p in net.named_parameters()) - quantized
        found = measured[f"{model}-224"]
        channels = sum(len(m.running_mean) for _, m in net.named_modules() if isinstance(m, BatchNorm2d))
        step = Step(found["picture"], found["besides"], quantized, others, channels, e)
        parts += [
            f"\n{title}: {(quantized + others) / 1e6:.2f} million parameters, {found['picture']:.3f} s a picture "
            f"and core, {found['besides']:.3f} s a step besides",
            *table(step),
            *saved(step, *stages(str(RESULTS / STAGES)), nodes=16),
        ]
        figures[model] = {
            f"{nodes} machines, {gigabits} Gbit/s": [step.compute(nodes), step.exchange(nodes, gigabits)]
            for nodes in NODES
            for gigabits in GIGABITS
        }
    print("\n".join(parts))
    write_result(arguments.output, "\n".join(parts), figures)
