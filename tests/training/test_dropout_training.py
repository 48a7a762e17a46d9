"""Dropout and frozen BatchNorm in a run: one mask a step, whatever the batch size, after a resume too."""

import itertools

import numpy as np
import pytest
from small_data import numbered
from small_runs import batches

from elq_ref import SGD, Batches, Plan, State, Tensor, fit, quantize
from elq_ref.nn import BatchNorm2d, Conv2d, Dropout, Flatten, Linear, ReLU, Sequential, freeze_statistics
from elq_ref.tensor import watched
from elq_ref.training.evaluate import reestimate

PLAN = Plan("ternary", sigma2=(0.4, 0.0), epochs=(1, 1, 1), a1=0.5, sign="computed")


def net_with_dropout(size=36, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    return Sequential(
        Flatten(), Dropout(0.3), Linear(size, 20, rng=rng), ReLU(), Dropout(0.5), Linear(20, classes, rng=rng)
    )


def masks_of(steps):
    """For every step of a run, what each of its dropouts let pass."""
    seen, found = [], []

    def see(op, operands, result, attributes):
        if op == "dropout":
            seen.append((result.data != 0) | (operands[0].data == 0))

    with watched(see):
        for _ in steps:
            found.append(list(seen))
            seen.clear()
    return found


def test_the_passes_of_a_step_see_one_mask():
    """The picture's dropout has the same operand in both passes."""
    found = masks_of(quantize(net_with_dropout(), batches(), PLAN))
    twice = [step for step in found if len(step) == 4]  # where all is frozen there is one pass
    assert len(twice) >= 4
    for first, _, third, _ in twice:
        np.testing.assert_array_equal(first, third)
        assert not first.all()
    assert any((a[0] != b[0]).any() for a, b in itertools.pairwise(twice) if a[0].shape == b[0].shape)


@pytest.mark.parametrize("size", [7, 20])
def test_masks_do_not_depend_on_the_batch_size(size):
    """Each picture of each epoch loses the same pixels."""
    data = numbered(20, 1, 6, 6)

    def lost(size):
        run = Batches(data, size, seed=5)
        first = [step[0] for step in masks_of(fit(net_with_dropout(classes=20), run, 2, SGD(lr=0.01)))]
        steps = len(run)
        return [np.concatenate(first[e * steps : e * steps + steps])[np.argsort(run.order(e))] for e in (0, 1)]

    for ours, single in zip(lost(size), lost(4), strict=True):
        np.testing.assert_array_equal(ours, single)
    one, two = lost(20)
    assert (one != two).any()


def test_resuming_anywhere_gives_the_same_bits(tmp_path):
    whole = net_with_dropout()
    for _ in quantize(whole, batches(), PLAN):
        pass
    for stop in (1, 5, 9):
        net = net_with_dropout()
        for step in quantize(net, batches(), PLAN):
            if step.step == stop:
                step.state.save(tmp_path / "run.safetensors")
                break
        again = net_with_dropout(seed=1)
        state = State.load(tmp_path / "run.safetensors", again)
        for _ in quantize(again, batches(), PLAN, state=state):
            pass
        for name, array in whole.state_dict().items():
            np.testing.assert_array_equal(again.state_dict()[name], array)


def test_another_seed_drops_other_pixels():
    a, b = (masks_of(fit(net_with_dropout(), batches(60, seed), 1)) for seed in (0, 1))
    order = [np.argsort(batches(60, seed).order(0)) for seed in (0, 1)]
    assert (a[0][0][order[0]] != b[0][0][order[1]]).mean() > 0.1


def norm_net():
    rng = np.random.default_rng(0)
    return Sequential(
        Conv2d(1, 5, 3, padding=1, bias=False, rng=rng), BatchNorm2d(5), ReLU(), Dropout(0.2), Flatten(),
        Linear(5 * 36, 3, rng=rng),
    )  # fmt: skip


def test_frozen_statistics_stay_and_the_rest_is_trained():
    net = norm_net()
    freeze_statistics(net)
    norm = net[1]
    norm.running_mean[:], norm.running_var[:] = np.arange(5) / 10, 1 + np.arange(5)
    before = net.state_dict()
    for _ in quantize(net, batches(), PLAN):
        pass
    reestimate(net, batches(), 3)
    after = net.state_dict()
    changed = {name for name in before if (before[name] != after[name]).any()}
    assert changed == set(before) - {"1.running_mean", "1.running_var"}
    x = np.random.default_rng(3).standard_normal((2, 5, 6, 6)).astype(np.float32)
    np.testing.assert_array_equal(norm.train()(Tensor(x)).data, norm.eval()(Tensor(x)).data)
    freeze_statistics(net, False)
    assert (norm.train()(Tensor(x)).data != norm.eval()(Tensor(x)).data).any()


def test_frozen_statistics_train_on_single_pixels_of_single_pictures():
    rng = np.random.default_rng(0)
    net = Sequential(Conv2d(1, 5, (4, 5), rng=rng), BatchNorm2d(5), Flatten(), Linear(5, 3, rng=rng))
    single = Batches(numbered(3), 1)
    with pytest.raises(ValueError, match="BatchNorm sees one value"):
        fit(net, single, 1)
    freeze_statistics(net)
    assert len(list(fit(net, single, 1, SGD(lr=1e-3)))) == 3


def test_statistics_are_estimated_without_dropout():
    """Dropout before BatchNorm would change its variance; the network that is evaluated has none."""
    rng = np.random.default_rng(0)
    net = Sequential(Dropout(0.5), Conv2d(1, 4, 1, rng=rng), BatchNorm2d(4))
    plain = Sequential(net[1], BatchNorm2d(4))
    reestimate(net, batches(), 2)
    reestimate(plain, batches(), 2)
    np.testing.assert_array_equal(net[2].running_var, plain[1].running_var)
    assert not net[0].training
