"""What several processes compare before they start, here by two worlds in one process, one after the other."""

from dataclasses import replace

import numpy as np
import pytest
from small_runs import PLAN, batches, small_net

from elq_ref import SGD, Batches, State
from elq_ref.datasets import Dataset, PictureFiles
from elq_ref.parallel import World
from elq_ref.training import agreement
from elq_ref.training.agreement import check_agreement


class Recorded(World):
    """Process `rank` of several that says what it has and hears what the others said; who said nothing has the same."""

    def __init__(self, rank: int, said: dict[int, np.ndarray], size: int = 2) -> None:
        super().__init__(rank, size)
        self.said = said

    def joined(self, part: np.ndarray) -> np.ndarray:
        self.said[self.rank] = part
        return np.concatenate([self.said.get(rank, part) for rank in range(self.size)])


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
    said: dict[int, np.ndarray] = {}
    check_agreement(*start(Recorded(0, said)))
    check_agreement(*start(Recorded(1, said)))
    with pytest.raises(ValueError, match=f"^process 1 of 2 has other {what} than process 0$"):
        check_agreement(*start(Recorded(1, said), **OTHERS[what]))


def test_another_optimizer_or_step_is_another_choice():
    said: dict[int, np.ndarray] = {}
    check_agreement(*start(Recorded(0, said)))
    with pytest.raises(ValueError, match="other choices"):
        check_agreement(*start(Recorded(1, said), sgd=SGD(0.06)))
    state, shared = start(Recorded(1, said))
    state.step = 1
    with pytest.raises(ValueError, match="other choices"):
        check_agreement(state, shared)


@pytest.mark.parametrize("what", ["weights", "momentum", "frozen weights"])
def test_another_state_is_named(what):
    said: dict[int, np.ndarray] = {}
    check_agreement(*start(Recorded(0, said)))
    state, shared = start(Recorded(1, said))
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
    said: dict[int, np.ndarray] = {}
    check_agreement(*start(Recorded(0, said)))
    state, shared = start(Recorded(1, said))
    state.net[1].running_mean[0] = 1
    with pytest.raises(ValueError, match="other weights"):
        check_agreement(state, shared)


def test_the_first_that_has_other_kernels_is_named_and_what_is_here_where_it_helps(monkeypatch):
    said: dict[int, np.ndarray] = {}
    error = "process 1 of 3 has other versions or kernels than process 0"
    check_agreement(*start(Recorded(0, said, 3), size=12))
    with monkeypatch.context() as other:
        other.setattr(agreement, "environment", lambda: {"kernel": "C other", "threads": "3"})
        with pytest.raises(ValueError, match=f"^{error}: kernel C other, threads 3$"):
            check_agreement(*start(Recorded(1, said, 3), size=12))
        with pytest.raises(ValueError, match=f"^{error}$"):  # process 2 is as process 1 and knows nothing of its own
            check_agreement(*start(Recorded(2, said, 3), size=12))
    assert said[1].tolist() == said[2].tolist()
    with pytest.raises(ValueError, match=f"^{error}: elq_ref "):
        check_agreement(*start(Recorded(0, said, 3), size=12))


def test_one_process_alone_asks_nobody():
    said: dict[int, np.ndarray] = {}
    check_agreement(*start(Recorded(0, said, 1)))
    assert not said


def test_pictures_in_files_are_known_by_their_names_and_not_read():
    said: dict[int, np.ndarray] = {}
    there = replace(DATA, images=PictureFiles("nowhere", [f"{i}.png" for i in range(60)], (1, 6, 6), "crop"))
    check_agreement(*start(Recorded(0, said), there))
    check_agreement(*start(Recorded(1, said), there))


class Hidden:
    """A dataset of one's own."""

    name = "own"

    def __len__(self) -> int:
        return 60


def test_what_batches_of_ones_own_hide_is_not_compared():
    said: dict[int, np.ndarray] = {}
    for rank in range(2):
        state, shared = start(Recorded(rank, said))
        shared.dataset = Hidden()
        check_agreement(state, shared)


def test_names_count():
    assert agreement._digest({"a": np.zeros(3)}) != agreement._digest({"b": np.zeros(3)})
