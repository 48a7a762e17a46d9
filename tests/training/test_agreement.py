"""What several processes compare before they start, here by two worlds in one process, one after the other."""

from dataclasses import replace

import numpy as np
import pytest
from small_runs import PLAN, batches, small_net

from elq_ref import SGD, Batches, State
from elq_ref.datasets import Dataset
from elq_ref.parallel import World
from elq_ref.training import agreement
from elq_ref.training.agreement import check_agreement


class Recorded(World):
    """Process `rank` of two that says what it has and hears what process 0 said."""

    def __init__(self, rank: int, first: list[np.ndarray]) -> None:
        super().__init__(rank, 2)
        self.first = first

    def joined(self, part: np.ndarray) -> np.ndarray:
        if self.rank == 0:
            self.first.append(part)
        return np.concatenate([self.first[-1], part])


def start(world: World, data: Dataset | None = None, plan=PLAN, sgd=None, seed: int = 0, size: int = 16) -> tuple:
    shared = Batches(data or batches().dataset, size, micro_batch=4, world=world, seed=seed)
    return State.start(small_net(), plan, sgd or SGD(0.05), shared), shared


def changed(value: np.ndarray) -> np.ndarray:
    value = value.copy()
    value.flat[-1] += 1
    return value


DATA = batches().dataset
OTHERS = {
    "choices": {"plan": replace(PLAN, a2=2e-3)},
    "labels": {"data": replace(DATA, labels=changed(DATA.labels) % 3)},
    "pictures": {"data": replace(DATA, images=changed(DATA.images))},
    "batches": {"seed": 1},
}


@pytest.mark.parametrize("what", OTHERS)
def test_another_start_is_named(what):
    first: list[np.ndarray] = []
    check_agreement(*start(Recorded(0, first)))
    check_agreement(*start(Recorded(1, first)))
    with pytest.raises(ValueError, match=f"^process 1 of 2 has other {what} than process 0$"):
        check_agreement(*start(Recorded(1, first), **OTHERS[what]))


def test_another_optimizer_or_step_is_another_choice():
    first: list[np.ndarray] = []
    check_agreement(*start(Recorded(0, first)))
    with pytest.raises(ValueError, match="other choices"):
        check_agreement(*start(Recorded(1, first), sgd=SGD(0.06)))
    state, shared = start(Recorded(1, first))
    state.step = 1
    with pytest.raises(ValueError, match="other choices"):
        check_agreement(state, shared)


@pytest.mark.parametrize("what", ["weights", "momentum", "frozen weights"])
def test_another_state_is_named(what):
    first: list[np.ndarray] = []
    check_agreement(*start(Recorded(0, first)))
    state, shared = start(Recorded(1, first))
    name = "4.weight"
    if what == "weights":
        state.weights[name].w = changed(state.weights[name].w)
    elif what == "momentum":
        state.velocity[name] = changed(state.velocity[name])
    else:
        state.weights[name].frozen.flat[-1] = True
    with pytest.raises(ValueError, match=f"^process 1 of 2 has other {what} than process 0$"):
        check_agreement(state, shared)


def test_statistics_of_batchnorm_are_weights_here():
    first: list[np.ndarray] = []
    check_agreement(*start(Recorded(0, first)))
    state, shared = start(Recorded(1, first))
    state.net[1].running_mean[0] = 1
    with pytest.raises(ValueError, match="other weights"):
        check_agreement(state, shared)


def test_other_kernels_are_named_with_what_is_here(monkeypatch):
    first: list[np.ndarray] = []
    check_agreement(*start(Recorded(0, first)))
    monkeypatch.setattr(agreement, "environment", lambda: {"kernel": "C other", "threads": "3"})
    with pytest.raises(ValueError, match=r"other versions or kernels than process 0: kernel C other, threads 3$"):
        check_agreement(*start(Recorded(1, first)))
