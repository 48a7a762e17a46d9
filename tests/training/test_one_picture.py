"""A last batch of one picture, which BatchNorm cannot train on, is known before the first step."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from small_runs import PLAN, batches, small_net

from elq_ref import SGD, Batches, State, quantize
from elq_ref.errors import FormatError
from elq_ref.nn import BatchNorm2d, Flatten, Linear, Sequential
from elq_ref.training.stages import check_single


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


def test_refused_are_exactly_the_runs_that_come_by_a_batch_of_one_picture():
    net = flat_net()
    for count, size in product(range(1, 7), range(1, 5)):
        data = columns(count, size)
        sizes = [min(size, count - first) for first in range(0, count, size)]
        assert len(data) == len(sizes)
        for start, length in product(range(2 * len(sizes)), range(len(sizes) + 2)):
            steps = range(start, start + length)
            better = [s for s in range(size + 1, count + 1) if count % s != 1]
            said = f", such as {better[0]}$" if better else "wanted another batch size$"
            if 1 in [sizes[step % len(sizes)] for step in steps]:
                with pytest.raises(ValueError, match=said):
                    check_single(net, data, steps)
            else:
                check_single(net, data, steps)


def test_a_place_where_no_run_stands_is_said_before_a_batch_of_one_picture():
    net, data = flat_net(), columns(17, 16)
    state = State.start(net, PLAN, SGD(), data)
    state.step = 1
    with pytest.raises(FormatError, match="stands at stage 0, index 0, step 1"):
        quantize(net, data, PLAN, state=state)


def test_a_batch_of_one_picture_that_is_not_reached_or_does_no_harm_is_trained_on():
    half = replace(PLAN, sigma2=(), epochs=(0.5,))
    assert len(list(quantize(flat_net(), columns(17, 8), half))) == 2
    net = small_net()  # its BatchNorm sees 36 values of one picture
    assert len(list(quantize(net, columns(17, 16), replace(PLAN, epochs=(1.0, 1.0, 1.0, 1.0))))) == 8
