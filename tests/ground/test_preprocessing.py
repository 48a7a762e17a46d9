"""The normalization: one table, computed once, that every user of pictures takes."""

import math

import numpy as np
import pytest

from elq_ref.preprocessing import Normalization

THREE = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_table_is_the_formula_rounded_once(dtype):
    table = THREE.table(dtype)
    assert (table.dtype, table.shape) == (dtype, (3, 256))
    for row, mean, std in zip(table, THREE.mean, THREE.std, strict=True):
        assert row.tolist() == [float(dtype((v / 255 - mean) / std)) for v in range(256)]


def test_pictures_take_their_values_from_the_table():
    pictures = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5), dtype=np.uint8)
    found, table = THREE.apply(pictures, np.float64), THREE.table(np.float64)
    for place in np.ndindex(pictures.shape):
        assert found[place] == table[place[1], pictures[place]]


@pytest.mark.parametrize(
    ("mean", "std"), [((), ()), ((0.5,), (0.5, 0.5)), ((math.nan,), (1.0,)), ((0.5,), (0.0,)), ((0.5,), (math.inf,))]
)
def test_numbers_that_normalize_nothing_are_refused(mean, std):
    with pytest.raises(ValueError, match="wanted one finite number a channel each and std > 0"):
        Normalization(mean, std)
