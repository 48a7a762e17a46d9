"""Models, one family a file; `build` makes one by name for given pictures."""

from collections.abc import Callable

from ..nn import Module
from .alexnet import alexnet, alexnet_lrn
from .digits_cnn import digits_cnn
from .googlenet import googlenet, googlenet_lrn
from .lenet import lenet5
from .resnet import resnet18, resnet34, resnet50
from .resnet_cifar import resnet20, resnet32, resnet44, resnet56, resnet110
from .vgg import vgg16, vgg16_bn
from .vgg_small import vgg_small

SMALL = (digits_cnn, lenet5, resnet20, resnet32, resnet44, resnet56, resnet110, vgg_small)
IMAGENET = (alexnet, alexnet_lrn, googlenet, googlenet_lrn, resnet18, resnet34, resnet50, vgg16, vgg16_bn)
MODELS: dict[str, Callable[..., Module]] = {f.__name__: f for f in (*SMALL, *IMAGENET)}


def build(name: str, input_shape: tuple[int, int, int], classes: int = 10, seed: int = 0) -> Module:
    """The model `name` for pictures of `input_shape` (C, H, W); ValueError lists the names there are.

    >>> elq.models.build("lenet5", (3, 32, 32), classes=100).fc3.weight.shape
    (100, 84)
    """
    if name not in MODELS:
        raise ValueError(f"there is no model {name!r}; there are: {', '.join(MODELS)}")
    return MODELS[name](input_shape=input_shape, classes=classes, seed=seed)


__all__ = [
    "MODELS",
    "alexnet",
    "alexnet_lrn",
    "build",
    "digits_cnn",
    "googlenet",
    "googlenet_lrn",
    "lenet5",
    "resnet18",
    "resnet20",
    "resnet32",
    "resnet34",
    "resnet44",
    "resnet50",
    "resnet56",
    "resnet110",
    "vgg16",
    "vgg16_bn",
    "vgg_small",
]
