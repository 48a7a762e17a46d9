"""Peak memory of a training step of networks of elq_ref beside PyTorch (Linux).

    python -m benchmarks.speed step_memory [--networks resnet20 lenet5 vgg_small] [--threads 1] [-o FILE]
    python -m benchmarks.speed step_memory --networks alexnet vgg16 googlenet resnet18 resnet50 [--size 224] [-o FILE]

In a process of its own every peer builds model and batch (steps.py), makes three steps, and then three that
are watched. Printed: the largest resident set during those minus the one before the first step, in MB, the median over
the rounds with the extremes. That is activations, gradients, velocity, the buffers of kernels, and the pages of the
libraries that the steps touch, for all peers; what torch.compile needs to compile does not count unless it stays.
PyTorch is channels_last, eager and through torch.compile, which is given up after ten minutes; the verdict is against
the smaller of the two.
"""

import argparse
import ctypes
import json
from pathlib import Path
from statistics import median

from elq_ref.machine import peak_memory

from ..result_text import add_output, write_result
from .networks import SMALL, Network, add_networks, sized
from .peers import Peer, PeerFailed, heading
from .steps import LIMITS, OURS, PEERS, make_step

STEPS = 3
CLEAR = Path("/proc/self/clear_refs")


def forget_peak() -> None:
    """Let the peak begin again at what is resident now."""
    CLEAR.write_text("5")


def give_back() -> None:
    """Return to the system what building model and batch has freed: glibc keeps it, and steps would use it
    uncounted."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)


def work(peer: str, name: str, network: Network, threads: int) -> None:
    """A peer's process: the peak of its later steps above what it had before the first one, in MB."""
    try:
        step = make_step(peer, name, network, threads)
        give_back()
        forget_peak()
        ground = peak_memory()
        for _ in range(STEPS):
            step.run()
        forget_peak()
        for _ in range(STEPS):
            step.run()
        print(json.dumps({"peak": (peak_memory() - ground) / 1e6}), flush=True)
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}".splitlines()[0]}), flush=True)


def measure(peer: str, network: str, size: int, threads: int) -> float:
    """The peak that one process of `peer` answers."""
    words = ["--peer", peer, "--networks", network, "--size", str(size), "--threads", str(threads)]
    process = Peer(["step_memory", *words], threads)
    peak = process.ask("", LIMITS[peer])["peak"]
    process.close()
    return peak


def compare(network: str, size: int, threads: int, rounds: int) -> tuple[str, dict[str, list[float]]]:
    """The lines of one network, and every peak in MB by peer."""
    title, picture, _, batch = sized(network, size)
    lines, found = [f"{title}, {'x'.join(map(str, picture))}, batch {batch}, {threads} thread(s)"], {}
    for name in PEERS:
        try:
            peaks = [measure(name, network, size, threads) for _ in range(rounds)]
        except PeerFailed as error:
            lines.append(f"  {name:<30} failed ({error})")
            continue
        found[name] = peaks
        lines.append(f"  {name:<30} {median(peaks):8.1f} ({min(peaks):.1f} .. {max(peaks):.1f})")
    others = [median(peaks) for name, peaks in found.items() if name != OURS]
    if others:
        lines.append(f"  elq_ref / the smaller of PyTorch: {median(found[OURS]) / min(others):.2f}")
    return "\n".join(lines), found


def main() -> None:
    """Parse, run, print, and write the table if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_networks(parser, "--networks", list(SMALL))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3, help="processes of each peer")
    add_output(parser)
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not CLEAR.exists():
        raise SystemExit("this benchmark reads /proc/self, which this system has not")
    if arguments.peer:
        name = arguments.networks[0]
        work(arguments.peer, name, sized(name, arguments.size), arguments.threads)
        return
    parts = [f"Peak memory of a training step above model and batch, MB, float32. {heading()}"]
    print(parts[0], flush=True)
    figures = {}
    for network in arguments.networks:
        text, figures[network] = compare(network, arguments.size, arguments.threads, arguments.rounds)
        parts.append(text)
        print(text, flush=True)
    write_result(arguments.output, "\n".join(parts), {"threads": arguments.threads, "peaks_mb": figures})
