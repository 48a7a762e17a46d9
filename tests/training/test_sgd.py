"""SGD against elementary loops, and the schedules at hand-computed places."""

import math
import tracemalloc

import numpy as np
import pytest

from elq_ref import Batches, datasets, fit, kernels, ops
from elq_ref.kernels import numpy_ops
from elq_ref.kernels.numpy_ops import BLOCK
from elq_ref.nn import Linear, Module
from elq_ref.training.sgd import SGD, Schedule


def test_schedules():
    assert [Schedule("constant")(i, 4) for i in range(4)] == [1, 1, 1, 1]
    assert [Schedule()(i, 4) for i in range(4)] == pytest.approx(
        [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2]
    )
    assert [Schedule("step")(i, 4) for i in range(4)] == pytest.approx([1, 1, 0.1, 0.01])
    assert [Schedule("step", milestones=(0.26,), gamma=0.5)(i, 4) for i in range(4)] == [1, 1, 0.5, 0.5]
    assert [Schedule("constant", warmup=0.5)(i, 8) for i in range(8)] == [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]
    assert [Schedule("constant", warmup=0.01)(i, 4) for i in range(4)] == [1, 1, 1, 1]
    assert Schedule("constant", warmup=1.0)(0, 4) == 0.25
    assert Schedule("cosine", warmup=0.5)(1, 8) == pytest.approx(0.5 * (1 + math.cos(math.pi / 8)) / 2)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_three_steps_are_the_recurrence(nesterov, weight_decay):
    sgd = SGD(momentum=0.8, weight_decay=weight_decay, nesterov=nesterov)
    w, v = np.array([1.0, -2.0]), np.zeros(2)
    by_hand = [(1.0, 0.0), (-2.0, 0.0)]
    for dw in ([0.5, 0.25], [-1.0, 2.0], [3.0, 0.0]):
        w, v = sgd.update(w, np.array(dw), v, 0.1)
        for i, (x, m) in enumerate(by_hand):
            d = dw[i] + weight_decay * x
            m = 0.8 * m + d
            by_hand[i] = (x - 0.1 * (d + 0.8 * m if nesterov else m), m)
    np.testing.assert_allclose(w, [x for x, _ in by_hand], rtol=1e-14)
    np.testing.assert_allclose(v, [m for _, m in by_hand], rtol=1e-14)


@pytest.fixture(params=["chosen", "NumPy"])
def chosen(request, monkeypatch):
    """The rule that runs here, C where it is built, and its definition."""
    if request.param == "NumPy":
        monkeypatch.setattr(kernels, "sgd", numpy_ops.sgd)


@pytest.mark.usefixtures("chosen")
def test_nothing_that_is_given_changes_unless_it_is_asked_for():
    given = [kernels.empty((1 << 16,), np.dtype(np.float32)) for _ in range(3)]
    for value, array in enumerate(given):
        array[...] = value
    w, dw, v = given
    made = SGD().update(w, dw, v, 0.1)
    assert not any(np.shares_memory(old, new) for old in given for new in made)
    assert [np.unique(array).tolist() for array in given] == [[0], [1], [2]]


@pytest.mark.parametrize("shape", [(3, BLOCK - 1), (5, 4, 40, 61), (BLOCK + 1,), (2, 2 * BLOCK), (7,), (0, 3)])
@pytest.mark.parametrize("some", [False, True])
@pytest.mark.parametrize("over", [False, True])
@pytest.mark.usefixtures("chosen")
def test_a_large_array_goes_block_by_block_to_the_bits_of_the_whole(shape, some, over):
    """By the formula in one piece; the gradient lies in memory as channels-last kernels leave it."""
    rng = np.random.default_rng(0)
    w, v = (rng.standard_normal(shape, np.float32) for _ in range(2))
    dw = np.moveaxis(rng.standard_normal(np.roll(shape, 1), np.float32), 0, -1)
    free = rng.random(shape) < 0.5 if some else None
    old, gradient = v.copy(), np.ascontiguousarray(dw) if over else dw
    new, velocity = SGD(momentum=0.7, weight_decay=0.01, nesterov=True).update(w, gradient, v, 0.3, free, over=over)
    assert (velocity is v) == over
    assert new is not gradient
    v = old
    d = dw + 0.01 * w
    wanted_v = 0.7 * v + d
    wanted = w - 0.3 * (d + 0.7 * wanted_v)
    if some:
        wanted, wanted_v = np.where(free, wanted, w), np.where(free, wanted_v, v)
    np.testing.assert_array_equal(new, wanted)
    np.testing.assert_array_equal(velocity, wanted_v)


def test_a_gradient_that_a_kernel_made_becomes_the_new_weights():
    """One that anybody else made may be anybody's input, and stays."""
    rng = np.random.default_rng(0)
    x, dy, w = (rng.standard_normal(s, np.float32) for s in ((4, 600), (4, 500), (500, 600)))
    made, v = kernels.linear_dw(dy, x), np.ones_like(w)
    wanted, wanted_v = SGD(weight_decay=0.1).update(w, made.copy(), v.copy(), 0.1)
    kept = made.copy()
    for dw in (kept, made):
        new, velocity = SGD(weight_decay=0.1).update(w, dw, v.copy(), 0.1, over=True)
        np.testing.assert_array_equal(new, wanted)
        np.testing.assert_array_equal(velocity, wanted_v)
        assert (new is dw) == (dw is made and kernels.info()["kernel"] != "NumPy")
    np.testing.assert_array_equal(kept, kernels.linear_dw(dy, x))


@pytest.mark.usefixtures("chosen")
def test_what_cannot_be_written_is_left_alone():
    v = np.ones((4, 6), np.float32)
    v.flags.writeable = False
    for velocity in (v, np.ones((4, 12), np.float32)[:, ::2]):
        w = np.zeros((4, 6), np.float32)
        dw = np.zeros((4, 6), np.float32)
        new, v = SGD().update(w, dw, velocity, 0.1, over=True)
        assert new is not dw
        assert v is not velocity
        assert (velocity == 1).all()
        assert (v == np.float32(0.9)).all()


@pytest.mark.usefixtures("chosen")
def test_a_large_array_takes_no_more_memory_than_its_results():
    w, dw, v = (np.ones((100, BLOCK), np.float32) for _ in range(3))
    tracemalloc.start()
    SGD(weight_decay=0.1, nesterov=True).update(w, dw, v, 0.1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.1 * w.nbytes


def test_what_is_not_free_keeps_its_bits_whatever_the_gradient():
    w, v, free = np.array([0.1, -0.0, 3.0]), np.array([1.0, 2.0, 3.0]), np.array([False, False, True])
    new, velocity = SGD(weight_decay=0.5).update(w, np.array([np.nan, np.inf, 1.0]), v, 0.1, free)
    assert new[:2].tobytes() == w[:2].tobytes()
    assert velocity[:2].tobytes() == v[:2].tobytes()
    assert new[2] != w[2]


def test_values_without_sense_are_named():
    for bad in ({"lr": 0.0}, {"momentum": 1.0}, {"momentum": -0.1}, {"weight_decay": -1e-9}, {"lr": math.nan}):
        with pytest.raises(ValueError, match="wanted lr > 0"):
            SGD(**bad)
    SGD(lr=1e-9, momentum=0.0, weight_decay=0.0)
    with pytest.raises(ValueError, match="schedule shape is 'linear'"):
        Schedule("linear")
    for warmup in (-0.1, 1.1):
        with pytest.raises(ValueError, match="warmup"):
            Schedule(warmup=warmup)
    Schedule(warmup=0.0)
    Schedule(warmup=1.0)
    assert (SGD().lr, SGD().momentum, SGD().weight_decay, SGD().nesterov) == (0.01, 0.9, 0.0, False)
    assert Schedule() == Schedule("cosine", 0.0, (0.5, 0.75), 0.1)


def test_two_parameters_of_one_gradient_move_alike():
    """SGD writes over gradients: what a + b hands to both is one array, and each has to have its own."""
    rng = np.random.default_rng(0)

    class Sum(Module):
        def __init__(self):
            self.a, self.b = (Linear(64, 300, bias=False, rng=rng) for _ in range(2))

        def forward(self, x):
            return ops.linear(ops.reshape(x, (len(x.data), 64)), self.a.weight + self.b.weight)

    net, (train, _) = Sum(), datasets.digits()
    before = [p.data.copy() for p in (net.a.weight, net.b.weight)]
    next(fit(net, Batches(train, 32), 1, SGD(lr=0.5)))
    a, b = (p.data - old for p, old in zip((net.a.weight, net.b.weight), before, strict=True))
    assert abs(a).max() > 0.01
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)
