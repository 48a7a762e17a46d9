"""One training step (float32: forward, backward, SGD) in elq_ref and in PyTorch, from the same weights and batch."""

import importlib.util
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from elq_ref.models import build

LR, MOMENTUM, WEIGHT_DECAY = 0.01, 0.9, 1e-4


class Network(NamedTuple):
    """What a step computes on: pictures C H W, a batch of them."""

    title: str
    picture: tuple[int, int, int]
    batch: int


NETWORKS = {
    "resnet20": Network("ResNet-20", (3, 32, 32), 128),
    "lenet5": Network("LeNet-5", (1, 28, 28), 128),
    "vgg_small": Network("VGG-small", (3, 32, 32), 64),
}
OURS, EAGER, COMPILED = "elq_ref", "PyTorch eager channels_last", "PyTorch compiled channels_last"
PEERS = (OURS, EAGER, COMPILED) if importlib.util.find_spec("torch") else (OURS,)


def make_step(peer: str, network: str, threads: int) -> Callable[[], float]:
    """The step of `peer`, a function that returns the loss; model and batch are built."""
    return elq_step(network) if peer == OURS else torch_step(network, threads, peer == COMPILED)


def data(network: str) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (channels-last in memory, the best layout of both peers) and labels."""
    (channels, height, width), batch = NETWORKS[network][1:]
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, height, width, channels), dtype=np.float32).transpose(0, 3, 1, 2)
    return x, rng.integers(0, 10, batch)


def elq_step(network: str) -> Callable[[], float]:
    """The step in elq_ref."""
    from elq_ref import SGD, Tensor, ops

    net = build(network, NETWORKS[network].picture, 10).train()
    x, labels = data(network)
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


def torch_step(network: str, threads: int, compiled: bool) -> Callable[[], float]:
    """The step in PyTorch, eager or through torch.compile, with its fused SGD."""
    import torch

    from .torch_models import MODELS

    torch.set_num_threads(threads)
    net = MODELS[network]()
    state = build(network, NETWORKS[network].picture, 10).state_dict()
    # Not strict: PyTorch also counts batches.
    net.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()}, strict=False)
    net = net.to(memory_format=torch.channels_last).train()
    x, labels = (torch.from_numpy(a) for a in data(network))
    optimizer = torch.optim.SGD(net.parameters(), LR, MOMENTUM, weight_decay=WEIGHT_DECAY, fused=True)

    def forward(x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(net(x), labels)

    if compiled:
        forward = torch.compile(forward)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = forward(x, labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step
