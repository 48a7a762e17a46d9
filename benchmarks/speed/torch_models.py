"""The networks of elq_ref.models in PyTorch, with the same parameter names and the same computation.

The small ones are written here; those for ImageNet are torchvision's.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ..vision import torchvision

AUXILIARY_WEIGHT = 0.3  # of each of GoogLeNet's auxiliary heads, as its paper says


class LeNet5(nn.Module):
    """elq_ref.models.lenet5 on 1x28x28."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x), inplace=True), 2)
        x = F.max_pool2d(F.relu(self.conv2(x), inplace=True), 2)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.flatten(1))))))


class VGGSmall(nn.Module):
    """elq_ref.models.vgg_small on 3x32x32."""

    def __init__(self) -> None:
        super().__init__()
        channels = 3
        for position, outputs in enumerate((128, 128, 256, 256, 512, 512), 1):
            setattr(self, f"conv{position}", nn.Conv2d(channels, outputs, 3, padding=1, bias=False))
            setattr(self, f"bn{position}", nn.BatchNorm2d(outputs))
            channels = outputs
        self.fc = nn.Linear(512 * 4 * 4, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for position in range(1, 7):
            x = F.relu(getattr(self, f"bn{position}")(getattr(self, f"conv{position}")(x)), inplace=True)
            if position % 2 == 0:
                x = F.max_pool2d(x, 2)
        return self.fc(x.flatten(1))


class Block(nn.Module):
    """elq_ref.models.resnet_cifar.BasicBlock."""

    def __init__(self, channels: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.added = outputs - channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        if self.added:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.added // 2, self.added - self.added // 2))
        return F.relu(self.bn2(self.conv2(y)) + x, inplace=True)


class ResNet20(nn.Module):
    """elq_ref.models.resnet20 on 3x32x32."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(Block(16, 16, 1), Block(16, 16, 1), Block(16, 16, 1))
        self.layer2 = nn.Sequential(Block(16, 32, 2), Block(32, 32, 1), Block(32, 32, 1))
        self.layer3 = nn.Sequential(Block(32, 64, 2), Block(64, 64, 1), Block(64, 64, 1))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return self.linear(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


WRITTEN = {"lenet5": LeNet5, "resnet20": ResNet20, "vgg_small": VGGSmall}


def made(name: str, classes: int) -> nn.Module:
    """The network; what it starts with does not matter, and is drawn quickly."""
    if name in WRITTEN:
        return WRITTEN[name]()
    slow = {"init_weights": False} if name in ("googlenet", "vgg16") else {}
    return getattr(torchvision().models, name)(weights=None, num_classes=classes, **slow)


def training_loss(outputs: Any, labels: torch.Tensor) -> torch.Tensor:
    """L of the outputs of a network in training: the logits, or of GoogLeNet those of all its heads."""
    if torch.is_tensor(outputs):
        return F.cross_entropy(outputs, labels)
    main, *others = (F.cross_entropy(logits, labels) for logits in outputs)
    return main + AUXILIARY_WEIGHT * sum(others)
