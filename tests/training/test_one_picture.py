"""A last batch of one picture, which BatchNorm cannot train on, is known before the first step."""

from dataclasses import replace

import numpy as np
import pytest
from small_runs import PLAN, batches, small_net

from elq_ref import SGD, Batches, State, quantize
from elq_ref.nn import BatchNorm2d, Flatten, Linear, Sequential


def columns(count: int, size: int) -> Batches:
    """Batches for a network whose BatchNorm sees one value a channel of every picture."""
    return Batches(batches().dataset.subset(slice(count)), size)


def flat_net() -> Sequential:
    net = small_net()
    return Sequential(Flatten(), Linear(36, 4, rng=np.random.default_rng(0)), BatchNorm2d(4), *net[2:3], Linear(4, 3))


@pytest.mark.parametrize(
    ("count", "size", "said"),
    [
        (17, 16, r"17 pictures in batches of 16 leave a batch of one, .*wanted another batch size, such as 17$"),
        (33, 2, "such as 3$"),
        (5, 1, "such as 2$|such as 3$"),
        (1, 8, "wanted another batch size$"),
    ],
)
def test_a_batch_of_one_picture_is_known_before_the_first_step(count, size, said, tmp_path):
    net, data = flat_net(), columns(count, size)
    before = {n: a.tobytes() for n, a in net.state_dict().items()}
    with pytest.raises(ValueError, match=said):
        quantize(net, data, PLAN)
    assert {n: a.tobytes() for n, a in net.state_dict().items()} == before
    assert net.training
    state = State.start(net, PLAN, SGD(), data)
    with pytest.raises(ValueError, match=said):
        quantize(net, data, PLAN, state=state)


def test_a_batch_of_one_picture_that_is_not_reached_or_does_no_harm_is_trained_on():
    half = replace(PLAN, sigma2=(), epochs=(0.5,))
    assert len(list(quantize(flat_net(), columns(17, 8), half))) == 2
    net = small_net()  # its BatchNorm sees 36 values of one picture
    assert len(list(quantize(net, columns(17, 16), replace(PLAN, epochs=(1.0, 1.0, 1.0, 1.0))))) == 8
