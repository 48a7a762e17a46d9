"""Speed of 40 convolution layers, forward and both gradients, beside PyTorch's channels_last: float32.

    python -m benchmarks.speed conv_layers [--threads 1] [--rounds 9] [--isa avx2] [--cpu] [--only vgg] [-o FILE]

Each peer is a process of its own and they take turns: a rest, then a call and a timed call of each direction. A number
is the median of the paired ratios PyTorch's time / ours (above 1: ours is faster). Multiply-adds a second are those of
the direct algorithm, so Winograd's may exceed what the machine can multiply. Without PyTorch ours are timed alone.
--cpu counts processor seconds instead of the clock's: with one thread, the fairer figure on a busy machine.
"""

import argparse
import datetime
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..result_text import add_output, write_result
from .peers import Peer, PeerFailed

DIRECTIONS = ("forward", "dx", "dw")
REST = 0.03  # seconds before a turn: the threads of the other peer's pool spin on for a while after its last call


class Layer(NamedTuple):
    """A layer on n square pictures; padding keeps the size at stride 1."""

    name: str
    n: int
    c: int
    size: int
    o: int
    kernel: int
    stride: int = 1
    groups: int = 1

    @property
    def padding(self) -> int:
        return 2 if self.kernel == 11 else self.kernel // 2

    @property
    def rows(self) -> int:
        """Rows (and columns) of the output."""
        return (self.size + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def macs(self) -> int:
        """Multiply-adds of any direction by the direct algorithm."""
        return self.n * self.rows**2 * self.o * self.c // self.groups * self.kernel**2


LAYERS = [
    Layer("resnet20 first", 128, 3, 32, 16, 3),
    Layer("resnet20 1", 64, 16, 32, 16, 3),
    Layer("resnet20 2 down", 128, 16, 32, 32, 3, 2),
    Layer("resnet20 2", 64, 32, 16, 32, 3),
    Layer("resnet20 3 down", 128, 32, 16, 64, 3, 2),
    Layer("resnet20 3", 64, 64, 8, 64, 3),
    Layer("lenet 1", 256, 1, 28, 6, 5),
    Layer("lenet 2", 256, 6, 14, 16, 5),
    Layer("vgg first", 64, 3, 32, 128, 3),
    Layer("vgg 2", 4, 128, 32, 128, 3),
    Layer("vgg 3", 8, 128, 16, 256, 3),
    Layer("vgg 4", 4, 256, 16, 256, 3),
    Layer("vgg 5", 8, 256, 8, 512, 3),
    Layer("vgg 6", 4, 512, 8, 512, 3),
    Layer("resnet18 first", 2, 3, 224, 64, 7, 2),
    Layer("resnet18 1", 4, 64, 56, 64, 3),
    Layer("resnet18 2 down", 4, 64, 56, 128, 3, 2),
    Layer("resnet18 2 shortcut", 16, 64, 56, 128, 1, 2),
    Layer("resnet18 3 down", 8, 128, 28, 256, 3, 2),
    Layer("resnet18 3 shortcut", 16, 128, 28, 256, 1, 2),
    Layer("resnet50 narrow", 8, 256, 56, 64, 1),
    Layer("resnet50 widen", 16, 128, 28, 512, 1),
    Layer("resnet50 project", 8, 512, 28, 128, 1),
    Layer("square 1x1", 32, 256, 14, 256, 1),
    Layer("alexnet first", 4, 3, 224, 64, 11, 4),
    Layer("alexnet 2", 2, 64, 27, 192, 5),
    Layer("stride 4 patches", 8, 3, 224, 96, 7, 4),
    Layer("5x5 stride 2", 16, 32, 64, 64, 5, 2),
    Layer("7x7 middle", 4, 32, 28, 32, 7),
    Layer("11x11 wide", 2, 16, 64, 16, 11),
    Layer("mobilenet first", 8, 3, 224, 32, 3, 2),
    Layer("mobilenet widen", 4, 16, 112, 96, 1),
    Layer("depthwise 3x3", 4, 96, 112, 96, 3, 1, 96),
    Layer("depthwise 3x3 down", 8, 144, 56, 144, 3, 2, 144),
    Layer("depthwise 5x5", 32, 240, 14, 240, 5, 1, 240),
    Layer("depthwise 7x7", 4, 96, 56, 96, 7, 1, 96),
    Layer("resnext 32 groups", 8, 128, 28, 128, 3, 1, 32),
    Layer("8 groups", 8, 256, 14, 256, 3, 1, 8),
    Layer("shufflenet 1x1", 16, 240, 28, 240, 1, 1, 3),
    Layer("odd channels", 8, 50, 28, 70, 3),
]


def arrays(layer: Layer) -> list[np.ndarray]:
    """x, w and dy: random float32, N C H W over channels-last memory."""
    rng = np.random.default_rng(0)
    n, c, size, o, kernel, rows = layer.n, layer.c, layer.size, layer.o, layer.kernel, layer.rows
    shapes = (n, c, size, size), (o, c // layer.groups, kernel, kernel), (n, o, rows, rows)
    return [rng.standard_normal((n, h, w, c), dtype=np.float32).transpose(0, 3, 1, 2) for n, c, h, w in shapes]


def our_calls(layer: Layer) -> list[Callable[[], object]]:
    """The three directions in elq_ref."""
    from elq_ref import kernels

    x, w, dy = arrays(layer)
    geometry: tuple[Any, ...] = ((layer.stride,) * 2, (layer.padding,) * 2, (1, 1), layer.groups)
    return [
        lambda: kernels.conv2d(x, w, *geometry),
        lambda: kernels.conv2d_dx(dy, w, x.shape, *geometry),
        lambda: kernels.conv2d_dw(dy, x, w.shape, *geometry),
    ]


def torch_calls(layer: Layer) -> list[Callable[[], object]]:
    """The same in PyTorch."""
    import torch

    x, w, dy = (torch.from_numpy(a).contiguous(memory_format=torch.channels_last) for a in arrays(layer))
    stride, padding, groups = [layer.stride] * 2, [layer.padding] * 2, layer.groups

    def backward(*wanted: bool) -> object:
        return torch.ops.aten.convolution_backward(
            dy, x, w, None, stride, padding, [1, 1], False, [0, 0], groups, wanted
        )

    return [
        lambda: torch.conv2d(x, w, None, stride, padding, 1, groups),
        lambda: backward(True, False, False),
        lambda: backward(False, True, False),
    ]


def work(peer: str, threads: int, clock: Callable[[], float]) -> None:
    """A peer's process: reads lines with the number of a layer, answers with the seconds of each direction."""
    if peer == "PyTorch":
        import torch

        torch.set_num_threads(threads)
    calls, current = [], -1
    for line in sys.stdin:
        if int(line) != current:
            current = int(line)
            calls = (torch_calls if peer == "PyTorch" else our_calls)(LAYERS[current])
            for call in calls:
                call()
        seconds = []
        time.sleep(REST)
        for call in calls:
            call()
            start = clock()
            call()
            seconds.append(clock() - start)
        print(json.dumps(seconds), flush=True)


def heading(arguments: argparse.Namespace, has_torch: bool) -> str:
    """What ran where."""
    from importlib.metadata import version

    from elq_ref.kernels import info
    from elq_ref.machine import cpu_name

    peer = f"PyTorch {version('torch')} channels_last" if has_torch else "PyTorch is not installed"
    clock = "processor time" if arguments.cpu else "wall time"
    load = f", load average {os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else ""
    kernel = f"C {arguments.isa}" if arguments.isa else info()["kernel"]
    return (
        f"{cpu_name()}; kernels {kernel}; {peer}; {arguments.threads} thread(s), {arguments.rounds} turns, {clock}"
        f"{load}, {datetime.date.today()}\n"
        f"{'layer':<21}{'n':>4} {'c':>3} {'size':>4} {'o':>4}  k s   g  "
        + "".join(f"{d:>9} ms GMAC/s ratio" for d in DIRECTIONS)
    )


def main() -> None:
    """Print the table, the geometric mean and the worst."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--isa", choices=["generic", "avx2", "avx512", "neon"])
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--only", default="", help="layers whose name contains this")
    add_output(parser)
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        work(arguments.peer, arguments.threads, time.process_time if arguments.cpu else time.perf_counter)
        return

    has_torch = importlib.util.find_spec("torch") is not None
    lines = [heading(arguments, has_torch)]
    print(lines[0], flush=True)
    words = ["conv_layers", "--threads", str(arguments.threads), *(["--cpu"] if arguments.cpu else []), "--peer"]
    changes = {"ELQ_ISA": arguments.isa} if arguments.isa else {}
    peers = [Peer([*words, name], arguments.threads, **changes) for name in ("elq_ref", "PyTorch")[: 1 + has_torch]]
    ratios, figures = [], []
    for k, layer in enumerate(LAYERS):
        if arguments.only not in layer.name:
            continue
        try:
            turns = np.array([[peer.ask(k) for peer in peers] for _ in range(arguments.rounds)])
        except PeerFailed as error:
            raise SystemExit(f"conv_layers: {error}") from None
        # turns: round, peer, direction
        ours, paired = np.median(turns[:, 0], 0), np.median(turns[:, -1] / turns[:, 0], 0)
        ratios += [(ratio, f"{layer.name}, {d}") for ratio, d in zip(paired, DIRECTIONS, strict=True)]
        line = f"{layer.name:<21}{layer.n:4d} {layer.c:3d} {layer.size:4d} {layer.o:4d}"
        line += f" {layer.kernel:2d} {layer.stride} {layer.groups:3d}  "
        for seconds, ratio in zip(ours, paired, strict=True):
            line += f"{1e3 * seconds:12.2f} {layer.macs / seconds / 1e9:6.1f} {ratio:5.2f}"
        lines.append(line)
        print(line, flush=True)
        figure = layer._asdict() | {"seconds": dict(zip(DIRECTIONS, ours.tolist(), strict=True))}
        figures.append(figure | ({"ratio": dict(zip(DIRECTIONS, paired.tolist(), strict=True))} if has_torch else {}))
    if has_torch:
        mean = np.exp(np.mean(np.log([ratio for ratio, _ in ratios])))
        lines.append(f"ratio PyTorch's time / ours: geometric mean {mean:.2f}; the worst:")
        lines += [f"  {ratio:.2f}  {name}" for ratio, name in sorted(ratios)[:10]]
        print("\n".join(lines[-11:]))
    write_result(arguments.output, "\n".join(lines), figures)
