"""A step of a large batch by micro-batches, beside PyTorch's accumulation of gradients: memory, time, and the update.

    python -m benchmarks.speed accumulation [--network resnet50] [--size 224] [--batch 256] [--micro-batch 16] [-o FILE]

Each peer is a process of its own. Both start from the same weights and make one step of SGD on the same pictures
(noise), float32, one thread: every micro-batch is normalized by its own statistics, its loss counts by its share of the
pictures. Printed: the largest resident set of the whole process, what a second step takes, and how far the first
update of each parameter and running statistic lies from PyTorch's, relative to its length (the largest of all, and the
median). PyTorch with pictures in the usual order of axes computes the same in another order of sums: how far it is from
PyTorch with channels last says what float32 makes of this step.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from elq_ref import checkpoint
from elq_ref.datasets import Batches
from elq_ref.machine import peak_memory
from elq_ref.models import build

from ..result_text import add_output, write_result
from .networks import IMAGENET, Network, sized
from .peers import Peer, heading
from .steps import EAGER, LR, MOMENTUM, OURS, PEERS

CONTIGUOUS = "PyTorch eager contiguous"


class Asked(NamedTuple):
    """What the options ask for."""

    name: str
    network: Network
    batch: int
    micro_batch: int


def batches_of(asked: Asked) -> Batches:
    """Two batches of noise and its labels, cut into micro-batches."""
    import elq_ref as elq

    shape, count = asked.network.picture, 2 * asked.batch
    images = np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8)
    norm = elq.datasets.Normalization((0.5,) * 3, (0.25,) * 3)
    classes = tuple(map(str, range(asked.network.classes)))
    data = elq.datasets.Dataset(images, np.arange(count) % len(classes), classes, norm, "noise")
    return elq.Batches(data, asked.batch, micro_batch=asked.micro_batch)


def ours(asked: Asked, out: Path) -> dict[str, float]:
    """The second step's seconds; what the first left in `out`."""
    import elq_ref as elq
    from elq_ref.training.sgd import SGD, Schedule

    net = build(asked.name, asked.network.picture, asked.network.classes, 0)
    run = elq.fit(net, batches_of(asked), 1, SGD(LR, MOMENTUM, schedule=Schedule("constant")))
    next(run)
    checkpoint.write(out, net.state_dict(), {})
    start = time.perf_counter()
    next(run)
    return {"seconds": time.perf_counter() - start}


def torchs(asked: Asked, out: Path, peer: str = EAGER) -> dict[str, float]:
    """The same in PyTorch, eager, by default with channels last."""
    import torch

    from .torch_models import made, training_loss

    torch.set_num_threads(1)
    axes = torch.contiguous_format if peer == CONTIGUOUS else torch.channels_last
    net = made(asked.name, asked.network.classes)
    state = build(asked.name, asked.network.picture, asked.network.classes, 0).state_dict()
    net.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()}, strict=False)
    net = net.to(memory_format=axes).train()
    optimizer = torch.optim.SGD(net.parameters(), LR, MOMENTUM, fused=True)
    for number, (x, labels) in enumerate(batches_of(asked).epoch(0)):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        for first in range(0, len(x), asked.micro_batch):
            part = slice(first, first + asked.micro_batch)
            some = torch.from_numpy(x[part]).to(memory_format=axes)
            loss = training_loss(net(some), torch.from_numpy(labels[part]))
            (loss * (len(some) / len(x))).backward()
        optimizer.step()
        if number == 0:
            made_of = {k: v.contiguous().numpy() for k, v in net.state_dict().items() if v.is_floating_point()}
            checkpoint.write(out, made_of, {})
    return {"seconds": time.perf_counter() - start}


def apart(asked: Asked, mine: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> tuple[float, str, float]:
    """||mine - theirs|| / ||theirs - start||: the largest over all tensors, whose it is, and the median."""
    start = build(asked.name, asked.network.picture, asked.network.classes, 0).state_dict()
    found = []
    for name, wanted in theirs.items():
        moved = np.linalg.norm((wanted - start[name]).astype(np.float64))
        found.append((float(np.linalg.norm((mine[name] - wanted).astype(np.float64)) / max(moved, 1e-30)), name))
    return *max(found), float(np.median([share for share, _ in found]))


def main() -> None:
    """Parse, run, print, and write the table if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=IMAGENET, default="resnet50")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--micro-batch", type=int, default=16)
    add_output(parser)
    parser.add_argument("--peer", choices=(OURS, EAGER, CONTIGUOUS), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    asked = Asked(given.network, sized(given.network, given.size), given.batch, given.micro_batch)
    if given.peer:
        done = ours(asked, given.out) if given.peer == OURS else torchs(asked, given.out, given.peer)
        print(json.dumps({**done, "peak": peak_memory()}), flush=True)
        return
    title = f"{asked.network.title}, a step of {asked.batch} pictures by micro-batches of {asked.micro_batch}"
    lines = [f"{title}, {given.size}x{given.size}, float32, 1 thread. {heading()}"]
    print(lines[0], flush=True)
    figures: dict[str, Any] = {}
    files = {}
    with tempfile.TemporaryDirectory() as folder:
        for peer in [*PEERS[:2], CONTIGUOUS] if EAGER in PEERS else PEERS:
            out = Path(folder, f"{len(files)}.safetensors")
            words = ["--peer", peer, "--out", str(out), "--network", given.network, "--size", str(given.size)]
            words += ["--batch", str(given.batch), "--micro-batch", str(given.micro_batch)]
            process = Peer(["accumulation", *words], 1)
            figures[peer] = process.ask("")
            process.close()
            files[peer] = checkpoint.read(out)
            seconds, peak = figures[peer]["seconds"], figures[peer]["peak"]
            lines.append(f"  {peer:<30} {seconds:7.1f} s a step   {peak / 1e9:5.2f} GB, the whole process at its peak")
            print(lines[-1], flush=True)
    for peer in (OURS, CONTIGUOUS) if EAGER in files else ():
        share, name, median = apart(asked, files[peer].tensors, files[EAGER].tensors)
        figures[peer] |= {"furthest": share, "tensor": name, "median": median}
        lines.append(f"  {peer}: updates lie {median:.1e} of their lengths from those of {EAGER}")
        lines[-1] += f" (median), {share:.1e} at most, {name}"
        print(lines[-1], flush=True)
    write_result(given.output, "\n".join(lines), figures)
