"""Freezing on the level that a weight was on most often."""

from fractions import Fraction

import numpy as np
import pytest
from small_runs import PLAN, batches, small_net

from elq_ref import SGD, Plan, State, Tensor, quantize
from elq_ref.methods import make

ON = {-1: -0.9, 0: 0.1, 1: 0.7}  # where a weight has this code, alpha being 1


def frozen_after(levels: str, paths: list[list[int]], dtype: type) -> np.ndarray:
    """The levels of weights that had these codes, the first before the first step, once they freeze."""
    method = make(Plan(levels, freeze_to="frequent"))
    weight = method.begin("w", Tensor(np.array([[ON[path[0]] for path in paths]], dtype)))
    weight.alpha = np.ones((1, 1), dtype)
    weight.extra["average"] = method.codes(weight).astype(dtype)  # at this alpha
    for codes in zip(*(path[1:] for path in paths), strict=True):
        weight.w = np.array([[ON[code] for code in codes]], dtype)
        method.follow(weight, 0, None)
    assert weight.extra["average"].dtype == dtype
    chosen = np.ones((1, len(paths)), bool)
    chosen[0, -1] = False
    method.settle(weight, chosen)
    np.testing.assert_array_equal(weight.frozen, chosen)
    assert weight.w[0, -1] == dtype(ON[paths[-1][-1]])  # what was not chosen is where it was
    return weight.w[0, :-1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("levels", ["ternary", "binary"])
def test_a_weight_freezes_on_the_level_it_was_on_most_often(levels, dtype):
    """Exact averages in fractions, of random walks among neighbouring codes."""
    rng = np.random.default_rng(1)
    codes = (-1, 0, 1) if levels == "ternary" else (-1, 1)
    paths = []
    for _ in range(60):
        stay, place, path = rng.uniform(0.3, 0.99), rng.integers(len(codes)), []
        for _ in range(150):
            if rng.random() > stay:
                place = np.clip(place + rng.choice((-1, 1)), 0, len(codes) - 1)
            path.append(codes[place])
        paths.append(path)
    wanted, other = [], 0
    for path in paths[:-1]:
        mean = Fraction(path[0])
        for code in path[1:]:
            mean += Fraction(1, 100) * (code - mean)
        wanted.append(min(codes, key=lambda code, mean=mean: abs(code - mean)))
        other += wanted[-1] != path[-1]
    np.testing.assert_array_equal(frozen_after(levels, paths, dtype), wanted)
    assert other > 10  # which the side of the last moment has wrong


def test_a_code_that_never_changes_is_its_average_to_the_bit():
    method = make(Plan(freeze_to="frequent"))
    weight = method.begin("w", Tensor(np.array([[2.0, 0.0, -2.0]], np.float32)))
    for _ in range(1000):
        method.follow(weight, 0, None)
    assert weight.extra["average"].tolist() == [[1, 0, -1]]


@pytest.mark.parametrize("levels", ["ternary", "binary"])
def test_a_run_is_resumed_to_the_same_bits(levels, tmp_path):
    plan = Plan(levels, freeze_to="frequent", sigma2=PLAN.sigma2, epochs=PLAN.epochs, alpha_from="stage0", tail="pull")
    whole = list(quantize(small_net(), batches(), plan, SGD(0.3)))
    wanted = {name: w.tobytes() for name, w in whole[-1].state.net.state_dict().items()}
    for stop in (2, 4, 7):
        for step in quantize(small_net(), batches(), plan, SGD(0.3)):
            if step.step == stop:
                step.state.save(tmp_path / "run")
                break
        net = small_net(seed=9)
        state = State.load(tmp_path / "run", net)
        *_, last = quantize(net, batches(), plan, state=state)
        assert {name: w.tobytes() for name, w in net.state_dict().items()} == wanted
        for name, weight in last.state.weights.items():
            assert weight.extra["average"].tobytes() == whole[-1].state.weights[name].extra["average"].tobytes()


def test_nothing_is_averaged_unless_it_is_asked_for():
    step = next(quantize(small_net(), batches(), PLAN, SGD(0.05)))
    assert all(weight.extra == {} for weight in step.state.weights.values())
    with pytest.raises(ValueError, match="freeze_to is 'often', wanted one of nearest, frequent"):
        Plan(freeze_to="often")


def test_the_first_loss_keeps_what_a_weight_was_before_it_went_to_its_most_frequent_code():
    method = make(Plan(freeze_to="frequent", second_loss="group1"))
    weight = method.begin("w", Tensor(np.array([[0.9, -0.7, 0.1]])))
    weight.w = np.array([[0.2, 0.3, 0.1]])  # in the last moment
    method.settle(weight, np.array([[True, False, False]]))
    assert weight.w[0, 0] == weight.alpha.item()
    assert weight.extra["before"].tolist() == [[0.2, 0, 0]]
