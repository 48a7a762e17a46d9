"""Time the training step of ResNet-20 (batch 128, float32: forward, backward, SGD) of elq_ref beside PyTorch.

    python benchmarks/train_step.py [--threads 1 2] [--rounds 20] [-o benchmarks/results/train_step.txt]

Each peer is a process of its own; they start from the same weights, see the same batch, and take turns of a
few steps, so that what the machine does meanwhile hits both. Printed: the median of a step with its quartiles
over the rounds, images a second, the median of the paired ratios with its quartiles, and the loss of both
after the same number of steps. PyTorch is eager, channels_last; without PyTorch elq_ref is timed alone.
Run it on an idle machine: the load average is printed too.
"""

import argparse
import datetime
import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

BATCH, WARM_UP, LR, MOMENTUM, WEIGHT_DECAY = 128, 3, 0.01, 0.9, 1e-4


def batch() -> tuple[np.ndarray, np.ndarray]:
    """Pictures (channels-last in memory, the best layout of both peers) and labels."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((BATCH, 32, 32, 3), dtype=np.float32).transpose(0, 3, 1, 2)
    return x, rng.integers(0, 10, BATCH)


def elq_step() -> Callable[[], float]:
    """One training step of elq_ref, returning its loss."""
    from elq_ref import SGD, Tensor, ops
    from elq_ref.models import build

    net = build("resnet20", (3, 32, 32), 10).train()
    x, labels = batch()
    images = Tensor(x)
    sgd = SGD(LR, MOMENTUM, WEIGHT_DECAY)
    parameters = [p for _, p in net.named_parameters()]
    velocity = [np.zeros_like(p.data) for p in parameters]

    def step() -> float:
        net.zero_grad()
        loss = ops.softmax_cross_entropy(net(images), labels)
        loss.backward()
        for i, p in enumerate(parameters):
            p.data, velocity[i] = sgd.update(p.data, p.grad, velocity[i], LR)
        return loss.item()

    return step


def torch_step(threads: int) -> Callable[[], float]:
    """The same step in PyTorch, from the same weights."""
    import torch
    from torch.nn import functional as F

    from elq_ref.models import build

    torch.set_num_threads(threads)

    class Block(torch.nn.Module):
        def __init__(self, channels: int, outputs: int, stride: int) -> None:
            super().__init__()
            self.conv1 = torch.nn.Conv2d(channels, outputs, 3, stride, 1, bias=False)
            self.bn1 = torch.nn.BatchNorm2d(outputs)
            self.conv2 = torch.nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.bn2 = torch.nn.BatchNorm2d(outputs)
            self.stride, self.added = stride, outputs - channels

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = F.relu(self.bn1(self.conv1(x)), inplace=True)
            if self.added:
                x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.added // 2, self.added - self.added // 2))
            return F.relu(self.bn2(self.conv2(y)) + x, inplace=True)

    class ResNet20(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = torch.nn.Conv2d(3, 16, 3, 1, 1, bias=False)
            self.bn1 = torch.nn.BatchNorm2d(16)
            self.layer1 = torch.nn.Sequential(Block(16, 16, 1), Block(16, 16, 1), Block(16, 16, 1))
            self.layer2 = torch.nn.Sequential(Block(16, 32, 2), Block(32, 32, 1), Block(32, 32, 1))
            self.layer3 = torch.nn.Sequential(Block(32, 64, 2), Block(64, 64, 1), Block(64, 64, 1))
            self.linear = torch.nn.Linear(64, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = F.relu(self.bn1(self.conv1(x)), inplace=True)
            return self.linear(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))

    net = ResNet20()
    state = build("resnet20", (3, 32, 32), 10).state_dict()
    # Not strict: PyTorch also counts batches.
    net.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()}, strict=False)
    net = net.to(memory_format=torch.channels_last).train()
    x, labels = (torch.from_numpy(a) for a in batch())
    optimizer = torch.optim.SGD(net.parameters(), LR, MOMENTUM, weight_decay=WEIGHT_DECAY)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(net(x), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def work(peer: str, threads: int) -> None:
    """A peer's process: reads lines with a number of steps, answers each with seconds a step and the loss."""
    step = elq_step() if peer == "elq_ref" else torch_step(threads)
    for line in sys.stdin:
        start = time.perf_counter()
        for _ in range(int(line)):
            loss = step()
        print(json.dumps({"seconds": (time.perf_counter() - start) / int(line), "loss": loss}), flush=True)


class Peer:
    """A peer's process, seen from outside."""

    def __init__(self, name: str, threads: int) -> None:
        pools = ("ELQ_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        env = os.environ | {pool: str(threads) for pool in pools}
        command = [sys.executable, __file__, "--peer", name, "--threads", str(threads)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=env)
        self.seconds: list[float] = []
        self.loss = self.turn(WARM_UP)["loss"]

    def turn(self, steps: int) -> dict[str, float]:
        assert self.process.stdin
        assert self.process.stdout
        print(steps, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit("a peer's process ended early; its error is above")
        return json.loads(answer)

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def quartiles(values: list[float]) -> tuple[float, float, float]:
    low, middle, high = np.percentile(values, (25, 50, 75))
    return middle, low, high


def compare(threads: int, rounds: int, steps: int, names: list[str]) -> str:
    """The lines of one number of threads."""
    peers = {name: Peer(name, threads) for name in names}
    for k in range(rounds):
        for name in names if k % 2 else reversed(names):
            peers[name].seconds.append(peers[name].turn(steps)["seconds"])
    lines = []
    for name, peer in peers.items():
        middle, low, high = (1e3 * v for v in quartiles(peer.seconds))
        lines.append(
            f"{threads:7d}  {name:<27} {middle:6.1f} ({low:6.1f} .. {high:6.1f})"
            f"  {BATCH / middle * 1e3:8.1f}  {peer.loss:.5f}"
        )
        peer.close()
    if len(names) > 1:
        ours, theirs = (peers[name].seconds for name in names)
        middle, low, high = quartiles([b / a for a, b in zip(ours, theirs, strict=True)])
        lines.append(f"{threads:7d}  images/s, elq_ref / PyTorch   {middle:.2f} ({low:.2f} .. {high:.2f})")
    return "\n".join(lines)


def cpu_name() -> str:
    """The CPU as the operating system calls it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def main() -> None:
    """Parse, run, print, and write the table if asked to."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=3, help="steps of a turn")
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        work(arguments.peer, arguments.threads[0])
        return

    from elq_ref.kernels import info

    has_torch = importlib.util.find_spec("torch") is not None
    names = ["elq_ref", "PyTorch eager channels_last"][: 1 + has_torch]
    kernel = info()["kernel"]
    versions = [f"Python {platform.python_version()}", f"NumPy {np.__version__}", f"kernels {kernel}"]
    if has_torch:
        from importlib.metadata import version

        versions.insert(0, f"PyTorch {version('torch')}")
    load = f", load average {os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else ""
    head = [
        f"ResNet-20 training step, batch {BATCH}, float32, {datetime.date.today()}",
        f"{cpu_name()}; {', '.join(versions)}; {arguments.rounds} turns of {arguments.steps} steps{load}",
        "" if has_torch else "PyTorch is not installed: elq_ref alone",
        f"threads  {'peer':<27} ms a step (quartiles)       images/s  loss after {WARM_UP} steps",
    ]
    text = "\n".join([line for line in head if line])
    print(text, flush=True)
    for threads in arguments.threads:
        part = compare(threads, arguments.rounds, arguments.steps, names)
        print(part, flush=True)
        text += "\n" + part
    if arguments.output:
        arguments.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
