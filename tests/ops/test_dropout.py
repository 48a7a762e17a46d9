"""Dropout: what is drawn is a function of (seed, epoch, sample, which dropout of the pass), and of nothing else."""

import numpy as np
import pytest

from elq_ref import check_grads, drawing, nn, ops
from elq_ref.draws import uniform
from elq_ref.nn import Dropout, Flatten, Linear, Sequential
from elq_ref.tensor import Tensor, watched


def draw(samples, shape=(3, 4, 5), seed=0, epoch=0):
    with drawing(seed, epoch, np.array(samples)):
        return uniform((len(samples), *shape))


def test_uniform():
    """Mean and variance of 120,000 numbers within five standard errors, every 64th in [0, 1) as often."""
    numbers = draw(range(2000))
    n = numbers.size
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert abs(numbers.mean() - 0.5) < 5 * np.sqrt(1 / 12 / n)
    assert abs(numbers.var() - 1 / 12) < 5 * np.sqrt(1 / 180 / n)
    counts = np.bincount((numbers * 64).astype(int).ravel(), minlength=64)
    assert ((counts - n / 64) ** 2 / (n / 64)).sum() < 63 + 5 * np.sqrt(2 * 63)


def test_numbers_follow_the_sample_alone():
    whole = draw([4, 9, 2, 7])
    np.testing.assert_array_equal(whole[[1, 3]], draw([9, 7]))
    np.testing.assert_array_equal(whole[2:3], draw([2]))
    assert (whole != draw([5, 10, 3, 8])).mean() > 0.99


def test_seed_epoch_and_place_in_the_pass_give_other_numbers():
    with drawing(0, 0, np.arange(4)):
        first, second = uniform((4, 60)), uniform((4, 60))
    others = [first, second, draw(range(4), (60,), seed=1), draw(range(4), (60,), epoch=1)]
    for k, a in enumerate(others):
        for b in others[:k]:
            assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 5 / np.sqrt(a.size)
    with drawing(0, 0, np.arange(4)):
        np.testing.assert_array_equal(uniform((4, 60)), first)


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values(rate, dtype):
    x = np.random.default_rng(0).standard_normal((8, 50)).astype(dtype)
    with drawing(3, 1, np.arange(8)):
        y = ops.dropout(Tensor(x), rate).data
    kept = draw(range(8), (50,), 3, 1) >= rate
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, np.where(kept, x * dtype(1 / (1 - rate) if rate < 1 else 0), 0))
    assert abs(kept.mean() - (1 - rate)) < 0.12


def test_gradients():
    def dropped(x):
        with drawing(0, 0, np.arange(3)):
            return ops.dropout(x, 0.4)

    x = np.random.default_rng(1).standard_normal((3, 2, 4))
    check_grads(dropped, [x])
    check_grads(lambda x: ops.dropout(x, 0.4, training=False), [x])


def test_evaluation_is_recorded_and_changes_nothing():
    x, seen = Tensor(np.ones((2, 3))), []
    with watched(lambda op, operands, result, attributes: seen.append((op, attributes))):
        y = Dropout(0.25).eval()(x)
    np.testing.assert_array_equal(y.data, x.data)
    assert seen == [("dropout", {"rate": 0.25})]


def test_errors():
    x = Tensor(np.ones((2, 3)))
    with pytest.raises(RuntimeError, match=r"inside elq_ref\.drawing"):
        Dropout()(x)
    with drawing(0, 0, np.arange(3)), pytest.raises(ValueError, match=r"for \(2,\) pictures in a pass over \(3,\)"):
        Dropout()(x)
    with pytest.raises(ValueError, match="rate is 2, wanted 0 to 1"):
        ops.dropout(x, 2)
    with pytest.raises(ValueError, match="p is -1, wanted 0 to 1"):
        nn.Dropout(-1)


def test_an_inner_pass_does_not_disturb_the_outer():
    net = Sequential(Flatten(), Linear(6, 6, rng=np.random.default_rng(0)), Dropout(0.5))
    x = Tensor(np.ones((4, 6), np.float32))
    with drawing(0, 0, np.arange(4)):
        first = net(x).data
    with drawing(0, 0, np.arange(4)):
        with drawing(1, 0, np.arange(4)):
            inner = net(x).data
        np.testing.assert_array_equal(net(x).data, first)
    assert (inner != first).any()
