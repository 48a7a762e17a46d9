"""Evaluation and re-estimation of BatchNorm's statistics, also where numbers are none."""

import numpy as np
import pytest
from small_runs import batches, small_net

import elq_ref as elq
from elq_ref import Tensor, datasets, models, no_grad, ops
from elq_ref.datasets import Batches
from elq_ref.nn import BatchNorm2d, Flatten, Module, Sequential
from elq_ref.training.evaluate import count_correct, count_right, evaluate, reestimate, standing_on


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


def test_right_answers_and_the_mean_loss_are_those_of_all_pictures_at_once():
    _, test = datasets.digits()
    net = models.digits_cnn(seed=3).eval()
    with no_grad():
        z = net(Tensor(test.normalized())).data.astype(np.float64)
    losses = np.log(np.exp(z).sum(1)) - z[np.arange(len(z)), test.labels]
    right = int((z.argmax(1) == test.labels).sum())
    for size in (1, 7, 250, 500, 1000):  # 7 leaves a last batch of 3
        correct, loss = evaluate(net, test, size)
        assert correct == count_correct(net, test, size) == right
        assert loss == pytest.approx(losses.mean(), rel=1e-6)
    assert elq.accuracy(net, test) == right / 500
    net.train()
    evaluate(net, test)
    assert net.training


def test_one_row_is_enough():
    logits = np.array([[1, 2], [3, 0], [0, 0]], np.float32)
    assert count_right(logits, np.array([1, 0, 1])) == 2
    logits[1, 1] = np.nan
    with pytest.raises(ValueError, match="for 1 of 3 pictures"):
        count_right(logits, np.array([1, 0, 1]))


def test_reestimation_starts_from_nothing():
    train, _ = datasets.digits()
    batches = Batches(train, 100, seed=1)
    sound, broken = models.digits_cnn(seed=1), models.digits_cnn(seed=1).eval()
    broken.bn1.running_mean[...] = np.nan
    broken.bn2.running_var[...] = np.inf
    reestimate(sound, batches, 3)
    reestimate(broken, batches, 3)
    assert not sound.training
    assert not broken.training
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


def test_reestimation_is_the_mean_of_the_batch_statistics():
    net = small_net()
    reestimate(net, batches(), 3)
    conv = net.quantizable()["0.weight"]
    means = [ops.conv2d(Tensor(x), conv, padding=1).data.mean((0, 2, 3)) for x, _ in list(batches().epoch(0))[:3]]
    np.testing.assert_allclose(dict(net.named_buffers())["1.running_mean"], np.mean(means, 0), rtol=1e-5, atol=1e-6)


def test_a_head_that_only_trains_keeps_its_statistics():
    class Headed(Module):
        training_only = ("head",)

        def __init__(self) -> None:
            self.body, self.norm, self.head, self.flatten = small_net()[:1], BatchNorm2d(5), BatchNorm2d(5), Flatten()

        def forward(self, x):
            return self.flatten(self.norm(self.body(x)))

    net = Headed()
    net.head.running_mean[...], net.head.running_var[...] = 3, 4
    reestimate(net, batches(), 2)
    assert (net.head.running_mean == 3).all()
    assert (net.head.running_var == 4).all()
    assert (net.norm.running_mean != 0).all()


def test_a_network_without_parameters_is_evaluated_too():
    data = batches().dataset
    outputs = data.normalized().reshape(60, -1)
    assert count_correct(Sequential(Flatten()), data) == (outputs.argmax(1) == data.labels).sum()


def test_standing_on_puts_everything_back():
    net = small_net()
    before = {n: a.tobytes() for n, a in net.state_dict().items()}
    with standing_on(net, {"4.weight": np.zeros((3, 180), np.float32)}, batches(), 2):
        assert not net.quantizable()["4.weight"].data.any()
    assert {n: a.tobytes() for n, a in net.state_dict().items()} == before
