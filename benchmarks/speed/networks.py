"""The networks that are timed, and the options that choose among them."""

import argparse
from collections.abc import Sequence
from typing import NamedTuple

LEAST = 63  # AlexNet's, the largest of those that are for ImageNet


class Network(NamedTuple):
    """Pictures C H W, how many classes, and the batch of a training step."""

    title: str
    picture: tuple[int, int, int]
    classes: int
    batch: int


SMALL = {
    "resnet20": Network("ResNet-20", (3, 32, 32), 10, 128),
    "lenet5": Network("LeNet-5", (1, 28, 28), 10, 128),
    "vgg_small": Network("VGG-small", (3, 32, 32), 10, 64),
}
IMAGENET = {
    "alexnet": Network("AlexNet", (3, 224, 224), 1000, 16),
    "vgg16": Network("VGG-16", (3, 224, 224), 1000, 8),
    "googlenet": Network("GoogLeNet", (3, 224, 224), 1000, 16),
    "resnet18": Network("ResNet-18", (3, 224, 224), 1000, 16),
    "resnet50": Network("ResNet-50", (3, 224, 224), 1000, 16),
}
NETWORKS = SMALL | IMAGENET


def add_networks(parser: argparse.ArgumentParser, option: str, usual: Sequence[str]) -> None:
    """`option`, the names of networks, and --size, which `sized` takes."""
    parser.add_argument(option, nargs="+", choices=NETWORKS, default=list(usual))
    parser.add_argument("--size", type=_side, default=224, help="side of the pictures of ImageNet's networks")


def sized(name: str, size: int) -> Network:
    """The network, one for ImageNet with pictures of size x size."""
    network = NETWORKS[name]
    return network._replace(picture=(3, size, size)) if name in IMAGENET else network


def _side(text: str) -> int:
    if not text.isdecimal() or int(text) < LEAST:
        raise argparse.ArgumentTypeError(f"{text}: wanted at least {LEAST} pixels, what AlexNet needs")
    return int(text)
