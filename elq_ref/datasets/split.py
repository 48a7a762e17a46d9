"""Pictures set apart from training, so that choices can be judged without the test set."""

from __future__ import annotations

import numpy as np

from ..splitmix import random_bits
from .base import Dataset

_HOLD_OUT = 4  # a purpose beside those of elq_ref.datasets.batches


def hold_out(dataset: Dataset, count: int, seed: int = 0) -> tuple[Dataset, Dataset]:
    """(the rest, `count` pictures of `dataset`): the last ones in a random order that is a function of `seed` alone.

    Both keep the order of `dataset`. ValueError unless 0 < count < len(dataset).
    """
    if not 0 < count < len(dataset):
        raise ValueError(f"{count} of {len(dataset)} pictures to hold out: wanted 1 to {len(dataset) - 1}")
    order = np.argsort(random_bits(seed, 0, _HOLD_OUT, np.arange(len(dataset))), kind="stable")
    rest, held = np.sort(order[:-count]), np.sort(order[-count:])
    return dataset.subset(rest), dataset.subset(held)
