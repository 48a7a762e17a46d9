"""Labelled pictures, as arrays or in files, and seeded batches of them."""

from ..preprocessing import Normalization
from .augment import Augment, RandomResizedCrop
from .base import Dataset, adapted
from .batches import Batches
from .cifar import cifar10
from .folders import folder, image_folder
from .idx import mnist
from .imagenet import imagenet
from .loading import Wanted, load_for
from .measuring import measured
from .names import Names
from .npz import npz
from .picture_files import PictureFiles
from .sources import default_augment, load
from .split import hold_out
from .streaming import Cache, Reading
from .uci_digits import bundled, digits

__all__ = [
    "Augment",
    "Batches",
    "Cache",
    "Dataset",
    "Names",
    "Normalization",
    "PictureFiles",
    "RandomResizedCrop",
    "Reading",
    "Wanted",
    "adapted",
    "bundled",
    "cifar10",
    "default_augment",
    "digits",
    "folder",
    "hold_out",
    "image_folder",
    "imagenet",
    "load",
    "load_for",
    "measured",
    "mnist",
    "npz",
]
