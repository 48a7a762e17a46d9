"""The networks of torchvision beside ours, from the same weights, and the original forms written in PyTorch."""

from __future__ import annotations

import sys
import warnings
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from torchvision_module import torchvision
from trained_looking import unlike_the_start

import elq_ref
from elq_ref import Tensor, models, ops
from elq_ref.nn import Dropout, Module

AUXILIARY = 0.3


def ours(
    name: str, input_shape: tuple[int, int, int], classes: int, dtype: str, dropout: bool, hidden: int | None
) -> Module:
    """A network whose statistics, scales and biases are not those of the start.

    hidden: the width of the hidden linear layers of AlexNet and VGG, where they are not to be the whole 4096.
    """
    with pytest.MonkeyPatch.context() as patch:
        if hidden is not None:
            for module in ("alexnet", "vgg"):  # the functions hide the modules of their names
                patch.setattr(sys.modules[f"elq_ref.models.{module}"], "HIDDEN", hidden)
        net = models.build(name, input_shape, classes, seed=3).astype(np.dtype(dtype))
    unlike_the_start(net, 0.1)
    for _, module in net.named_modules():
        if isinstance(module, Dropout) and not dropout:
            module.p = 0.0
    return net.train()


def theirs(name: str, net: Module, input_shape: tuple[int, int, int], classes: int, hidden: int | None) -> Any:
    """PyTorch's network with the weights of `net`, in the same memory, and its own statistics."""
    import torch

    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name.endswith("_lrn"):
            other = _original(name, classes)
        else:
            more = {} if name.startswith(("alexnet", "resnet")) else {"init_weights": False}
            other = getattr(torchvision().models, name)(weights=None, num_classes=classes, **more)
        if hidden is not None:
            classifier = other.classifier
            places = [k for k, m in enumerate(classifier) if isinstance(m, torch.nn.Linear)]
            widths = (classifier[places[0]].in_features, hidden, hidden, classes)
            for place, sizes in zip(places, pairwise(widths), strict=True):
                classifier[place] = torch.nn.Linear(*sizes)
    wanted = [(key, tuple(value.shape)) for key, value in other.state_dict().items() if "num_batches" not in key]
    assert wanted == [(key, value.shape) for key, value in _shapes(net)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they are read-only, and nobody writes
        state = {key: torch.from_numpy(p.data) for key, p in net.named_parameters()}
    state |= {key: torch.from_numpy(buffer.copy()) for key, buffer in net.named_buffers()}
    state |= {key: torch.tensor(0) for key in other.state_dict() if "num_batches" in key}
    other.load_state_dict(state, assign=True)
    _masked(other, {n: m.p for n, m in net.named_modules() if isinstance(m, Dropout)})
    return other.train()


def _shapes(net: Module) -> list[tuple[str, np.ndarray]]:
    """The state dict, without a copy of it."""
    own = dict(net.named_parameters()) | dict(net.named_buffers())
    order = [name for name, _ in net._everywhere()]
    return [(name, own[name] if isinstance(own[name], np.ndarray) else own[name].data) for name in order]


def _masked(other: Any, rates: dict[str, float]) -> None:
    """Dropout by our masks: the next draw of the pass that `elq_ref.drawing` is in."""
    import torch

    class Masked(torch.nn.Module):
        def __init__(self, rate: float) -> None:
            super().__init__()
            self.rate = rate

        def forward(self, x: Any) -> Any:
            if not self.training:
                return x
            ones = Tensor(np.ones(tuple(x.shape)))
            return x * torch.from_numpy(np.array(ops.dropout(ones, self.rate).data)).to(x.dtype)

    dropouts = [n for n, m in other.named_modules() if isinstance(m, torch.nn.Dropout)]
    assert sorted(dropouts) == sorted(rates)
    for name in dropouts:
        above, _, last = name.rpartition(".")
        given = other.get_submodule(name).p
        assert rates[name] in (0.0, given), name
        setattr(other.get_submodule(above), last, Masked(rates[name]))


def our_results(net: Module, x: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Logits of all heads, loss, gradients of every parameter and of the pictures, running statistics."""
    images, seen = Tensor(x, requires_grad=True), []

    def loss(logits: Tensor, labels: np.ndarray) -> Tensor:
        seen.append(logits.data)
        return ops.softmax_cross_entropy(logits, labels)

    with elq_ref.drawing(0, 1, np.arange(len(x))):
        total = net.training_loss(images, labels, loss)
    total.backward()
    heads = {f"logits {k}": logits for k, logits in enumerate(seen)}
    grads = {f"d {n}": p.grad for n, p in net.named_parameters()} | {"d images": images.grad}
    return heads | {"loss": total.data} | grads | {f"after {n}": b for n, b in net.named_buffers()}


def torch_results(net: Any, x: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """The same, by the same names."""
    import torch

    images = torch.tensor(x, requires_grad=True)
    with elq_ref.drawing(0, 1, np.arange(len(x))):
        given = net(images)
    outputs = (given,) if torch.is_tensor(given) else (given.logits, given.aux_logits1, given.aux_logits2)
    losses = [torch.nn.functional.cross_entropy(z, torch.tensor(labels)) for z in outputs]
    total = losses[0] + AUXILIARY * sum(losses[1:])
    total.backward()
    heads = {f"logits {k}": logits for k, logits in enumerate(outputs)}
    grads = {f"d {n}": p.grad for n, p in net.named_parameters() if p.requires_grad} | {"d images": images.grad}
    after = {f"after {n}": b for n, b in net.named_buffers() if "num_batches" not in n}
    return {k: v.detach().numpy() for k, v in (heads | {"loss": total} | grads | after).items()}


def _original(name: str, classes: int) -> Any:
    """The forms with local response normalization, after their papers."""
    from torch import nn

    if name == "alexnet_lrn":
        net = torchvision().models.alexnet(weights=None, num_classes=classes)
        norm = [nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0) for _ in range(2)]
        conv = [
            nn.Conv2d(3, 96, 11, 4, 2), nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.Conv2d(256, 384, 3, padding=1),
            nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.Conv2d(384, 256, 3, padding=1, groups=2),
        ]  # fmt: skip
        relu, pool = nn.ReLU(), nn.MaxPool2d(3, 2)
        net.features = nn.Sequential(
            conv[0],
            relu,
            norm[0],
            pool,
            conv[1],
            relu,
            norm[1],
            pool,
            conv[2],
            relu,
            conv[3],
            relu,
            conv[4],
            relu,
            pool,
        )
        return net
    net = torchvision().models.googlenet(weights=None, num_classes=classes, init_weights=False)
    for module in list(net.modules()):
        conv = getattr(module, "conv", None)
        if isinstance(conv, nn.Conv2d):
            wide = 5 if conv.kernel_size == (3, 3) and conv.in_channels in (16, 24, 32, 48) else conv.kernel_size[0]
            module.conv = nn.Conv2d(conv.in_channels, conv.out_channels, wide, conv.stride, wide // 2)
            module.bn = nn.Identity()
    norm = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)
    net.maxpool1 = nn.Sequential(net.maxpool1, norm)
    net.maxpool2 = nn.Sequential(norm, net.maxpool2)
    net.maxpool4 = nn.MaxPool2d(3, 2, ceil_mode=True)
    net.dropout.p = 0.4
    return net
