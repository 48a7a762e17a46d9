"""Time the training step (float32: forward, backward, SGD) of networks of elq_ref beside PyTorch.

    python -m benchmarks.speed train_step [--networks resnet20 lenet5 vgg_small] [--threads 1 2] [-o FILE]
    python -m benchmarks.speed train_step --networks alexnet vgg16 googlenet resnet18 resnet50 [--size 224] [-o FILE]

Each peer is a process of its own; they start from the same weights, see the same batch, and take turns of some steps,
so that what the machine does meanwhile hits all. Printed: the median of a step with its quartiles over the rounds,
images a second, the median of the paired ratios with its quartiles, and the losses of the first and the third step.
PyTorch is channels_last, eager and through torch.compile (its first steps, which compile, are not timed); the
verdict is against the better of the two. What is not compiled in ten minutes is given up, with a line. Without PyTorch
elq_ref is timed alone. Run it on an idle machine: the load average is printed too.

The networks for ImageNet are torchvision's, GoogLeNet with its auxiliary heads on both sides. Dropout is on in what is
timed, and off in the steps before that whose losses are printed, since each peer draws its own. The first losses are
alike to float32's precision; later ones part where a deep network of random weights makes much of a last bit.
"""

import argparse
import json
import sys
import time
from typing import Any

from ..result_text import add_output, write_result
from .networks import SMALL, Network, add_networks, sized
from .peers import Peer, PeerFailed, heading, quartiles
from .steps import COMPILED, LIMITS, OURS, PEERS, make_step

WARM_UP = 3
TURNS = {  # (rounds, steps of a turn)
    "resnet20": (12, 2), "lenet5": (15, 10), "vgg_small": (7, 1),
    "alexnet": (9, 2), "vgg16": (7, 1), "googlenet": (7, 1), "resnet18": (7, 1), "resnet50": (7, 1),
}  # fmt: skip


def work(peer: str, name: str, network: Network, threads: int) -> None:
    """A peer's process: makes its first steps, and answers lines with a number of steps with seconds a step and the
    losses of the first ones."""
    try:
        step = make_step(peer, name, network, threads)
        step.drop(False)
        losses = [step.run() for _ in range(WARM_UP)]
        step.drop(True)
        step.run()  # another function, which is compiled too
        for line in sys.stdin:
            start = time.perf_counter()
            for _ in range(int(line)):
                step.run()
            print(json.dumps({"seconds": (time.perf_counter() - start) / int(line), "losses": losses}), flush=True)
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}".splitlines()[0]}), flush=True)


def start(network: str, size: int, threads: int) -> tuple[dict[str, Peer], dict[str, list[float]], list[str]]:
    """(processes after their first steps, their losses, a line for what does not work here)."""
    peers, losses, failed = {}, {}, []
    for name in PEERS:
        words = ["--peer", name, "--networks", network, "--size", str(size), "--threads", str(threads)]
        peer = Peer(["train_step", *words], threads)
        try:
            losses[name] = peer.ask(1, LIMITS[name])["losses"]
        except PeerFailed as error:
            if name != COMPILED:
                raise SystemExit(f"{name} failed: {error}") from None
            failed.append(f"{threads:7d}  {name}: failed ({error})")
            peer.close()
        else:
            peers[name] = peer
    return peers, losses, failed


def compare(network: str, size: int, threads: int, rounds: int) -> tuple[str, dict[str, Any]]:
    """The lines and the figures of one network and number of threads."""
    peers, losses, lines = start(network, size, threads)
    batch, steps = sized(network, size).batch, TURNS[network][1]
    figures: dict[str, Any] = {"network": network, "threads": threads, "batch": batch}
    seconds: dict[str, list[float]] = {name: [] for name in peers}
    for turn in range(rounds):
        names = list(peers)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            seconds[name].append(peers[name].ask(steps)["seconds"])
    for name, peer in peers.items():
        peer.close()
        middle, low, high = quartiles(seconds[name])
        figures[name] = {"seconds": (middle, low, high), "losses": losses[name]}
        lines.append(
            f"{threads:7d}  {name:<30} {1e3 * middle:7.1f} ({1e3 * low:7.1f} .. {1e3 * high:7.1f})"
            f"  {batch / middle:8.1f}  {losses[name][0]:.5f} {losses[name][-1]:.5f}"
        )
    others = {
        name: quartiles([b / a for a, b in zip(seconds[OURS], seconds[name], strict=True)])
        for name in peers
        if name != OURS
    }
    for name, ratio in others.items():
        figures[name]["ratio"] = ratio
    lines += [f"{threads:7d}  images/s, elq_ref / {n}: {m:.2f} ({a:.2f} .. {b:.2f})" for n, (m, a, b) in others.items()]
    if others:
        worst = min(middle for middle, _, _ in others.values())
        lines.append(f"{threads:7d}  images/s, elq_ref / the better of PyTorch: {worst:.2f}")
    return "\n".join(lines), figures


def main() -> None:
    """Parse, run, print, and write the table if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_networks(parser, "--networks", list(SMALL))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, help="turns of each peer (default: 7 to 15, by the network)")
    add_output(parser)
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        name = arguments.networks[0]
        work(arguments.peer, name, sized(name, arguments.size), arguments.threads[0])
        return

    parts = [f"Training step, float32: forward, backward, SGD. {heading()}"]
    print(parts[0], flush=True)
    figures = []
    for name in arguments.networks:
        title, picture, _, batch = sized(name, arguments.size)
        rounds, steps = TURNS[name]
        rounds = arguments.rounds or rounds
        part = (
            f"\n{title}, {'x'.join(map(str, picture))}, batch {batch}, {rounds} turns of {steps} step(s)\n"
            f"threads  {'peer':<30} ms a step (quartiles)          images/s  losses of steps 1, {WARM_UP}"
        )
        print(part, flush=True)
        parts.append(part)
        for threads in arguments.threads:
            text, found = compare(name, arguments.size, threads, rounds)
            parts.append(text)
            figures.append(found)
            print(text, flush=True)
    write_result(arguments.output, "\n".join(parts), figures)
