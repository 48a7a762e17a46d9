"""Sums over a layer are as exact as float64 has them, whatever the dtype of the weights; ties among the largest."""

from fractions import Fraction
from math import fsum

import numpy as np
import pytest
from small_runs import batches, small_net

from elq_ref import SGD, Plan, State, Tensor, objective
from elq_ref.elq.gradients import Pass
from elq_ref.elq.levels import scale, scale_slope
from elq_ref.methods import Moment, make, plan_for

SIZES = (2, 3, 50, 41)  # large enough for float32 sums to differ in most seeds


def weights(seed):
    return np.random.default_rng(seed).normal(0.3, 1, SIZES).astype(np.float32)


def exact_alpha(row, levels, rule):
    """The rule with sums that are rounded once, as float32."""
    size = sorted((abs(float(v)) for v in row), reverse=True)
    mean = fsum(size) / len(size)
    if levels == "binary":
        alpha = mean
    elif rule == "elq":
        alpha = mean + 0.05 * size[0]
    elif rule == "twn":
        above = [v for v in size if v > 0.7 * mean]
        alpha = fsum(above) / len(above)
    else:
        sums = np.cumsum(np.array(size, np.longdouble))
        k = 1 + int(np.argmax(sums**2 / np.arange(1, len(size) + 1)))
        alpha = fsum(size[:k]) / k
    return float(np.float32(alpha))


@pytest.mark.parametrize(("levels", "rule"), [("ternary", r) for r in ("elq", "twn", "l2")] + [("binary", "elq")])
@pytest.mark.parametrize("per_channel", [False, True])
def test_a_scale_is_summed_in_float64(levels, rule, per_channel):
    found, wanted, rough = [], [], []
    for seed in range(6):
        w = weights(seed)
        rows = w.reshape(len(w) if per_channel else 1, -1)
        found += scale(w, levels, rule, per_channel).ravel().tolist()
        wanted += [exact_alpha(row, levels, rule) for row in rows]
        rough += [float(np.abs(row).mean(dtype=np.float32)) for row in rows]
    assert found == wanted
    means = [exact_alpha(row, "binary", "elq") for s in range(6) for row in weights(s).reshape(len(rows), -1)]
    assert rough != means  # float32 sums would have been noticed


@pytest.mark.parametrize("norm", ["squared", "absolute"])
def test_the_approximation_error_is_summed_in_float64(norm):
    w = [weights(seed) for seed in range(2)]
    w_hat = [np.float32(1.25) * np.sign(a) for a in w]
    seen = objective(lambda ws: Pass(0.0, [0 * a for a in ws], []), w, w_hat, Plan(norm=norm, sign="computed"))
    power = 2 if norm == "squared" else 1
    gaps = [a - b for a, b in zip(w, w_hat, strict=True)]  # float32, as the weights are
    exact = fsum(abs(float(v)) ** power for gap in gaps for v in gap.ravel())
    assert seen.error == pytest.approx(exact, rel=1e-13)
    rough = sum(float(np.sum(np.abs(gap) ** power)) for gap in gaps)
    assert rough != pytest.approx(exact, rel=1e-9)  # float32 sums would have been noticed


@pytest.mark.parametrize("name", ["inq", "binaryrelax", "parq"])
def test_the_error_of_a_rival_is_summed_in_float64(name):
    w = weights(1)
    rival = make(plan_for(name))
    weight = rival.begin("w", Tensor(w))
    still = lambda ws: Pass(0.0, [np.zeros_like(a) for a in ws], [])  # noqa: E731
    seen = rival.objective(still, still, [weight], Moment(1 if name == "inq" else 0, 0.5))
    gap = w - rival.w_hat(weight)
    assert seen.error == pytest.approx(fsum(float(v) ** 2 for v in gap.ravel()), rel=1e-13)
    assert float(np.sum(gap**2)) != pytest.approx(seen.error, rel=1e-9)  # float32 sums would have been noticed


def test_twns_threshold_is_taken_in_float64():
    """Two weights, one of them within a rounding of 0.7 times their mean."""
    twn, found, wanted, rough = make(plan_for("twn", epochs=(1.0,))), [], [], []
    for large in np.arange(1, 200, dtype=np.float32):
        tie = np.float32(7 * large / 13)
        for small in (np.nextafter(tie, np.float32(0)), tie, np.nextafter(tie, np.float32(300))):
            if 13 * small == 7 * large:
                continue  # nothing is known of a tie: 0.7 is no number of float64
            w = np.array([[small, large]], np.float32)
            found.append(bool(twn.codes(twn.begin("w", Tensor(w)))[0, 0]))
            wanted.append(Fraction(float(small)) > Fraction(7, 20) * (Fraction(float(small)) + Fraction(float(large))))
            rough.append(bool(small > np.float32(0.7) * w.mean()))
    assert found == wanted
    assert rough != wanted


def test_a_weight_at_twns_threshold_is_on_level_0():
    twn = make(plan_for("twn", epochs=(1.0,)))
    assert twn.codes(twn.begin("w", Tensor(np.array([[7.0, -13.0]])))).tolist() == [[0, -1]]  # 0.7 mean|w| = 7


def test_ttqs_unit_is_summed_in_float64():
    found, wanted = [], []
    for seed in range(6):
        size = np.abs(weights(seed))
        found.append(make(plan_for("ttq", epochs=(1.0,))).begin("w", Tensor(weights(seed))).alpha.item())
        above = [float(v) for v in size.ravel() if v > 0.05 * size.max()]
        wanted.append(float(np.float32(fsum(above) / len(above))))
    assert found == wanted


@pytest.mark.parametrize(("name", "seed"), [(name, seed) for name in ("lab", "lat") for seed in range(4)])
def test_the_scale_under_a_curvature_is_summed_in_float64(name, seed):
    state = State.start(small_net(), plan_for(name, epochs=(1.0,)), SGD(), batches())
    weight = next(iter(state.weights.values()))
    rng = np.random.default_rng(seed)
    weight.w = rng.normal(0.3, 1, weight.w.shape).astype(np.float32)
    weight.extra["moment"] = (rng.random(weight.w.shape) * 1e-7).astype(np.float32)
    state.method.follow(weight, 0, lambda p, dp, velocity: (p, velocity))
    d = np.sqrt(weight.extra["moment"].astype(np.longdouble)) + np.longdouble(1e-8)
    size = np.abs(weight.w.astype(np.longdouble))
    order = np.argsort(-size, axis=None)
    sums, total = np.cumsum((d * size).ravel()[order]), np.cumsum(d.ravel()[order])
    k = len(sums) - 1 if name == "lab" else int(np.argmax(sums**2 / total))
    assert weight.alpha.item() == np.float32(sums[k] / total[k])


@pytest.mark.parametrize("per_channel", [False, True])
def test_of_equal_largest_weights_the_first_moves_the_scale(per_channel):
    w = np.array([[0.5, -2.0, 1.0, 2.0, -2.0], [1.0, 1.0, -1.0, 0.0, 0.5]], np.float32)
    slope = scale_slope(w, "ternary", "elq", per_channel)
    count = w.shape[1] if per_channel else w.size
    first = [(0, 1), (1, 0)] if per_channel else [(0, 1)]
    wanted = np.sign(w) / count
    for at in first:
        wanted[at] += np.sign(w[at]) * np.float32(0.05)
    np.testing.assert_allclose(slope, wanted, rtol=1e-6)
