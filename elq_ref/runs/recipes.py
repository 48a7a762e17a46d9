"""Recipes: for a network, a method and its levels, the plan and the optimizer that `elq reproduce` runs.

Every method, and plain float fine-tuning beside them, gets `PASSES` passes over the data. The choices for CIFAR-10 are
made on the exploration network, which never meets the test set; those for ImageNet are untried (docs/reproduce.md).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..datasets import Normalization
from ..datasets.imagenet import NORMALIZATION
from ..elq.plan import Plan
from ..training.plans import kept, methods_of, named_plan
from ..training.sgd import SGD

PASSES, QUICK_PASSES, HEADLINE_PASSES = 12.0, 1.0, 72.0
COMPARED = methods_of("comparison")
JUDGES = 2000  # training pictures on which a run is measured while it goes on


@dataclass(frozen=True)
class Photographs:
    """How pictures of any size come to a network: crops in training of so much of the area, and the rule otherwise."""

    normalization: Normalization = NORMALIZATION
    input_shape: tuple[int, int, int] = (3, 224, 224)
    resize: str = "crop 256"
    scale: tuple[float, float] = (0.08, 1.0)


@dataclass(frozen=True)
class Experiment:
    """A trained network and what it is quantized with.

    data: a name of `datasets.load`, or "imagenet" for the folder that is given. checkpoint: where it lies below the
    folder of the data sets; None if its path must be given. hold_out: so many of the training images train nothing and
    stand in for the test set, which is not read then. sgd: in the place of the plan's. quick: passes of a run that is
    only to be seen.
    """

    model: str
    data: str
    batch_size: int
    checkpoint: str | None = None
    hold_out: int = 0
    sgd: SGD | None = None
    quick: float = QUICK_PASSES
    photographs: Photographs | None = None

    def find_checkpoint(self, given: str | None, data_dir: str | None) -> Path:
        """The path of the checkpoint: the given one, or where it lies; FileNotFoundError says what was looked for."""
        if given is not None:
            return Path(given)
        root = data_dir if data_dir is not None else os.environ.get("ELQ_DATA")
        if self.checkpoint is None or not root:
            raise FileNotFoundError(f"no checkpoint of {self.model} is given: name its file")
        if not (path := Path(root, self.checkpoint)).is_file():
            raise FileNotFoundError(f"there is no checkpoint {path}: name its file")
        return path


EXPERIMENTS = {
    "cifar10-resnet20": Experiment("resnet20", "cifar10", 128, "weights/resnet20-12fca82f.th"),
    "cifar10-resnet20-exploration": Experiment("resnet20", "cifar10", 128, hold_out=5000),
    "digits": Experiment("digits_cnn", "digits", 64),
}


def _on_imagenet(
    model: str, batch_size: int, lr: float, weight_decay: float, normalization: Normalization = NORMALIZATION
) -> Experiment:
    sgd, photographs = SGD(lr=lr, weight_decay=weight_decay), Photographs(normalization)
    return Experiment(model, "imagenet", batch_size, sgd=sgd, quick=0.01, photographs=photographs)


_IMAGENET = (
    _on_imagenet("alexnet", 256, 1e-3, 5e-4),
    _on_imagenet("vgg16", 32, 1.25e-4, 5e-4),
    _on_imagenet("vgg16_bn", 32, 1.25e-3, 5e-4),
    _on_imagenet("googlenet", 128, 5e-3, 2e-4, Normalization((0.5,) * 3, (0.5,) * 3)),  # docs/models.md
    _on_imagenet("resnet18", 256, 1e-2, 1e-4),
    _on_imagenet("resnet34", 128, 5e-3, 1e-4),
    _on_imagenet("resnet50", 64, 2.5e-3, 1e-4),
)
EXPERIMENTS |= {f"imagenet-{experiment.model}": experiment for experiment in _IMAGENET}


def recipe(
    method: str,
    levels: str | None,
    weights: Sequence[str],
    *,
    headline: bool = False,
    preset: str | None = None,
    passes: float | None = None,
    first_last_float: bool = False,
) -> tuple[Plan, SGD]:
    """The plan and optimizer for a network with these weights (`Module.quantizable`), in `passes` over the data.

    headline: those of the longer runs; `passes` is HEADLINE_PASSES then, and otherwise PASSES, unless it is given.
    preset: those of this name in elq_ref.training.plans.PRESETS.
    Every layer is quantized, whatever the method's paper does, unless first_last_float keeps the first and the last
    in float for all methods alike. ValueError for a method or levels without such a plan (elq_ref.training.plans).
    """
    plan, sgd = named_plan(preset or ("headline" if headline else "comparison"), method, levels, weights)
    if passes is None:
        passes = HEADLINE_PASSES if headline else PASSES
    if first_last_float and method != "float":
        plan = replace(plan, keep_float=kept("ends", weights))
    return plan.spread(passes), sgd
