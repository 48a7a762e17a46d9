"""Evaluation and re-estimation where numbers are none."""

import numpy as np
import pytest

import elq_ref as elq
from elq_ref import datasets, models
from elq_ref.datasets import Batches
from elq_ref.training.evaluate import count_right, evaluate, reestimate


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_outputs_that_are_no_numbers_are_no_class(value):
    _, test = datasets.digits()
    net = models.digits_cnn()
    net.fc.bias.data = np.array([0, 0, 0, value] + 6 * [0], np.float32)
    net.train()
    with pytest.raises(ValueError, match=r"250 of 250 pictures are no numbers"):
        evaluate(net, test)
    assert net.training
    with pytest.raises(ValueError, match="no numbers"):
        elq.accuracy(net, test)


def test_one_row_is_enough():
    logits = np.array([[1, 2], [3, 0], [0, 0]], np.float32)
    assert count_right(logits, np.array([1, 0, 1])) == 2
    logits[1, 1] = np.nan
    with pytest.raises(ValueError, match="for 1 of 3 pictures"):
        count_right(logits, np.array([1, 0, 1]))


def test_reestimation_starts_from_nothing():
    train, _ = datasets.digits()
    batches = Batches(train, 100, seed=1)
    sound, broken = models.digits_cnn(seed=1), models.digits_cnn(seed=1)
    broken.bn1.running_mean[...] = np.nan
    broken.bn2.running_var[...] = np.inf
    reestimate(sound, batches, 3)
    reestimate(broken, batches, 3)
    for name, array in sound.state_dict().items():
        np.testing.assert_array_equal(broken.state_dict()[name], array)
        assert np.isfinite(array).all()


def test_without_a_batch_the_statistics_stay():
    train, _ = datasets.digits()
    net = models.digits_cnn(seed=1)
    net.bn1.running_mean[...] = 3
    reestimate(net, Batches(train, 100, seed=1), 0)
    assert (net.bn1.running_mean == 3).all()
    assert (net.bn1.running_var == 1).all()
