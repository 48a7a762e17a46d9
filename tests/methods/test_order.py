"""Freezing by order: exact counts, the first of equals, and a random order that seed and name fix."""

import zlib
from fractions import Fraction

import numpy as np
import pytest

from elq_ref import Tensor
from elq_ref.methods import OrderPlan, make
from elq_ref.methods.order import first_in_order, random_order, stable_order


def test_the_largest_or_any_weights_freeze_in_exact_counts():
    rng = np.random.default_rng(4)
    w = rng.normal(size=(3, 7)).astype(np.float32)
    for key in (-np.abs(w), random_order("conv.weight", w.shape, 5)):
        frozen, order = np.zeros(w.shape, bool), sorted(range(21), key=lambda i, key=key: key.flat[i])
        for share, count in ((0.3, 6), (0.3, 6), (0.5, 10), (0.9, 19), (1.0, 21)):  # 6.3, 10.5, 18.9
            chosen = first_in_order(key, frozen, share)
            assert not (chosen & frozen).any()
            frozen = frozen | chosen
            assert sorted(np.flatnonzero(frozen)) == sorted(order[:count])
    already = np.ones(w.shape, bool)
    assert not first_in_order(-np.abs(w), already, 0.5).any()  # more is frozen than the share


def test_every_stage_freezes_in_the_order_that_the_plan_says():
    w = np.random.default_rng(4).normal(size=(4, 5)).astype(np.float32)
    for order in ("magnitude", "random"):
        seed = 3 if order == "random" else 0
        plan = OrderPlan(order=order, order_seed=seed, portions=(0.25, 0.5, 1.0), epochs=(1.0,) * 4)
        method = make(plan)
        weight = method.begin("fc.weight", Tensor(w))
        keys = random_order("fc.weight", w.shape, 3) if order == "random" else -np.abs(w)
        ranks = [int(sum(other < key for other in keys.flat)) for key in keys.flat]
        for stage, count in ((1, 5), (2, 10), (3, 20)):
            weight.frozen = weight.frozen | method.select(weight, stage)
            assert np.flatnonzero(weight.frozen).tolist() == [i for i in range(20) if ranks[i] < count]


@pytest.mark.parametrize("levels", ["ternary", "binary"])
def test_the_most_stable_codes_freeze_first_and_of_equal_ones_the_farthest_from_a_boundary(levels):
    """Sorted by hand, by the exact averages of codes that were told one after the other."""
    rng = np.random.default_rng(6)
    codes = (-1, 0, 1) if levels == "ternary" else (-1, 1)
    on = {-1: (-1.4, -0.6), 0: (-0.4, 0.4), 1: (0.6, 1.4)}  # where a weight has this code, alpha being 1
    paths = [[codes[k] for k in rng.integers(len(codes), size=1)] for _ in range(24)]
    for i, path in enumerate(paths):
        for _ in range(40):
            path.append(codes[rng.integers(len(codes))] if i % 3 and rng.random() < 0.1 else path[-1])
    plan = OrderPlan(levels, order="stable", portions=(0.25, 0.5, 1.0), epochs=(1.0,) * 4)
    method = make(plan)
    w = np.array([[rng.uniform(*on[path[0]]) for path in paths]])
    weight = method.begin("fc.weight", Tensor(w))
    weight.alpha, weight.extra["average"] = np.ones((1, 1)), np.array([[float(path[0]) for path in paths]])
    for now in list(zip(*paths, strict=True))[1:]:
        weight.w = np.array([[rng.uniform(*on[code]) for code in now]])
        method.follow(weight, 0, None)
    keys = []
    for path, value in zip(paths, weight.w[0], strict=True):
        mean = Fraction(path[0])
        for code in path[1:]:
            mean += Fraction(1, 100) * (code - mean)
        margin = abs(value) if levels == "binary" else min(abs(value - 0.5), abs(value + 0.5))
        keys.append((min(abs(code - mean) for code in codes), -margin))
    assert sum(key[0] == 0 for key in keys) > 6  # more than freeze first
    order = sorted(range(24), key=keys.__getitem__)
    for stage, count in ((1, 6), (2, 12), (3, 24)):
        weight.frozen = weight.frozen | method.select(weight, stage)
        assert sorted(np.flatnonzero(weight.frozen)) == sorted(order[:count])


def test_among_stable_codes_the_margin_is_the_distance_from_half_of_alpha():
    w, alpha = np.array([[0.0, 0.6, -1.7, 1.1]]), np.array([[2.0]])  # 1.0, 0.4, 0.7, 0.1 from +-1
    assert stable_order(w, alpha, np.array([[0.0, 0.0, -1.0, 1.0]]), "ternary").tolist() == [[0, 2, 1, 3]]
    assert stable_order(w, alpha, np.array([[1.0, 1.0, -1.0, 1.0]]), "binary").tolist() == [[3, 2, 0, 1]]


def test_equal_keys_freeze_in_the_order_of_the_array():
    chosen = first_in_order(np.zeros(5), np.array([False, True, False, False, False]), 0.6)
    assert chosen.tolist() == [True, False, True, False, False]


def test_a_random_order_is_fixed_by_seed_and_name():
    n = 4000
    first = random_order("a", (n // 10, 10), 0)
    np.testing.assert_array_equal(first, random_order("a", (n // 10, 10), 0))
    assert len(np.unique(first)) == n
    for other in (random_order("a", (n // 10, 10), 1), random_order("b", (n // 10, 10), 0)):
        ranks = np.argsort(np.argsort(first.ravel())), np.argsort(np.argsort(other.ravel()))
        assert abs(np.corrcoef(*ranks)[0, 1]) < 5 / n**0.5  # five standard deviations of unrelated orders
    half = first_in_order(first, np.zeros(first.shape, bool), 0.5)
    assert abs(half[: n // 20].mean() - 0.5) < 5 * 0.5 / (n / 2) ** 0.5  # and unrelated to the place


def test_a_random_order_is_the_one_that_runs_were_made_with():
    """SplitMix64 keyed by (seed, 0, CRC-32 of the name), in Python's integers."""

    def mix(z: int) -> int:
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        return z ^ (z >> 31)

    key = 0
    for part in (7, 0, zlib.crc32(b"conv1.weight")):
        key = mix((key + part + 1) * 0x9E3779B97F4A7C15 % 2**64)
    expected = [mix(((i + 1) * 0x9E3779B97F4A7C15 + key) % 2**64) for i in range(6)]
    assert random_order("conv1.weight", (2, 3), 7).ravel().tolist() == expected


def test_a_plan_by_order_takes_every_value_within_its_limits_and_none_beyond():
    for fine in (
        {"portions": (0.5, 0.5, 1.0), "epochs": (1.0,) * 4},
        {"method": "inq", "portions": (1.0,), "epochs": (0.0, 1.0)},
        {"order": "random", "order_seed": 3, "portions": (0.5, 1.0), "epochs": (1.0, 1.0, 1.0)},
        {"order": "magnitude", "portions": (1.0,), "epochs": (0.0, 1.0), "sigma2": ()},
    ):
        OrderPlan(**fine)
    for beyond, words in (
        ({"order": "largest"}, "order is 'largest', wanted one of magnitude, stable, random"),
        ({"order": "random", "order_seed": -1}, "order_seed is -1, wanted an integer >= 0"),
        ({"order_seed": 1}, "order_seed is 1, wanted .* 0 for order magnitude"),
        ({"tail": "2alpha"}, "an exact share"),
        ({"order": "random", "sigma2": (0.0,), "epochs": (1.0, 1.0)}, "wanted 5 finite numbers .* each of portions"),
        ({"portions": ()}, "portions is"),
        ({"portions": (0.5, 0.25, 1.0)}, "portions is"),
        ({"portions": (0.0, 1.0)}, "portions is"),
        ({"portions": (0.5, 0.9)}, "portions is"),
        ({"levels": "quaternary"}, "levels is"),
        ({"portions": 0.5}, "portions is 0.5, wanted a tuple"),
        ({"order": "random", "order_seed": "1"}, "order_seed is '1', wanted a value such as 0"),
    ):
        with pytest.raises(ValueError, match=words):
            OrderPlan(**beyond)
