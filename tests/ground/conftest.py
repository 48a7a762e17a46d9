"""A picture of the tests of pictures."""

import numpy as np
import pytest


@pytest.fixture
def colours():
    """uint8 (4, 5, 3)."""
    return np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
