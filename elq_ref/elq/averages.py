"""Which code a weight has had most often: an average over the steps, in which the last hundred or so count."""

from __future__ import annotations

import numpy as np

from .levels import nearest_codes

DECAY = 0.99


def followed(average: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The average after one more step: average + (1 - DECAY) (codes - average), codes int8 of its shape.

    A weight whose code has never changed has it as its average to the bit.
    """
    new: np.ndarray = average + (1 - DECAY) * (codes - average)
    return new


def frequent_codes(average: np.ndarray, levels: str) -> np.ndarray:
    """int8 codes nearest the average: of the two that a weight goes to and fro between, the one it has more often."""
    return nearest_codes(average, np.ones((1,) * average.ndim, average.dtype), levels)
