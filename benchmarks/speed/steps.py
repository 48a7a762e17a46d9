"""One training step (float32: forward, backward, SGD) in elq_ref and in PyTorch, from the same weights and batch."""

import importlib.util
import threading
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from elq_ref.models import build

from .networks import Network

LR, MOMENTUM, WEIGHT_DECAY = 0.01, 0.9, 1e-4
OURS, EAGER, COMPILED = "elq_ref", "PyTorch eager channels_last", "PyTorch compiled channels_last"
PEERS = (OURS, EAGER, COMPILED) if importlib.util.find_spec("torch") else (OURS,)
LIMITS = {OURS: threading.TIMEOUT_MAX, EAGER: threading.TIMEOUT_MAX, COMPILED: 600.0}  # seconds for its first steps


class Step(NamedTuple):
    """run() makes a step and returns its loss; drop(on) says whether dropout, of which each peer draws its own, is on,
    as it is at first."""

    run: Callable[[], float]
    drop: Callable[[bool], None]


def make_step(peer: str, name: str, network: Network, threads: int) -> Step:
    """The step of `peer`; model and batch are built."""
    return elq_step(name, network) if peer == OURS else torch_step(name, network, threads, peer == COMPILED)


def data(network: Network) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (channels-last in memory, the best layout of both peers) and labels."""
    channels, height, width = network.picture
    rng = np.random.default_rng(0)
    x = rng.standard_normal((network.batch, height, width, channels), dtype=np.float32).transpose(0, 3, 1, 2)
    return x, rng.integers(0, network.classes, network.batch)


def elq_step(name: str, network: Network) -> Step:
    """The step in elq_ref."""
    from elq_ref import SGD, Tensor, drawing, ops
    from elq_ref.nn import Dropout

    net = build(name, network.picture, network.classes).train()
    x, labels = data(network)
    images, samples = Tensor(x), np.arange(len(x))
    sgd = SGD(LR, MOMENTUM, WEIGHT_DECAY)
    parameters = [p for _, p in net.named_parameters()]
    velocity = [np.zeros_like(p.data) for p in parameters]

    def run() -> float:
        net.zero_grad()
        with drawing(0, 0, samples):
            loss = net.training_loss(images, labels, ops.softmax_cross_entropy)
        loss.backward()
        for i, p in enumerate(parameters):
            p.data, velocity[i] = sgd.update(p.data, p.grad, velocity[i], LR, over=True)
        return loss.item()

    def drop(on: bool) -> None:
        for _, module in net.named_modules():
            if isinstance(module, Dropout):
                module.train(on)

    return Step(run, drop)


def torch_step(name: str, network: Network, threads: int, compiled: bool) -> Step:
    """The step in PyTorch, eager or through torch.compile, with its fused SGD."""
    import torch

    from .torch_models import made, training_loss

    torch.set_num_threads(threads)
    net = made(name, network.classes)
    state = build(name, network.picture, network.classes).state_dict()
    # Not strict: PyTorch also counts batches.
    net.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()}, strict=False)
    del state
    net = net.to(memory_format=torch.channels_last).train()
    x, labels = (torch.from_numpy(a) for a in data(network))
    optimizer = torch.optim.SGD(net.parameters(), LR, MOMENTUM, weight_decay=WEIGHT_DECAY, fused=True)

    def forward(x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return training_loss(net(x), labels)

    if compiled:
        forward = torch.compile(forward)

    def run() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = forward(x, labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    def drop(on: bool) -> None:
        for module in net.modules():
            if isinstance(module, torch.nn.Dropout):
                module.train(on)

    return Step(run, drop)
