"""Data sets as arrays, and seeded batches of them."""

from ..preprocessing import Normalization
from .base import Dataset, adapted
from .batches import Augment, Batches
from .cifar import cifar10
from .folders import image_folder, load_for
from .idx import mnist
from .sources import default_augment, load
from .split import hold_out
from .uci_digits import bundled, digits

__all__ = [
    "Augment",
    "Batches",
    "Dataset",
    "Normalization",
    "adapted",
    "bundled",
    "cifar10",
    "default_augment",
    "digits",
    "hold_out",
    "image_folder",
    "load",
    "load_for",
    "mnist",
]
