"""What feeding a training step from picture files costs over feeding it from memory.

    python -m benchmarks.speed feeding [--data FOLDER] [--threads 1 2] [--rounds 8] [--steps 5]
                                       [-o benchmarks/results/feeding.txt]

ResNet-18 at 112, float32, random resized crops and mirroring of photographs (default: imagenette-128 in ELQ_DATA). A
number of threads is a process of its own, with as many threads that read pictures. In a round each way of feeding makes
some steps, all from the same pictures in the same order: from an array of pictures that have their size, which are only
mirrored; from files that are decoded every time; from files whose decoded pictures are kept. A way begins its turn with
nothing read ahead, and its time and the processor's contain the first reading. Medians of the rounds' ratios, with
quartiles. Then the processor's time of each part of reading a picture, alone in one thread.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from elq_ref import SGD, Batches, Tensor, datasets, ops, pictures
from elq_ref.datasets import Augment, Cache, Dataset, PictureFiles, RandomResizedCrop, Reading
from elq_ref.models import resnet18

from ..result_text import add_output, write_result
from .peers import Peer, heading, quartiles

MEMORY, DECODED, KEPT = "memory", "files, decoded every time", "files, decoded once and kept"
SHAPE = (3, 112, 112)
PART = 256  # pictures that the parts of reading are timed on


def make_step() -> Callable[[np.ndarray, np.ndarray], None]:
    """A training step on a batch."""
    net, sgd = resnet18(SHAPE, 10).train(), SGD(0.01)
    parameters = [p for _, p in net.named_parameters()]
    velocity = [np.zeros_like(p.data) for p in parameters]

    def step(x: np.ndarray, labels: np.ndarray) -> None:
        net.zero_grad()
        ops.softmax_cross_entropy(net(Tensor(x)), labels).backward()
        for i, p in enumerate(parameters):
            p.data, velocity[i] = sgd.update(p.data, p.grad, velocity[i], 0.01)

    return step


def ways(folder: Path, batch: int, count: int, threads: int) -> dict[str, Batches]:
    """The batches of each way: `count` of the pictures of folder/train."""
    names = pictures.class_folders(folder / "train")
    found = pictures.find_pictures(folder / "train", names)
    chosen = [found[k * len(found) // count] for k in range(count)]
    files = [str(path.relative_to(folder / "train")) for path, _ in chosen]
    labels = np.array([label for _, label in chosen], np.int64)
    norm = datasets.Normalization((0.5,) * 3, (0.25,) * 3)

    def feeding(cache: int) -> Batches:
        images = PictureFiles(folder / "train", files, SHAPE, "crop", Reading(workers=threads, cache=Cache(cache)))
        return Batches(Dataset(images, labels, tuple(names), norm, "photographs"), batch, augment=RandomResizedCrop())

    kept, decoded = feeding(1 << 40), feeding(0)
    array = Dataset(decoded.dataset.images[:], labels, tuple(names), norm, "photographs")
    for _ in kept.epoch(0):  # now they are kept
        pass
    return {MEMORY: Batches(array, batch, augment=Augment(0, True)), DECODED: decoded, KEPT: kept}


def work(folder: Path, batch: int, steps: int, threads: int) -> None:
    """The process of one number of threads: for every line one round, {way: [seconds, processor seconds]}."""
    feeds, step = ways(folder, batch, batch * steps, threads), make_step()
    step(*next(feeds[MEMORY].epoch(0)))
    for line in sys.stdin:
        turn = {}
        order = list(feeds)[int(line) % 3 :] + list(feeds)[: int(line) % 3]
        for way in order:
            begin, used = time.perf_counter(), time.process_time()
            for x, labels in feeds[way].epoch(int(line)):
                step(x, labels)
            turn[way] = time.perf_counter() - begin, time.process_time() - used
        print(json.dumps(turn), flush=True)


def compare(words: list[str], threads: int, rounds: int, batch: int, steps: int) -> tuple[str, dict[str, Any]]:
    """The lines and the figures of one number of threads."""
    peer = Peer(["feeding", "--work", *words, "--threads", str(threads)], threads)
    turns = [peer.ask(k) for k in range(rounds)]
    peer.close()
    middle, low, high = (1e3 * v / steps for v in quartiles([turn[MEMORY][0] for turn in turns]))
    figures: dict[str, Any] = {"threads": threads, "step_seconds": [v / 1e3 for v in (middle, low, high)], "ratios": {}}
    lines = [f"{threads} thread(s): a step of {batch} from memory takes {middle:.0f} ms ({low:.0f} .. {high:.0f})"]
    for way in (DECODED, KEPT):
        wall, used = ([turn[way][k] / turn[MEMORY][k] for turn in turns] for k in (0, 1))
        words_ = [f"{what} {m:.3f} ({a:.3f} .. {b:.3f})" for what, (m, a, b) in
                  (("time", quartiles(wall)), ("processor", quartiles(used)))]  # fmt: skip
        lines.append(f"  {way}, over memory: {', '.join(words_)}")
        figures["ratios"][way] = {"time": quartiles(wall), "processor": quartiles(used)}
    return "\n".join(lines), figures


def parts(folder: Path) -> Iterator[tuple[str, float]]:
    """(what, processor seconds a picture) of reading, in one thread."""
    found = pictures.find_pictures(folder / "train", pictures.class_folders(folder / "train"))
    paths = [str(found[k * len(found) // PART][0]) for k in range(PART)]
    images = PictureFiles("", paths, SHAPE, "crop", Reading(cache=Cache(1 << 40)))
    labels = np.zeros(PART, np.int64)
    whole = Dataset(images, labels, ("one",), datasets.Normalization((0.5,) * 3, (0.25,) * 3), "photographs")
    batches = Batches(whole, PART, augment=RandomResizedCrop())

    def timed(run: Callable[[], object]) -> float:
        begin = time.process_time()
        run()
        return (time.process_time() - begin) / PART

    yield "the header alone", timed(lambda: [pictures.check_picture(path) for path in paths])
    yield "decoding, into an array", timed(lambda: [images.original(k) for k in range(PART)])
    samples = np.arange(PART)
    cropped = batches._cropping(images, RandomResizedCrop(), 0, samples)
    yield "crop, scaling and mirroring of what is kept", timed(lambda: [cropped(k) for k in range(PART)])
    x = np.stack([cropped(k) for k in range(PART)])
    yield "normalization, as from memory", timed(lambda: whole.normalization.apply(x))


def main() -> None:
    """Parse, run, print, and write the lines if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="image folder with train/ (default: imagenette-128 in ELQ_DATA)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=5, help="in each way's turn")
    add_output(parser)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    data = arguments.data or Path(os.environ.get("ELQ_DATA", "."), "imagenette-128")
    if arguments.work:
        work(data, arguments.batch, arguments.steps, arguments.threads[0])
        return
    text = [f"ResNet-18 at 112, batch {arguments.batch}, fed from files and from memory. {heading()}"]
    print(text[0], flush=True)
    figures: dict[str, Any] = {"rounds": [], "parts": {}}
    words = ["--data", str(data), "--batch", str(arguments.batch), "--steps", str(arguments.steps)]
    for threads in arguments.threads:
        lines, found = compare(words, threads, arguments.rounds, arguments.batch, arguments.steps)
        text.append(lines)
        figures["rounds"].append(found)
        print(lines, flush=True)
    text.append("Processor's time of a picture, one thread:")
    for what, seconds in parts(data):
        text.append(f"  {1e3 * seconds:.3f} ms  {what}")
        figures["parts"][what] = seconds
    print("\n".join(text[-5:]), flush=True)
    write_result(arguments.output, "\n".join(text), figures)
