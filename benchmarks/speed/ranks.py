"""Time ELQ's step in two processes of one thread beside one process of one thread and of two.

    python -m benchmarks.speed ranks [--tasks resnet18-112 resnet18-224 vgg16-224] [--data FOLDER] [--rounds 7]
                                     [-o benchmarks/results/ranks.txt]

A step is the pass at W_hat of the default plan before its first freeze, forward and backward, by micro-batches, the
exchange of gradients, and SGD. ResNet-18 at 112 is trained on photographs (default: imagenette-128 in ELQ_DATA), read
before anything is timed; the three ways take turns of some steps on the same batches and must come to the same loss.
A process that waits for its turn sleeps. Printed: the median of a step with its quartiles, images a second, and the
paired ratios with their quartiles.

ResNet-18 and VGG-16 at 224 are timed in one process of one thread on noise, with two micro-batches and with four, in
turn: (t_4 - t_2) / 2 is the time of a micro-batch and 2 t_2 - t_4 what a step takes besides, on every machine the same
(`network_model` counts with the medians of both). Run it on an idle machine of two cores: the load average is printed.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import elq_ref as elq
from elq_ref.datasets import Augment, Cache, Dataset, Normalization, PictureFiles, Reading
from elq_ref.models import build
from elq_ref.parallel import World

from ..result_text import add_output, write_result
from .peers import Peer, heading, quartiles


class Task(NamedTuple):
    """A network, its pictures, the size of a micro-batch, and how many are in the batches that are timed."""

    title: str
    model: str
    side: int
    micro_batch: int
    counts: tuple[int, ...]
    steps: int  # of a turn


TASKS = {
    "resnet18-112": Task("ResNet-18 at 112, photographs", "resnet18", 112, 16, (4,), 2),
    "resnet18-224": Task("ResNet-18 at 224, noise", "resnet18", 224, 8, (2, 4), 1),
    "vgg16-224": Task("VGG-16 at 224, noise", "vgg16", 224, 4, (2, 4), 1),
}
WAYS = {"1 process x 1 thread": (1, 1), "2 processes x 1 thread": (2, 1), "1 process x 2 threads": (1, 2)}
BATCHES = 4  # an epoch, of the pictures that are read
MPI = {  # of Open MPI: it may be root who measures
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
}


def pictures(task: Task, count: int, folder: Path) -> Dataset:
    """`count` pictures, in memory: of the folder, evenly from all its classes, or noise."""
    norm, shape = Normalization((0.5,) * 3, (0.25,) * 3), (3, task.side, task.side)
    if task.side == 224:
        images = np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8)
        return Dataset(images, np.arange(count) % 1000, tuple(map(str, range(1000))), norm, "noise")
    names = elq.pictures.class_folders(folder / "train")
    found = elq.pictures.find_pictures(folder / "train", names)
    chosen = [found[k * len(found) // count] for k in range(count)]
    files = [str(path.relative_to(folder / "train")) for path, _ in chosen]
    images = PictureFiles(folder / "train", files, shape, "crop", Reading(workers=1, cache=Cache(0)))[:]
    return Dataset(images, np.array([label for _, label in chosen]), tuple(names), norm, "photographs")


def turns(world: World) -> Iterator[int]:
    """The numbers of steps that are asked for on the first process's standard input; the others are told. 0 is the
    end: that of its own standard input mpirun does not pass on."""
    asked = iter(map(int, sys.stdin)) if world.rank == 0 else heard()
    for count in asked:
        if world.rank == 0:
            tell(world, count)
        if not count:
            return
        yield count


def tell(world: World, count: int) -> None:
    """Say it to the processes that `heard`."""
    if world.size > 1:
        from mpi4py import MPI

        for other in range(1, world.size):
            MPI.COMM_WORLD.send(count, other)


def heard() -> Iterator[int]:
    """What the first process tells; waiting in MPI would take a core from whose turn it is."""
    from mpi4py import MPI

    while True:
        while not MPI.COMM_WORLD.iprobe(0):
            time.sleep(0.002)
        yield MPI.COMM_WORLD.recv(source=0)


def work(task: Task, count: int, folder: Path) -> None:
    """A peer's process: reads lines with a number of steps; seconds a step, the loss, bytes sent a step."""
    world = elq.parallel.here()
    batch = count * task.micro_batch
    data = pictures(task, batch * BATCHES, folder)
    batches = elq.Batches(data, batch, augment=Augment(0, True), micro_batch=task.micro_batch, world=world)
    net = build(task.model, data.input_shape, len(data.classes), 0)
    plan = elq.Plan("ternary", sigma2=(0.0,), epochs=(1e6, 1))
    run = elq.quantize(net, batches, plan, elq.SGD(1e-3))
    for steps in turns(world):
        sent, start = world.sent, time.perf_counter()
        for _ in range(steps):
            loss = next(run).loss_hat
        seconds = (time.perf_counter() - start) / steps
        if world.rank == 0:
            answer = {"seconds": seconds, "loss": loss, "sent": (world.sent - sent) / steps}
            print(json.dumps(answer), flush=True)


def start(name: str, count: int, processes: int, threads: int, folder: Path) -> Peer:
    """The process or processes of one way, after a first step."""
    launcher = ["mpirun", "-n", str(processes)] if processes > 1 else []
    words = ["ranks", "--peer", "--tasks", name, "--count", str(count), "--data", str(folder)]
    peer = Peer(words, threads, launcher, **MPI)
    peer.ask(1)
    return peer


def end(peer: Peer) -> None:
    """Let the processes of one way end."""
    print(0, file=peer.process.stdin, flush=True)
    peer.close()


def compared(name: str, folder: Path, rounds: int) -> tuple[list[str], dict[str, Any]]:
    """The lines and the figures of the three ways, which take turns."""
    task = TASKS[name]
    (count,) = task.counts
    peers = {way: start(name, count, *how, folder) for way, how in WAYS.items()}
    seen: dict[str, list[dict[str, float]]] = {way: [] for way in peers}
    for turn in range(rounds):
        order = list(peers)[turn % len(peers) :] + list(peers)[: turn % len(peers)]
        for way in order:
            seen[way].append(peers[way].ask(task.steps))
    for peer in peers.values():
        end(peer)
    batch, lines, figures = count * task.micro_batch, [], {}
    for way, answers in seen.items():
        seconds = [answer["seconds"] for answer in answers]
        middle, low, high = quartiles(seconds)
        figures[way] = {"seconds": (middle, low, high), "loss": answers[-1]["loss"], "sent": answers[-1]["sent"]}
        lines.append(
            f"  {way:<24} {1e3 * middle:8.1f} ({1e3 * low:8.1f} .. {1e3 * high:8.1f})  {batch / middle:7.1f}"
            f"  {answers[-1]['sent'] / 1e6:7.1f}  {answers[-1]['loss']!r}"
        )
    assert len({figure["loss"] for figure in figures.values()}) == 1, "the ways part"
    two = [answer["seconds"] for answer in seen["2 processes x 1 thread"]]
    for way in ("1 process x 1 thread", "1 process x 2 threads"):
        ratios = [a["seconds"] / b for a, b in zip(seen[way], two, strict=True)]
        middle, low, high = figures["2 processes x 1 thread"][f"against {way}"] = quartiles(ratios)
        lines.append(f"  images/s, 2 processes / {way}: {middle:.2f} ({low:.2f} .. {high:.2f})")
    head = f"  {'':<24} {'ms a step (quartiles)':<31} images/s  MB sent  loss"
    return [f"{task.title}, {count} micro-batches of {task.micro_batch}", head, *lines], {"batch": batch, **figures}


def computed(name: str, folder: Path, rounds: int) -> tuple[list[str], dict[str, Any]]:
    """The line and the figures of one process of one thread with two micro-batches and with four, in turn."""
    task = TASKS[name]
    few, more = (start(name, count, 1, 1, folder) for count in task.counts)
    pairs = [(few.ask(task.steps)["seconds"], more.ask(task.steps)["seconds"]) for _ in range(rounds)]
    end(few), end(more)
    picture = quartiles([(b - a) / 2 / task.micro_batch for a, b in pairs])[0]
    besides = quartiles([2 * a - b for a, b in pairs])[0]
    figures = {"micro_batch": task.micro_batch, "seconds": pairs, "picture": picture, "besides": besides}
    line = f"{task.title}, one thread: {1e3 * picture:.1f} ms a picture, {1e3 * besides:.1f} ms a step besides"
    return [line], figures


def main() -> None:
    """Parse, run, print, and write the result if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("ELQ_DATA", "."), "imagenette-128"))
    parser.add_argument("--rounds", type=int, default=7)
    add_output(parser)
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        work(TASKS[arguments.tasks[0]], arguments.count, arguments.data)
        return
    parts, figures = [f"ELQ's step by micro-batches, float32. {heading()}"], {}
    print(parts[0], flush=True)
    for name in arguments.tasks:
        measure = compared if len(TASKS[name].counts) == 1 else computed
        lines, figures[name] = measure(name, arguments.data, arguments.rounds)
        parts.append("\n".join(["", *lines]))
        print(parts[-1], flush=True)
    write_result(arguments.output, "\n".join(parts), figures)
