"""BinaryRelax and PARQ: their points are minimisers found by looking, their ends W and W_hat."""

from dataclasses import replace
from inspect import signature

import numpy as np
import pytest
from small_runs import batches, small_net

from elq_ref import SGD, Plan, Tensor, quantize
from elq_ref.elq.gradients import Evaluated, Pass
from elq_ref.methods import Moment, PARQPlan, RelaxedPlan, make, plan_for
from elq_ref.methods.parq import inverse_slope, ramp

LEVELS = {"ternary": np.array([-1.0, 0.0, 1.0]), "binary": np.array([-1.0, 1.0])}
GRID = np.linspace(-1.6, 1.6, 32001)  # where minimisers are looked for: steps of 1e-4
W = np.array([-1.45, -1.0, -0.8, -0.51, -0.3, -0.05, 0.02, 0.2, 0.49, 0.7, 0.99, 1.3])


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("theta", [0.0, 0.1, 0.5, 0.9])
def test_the_point_of_binaryrelax_is_its_proximal_map(levels: str, theta: float) -> None:
    """argmin_u (u - w)^2 / 2 + lambda/2 dist(u, levels)^2 with theta = lambda / (1 + lambda), by looking."""
    method = make(plan_for("binaryrelax", levels=levels))
    weight = method.begin("w", Tensor(W))
    weight.alpha = np.ones((1,))
    distance = np.abs(GRID[:, None] - LEVELS[levels]).min(1)
    lam = theta / (1 - theta)
    wanted = [GRID[np.argmin((GRID - w) ** 2 / 2 + lam / 2 * distance**2)] for w in W]
    np.testing.assert_allclose(method.point(weight, theta), wanted, atol=1.1e-4)


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("rho", [1.0, 0.7, 0.3, 0.05])
def test_the_ramp_of_parq_is_its_proximal_map(levels: str, rho: float) -> None:
    """argmin_u (u - w)^2 / 2 + (1 - rho)/2 (u - lo)(hi - u) between the outer levels, by looking."""
    known = LEVELS[levels]
    inside = GRID[np.abs(GRID) <= 1]
    above = np.clip(np.searchsorted(known, inside, side="left"), 1, len(known) - 1)
    bump = (inside - known[above - 1]) * (known[above] - inside)
    wanted = [inside[np.argmin((inside - w) ** 2 / 2 + (1 - rho) / 2 * bump)] for w in W]
    np.testing.assert_allclose(ramp(W, np.ones(1), levels, rho), wanted, atol=1.1e-4)


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_ends_of_the_ramp_are_identity_and_hard_quantization(levels: str, dtype: type) -> None:
    w, alpha = W.astype(dtype), np.full(1, 0.75, dtype)
    np.testing.assert_allclose(ramp(w, alpha, levels, 1.0), np.clip(w, -alpha, alpha), rtol=1e-6)
    hard = 0.75 * LEVELS[levels][np.abs(w[:, None] / 0.75 - LEVELS[levels]).argmin(1)]
    for rho in (1e-30, 0.0):
        end = ramp(w, alpha, levels, rho)
        assert end.dtype == dtype
        np.testing.assert_array_equal(end, hard.astype(dtype))


def test_the_inverse_slope_falls_from_one_to_nought_by_a_sigmoid() -> None:
    for steepness in (0.01, 1.0, 10.0, 100.0):
        rho = np.array([inverse_slope(t, steepness) for t in np.linspace(0, 1, 101)])
        assert (rho[0], rho[-1]) == (1, 0)
        assert (np.diff(rho) <= 0).all()
        np.testing.assert_allclose(rho + rho[::-1], 1, atol=1e-12)
    np.testing.assert_allclose([inverse_slope(t, 1e-4) for t in (0.25, 0.5)], [0.75, 0.5], atol=1e-6)  # almost a line
    f = 1 / (1 + np.exp(10 * (np.array([0.3, 0.0, 1.0]) - 0.5)))
    assert inverse_slope(0.3, 10.0) == pytest.approx((f[0] - f[2]) / (f[1] - f[2]))


@pytest.mark.parametrize("name", ["binaryrelax", "parq"])
def test_the_network_runs_at_w_first_and_at_w_hat_from_hard_on(name: str) -> None:
    method = make(plan_for(name, hard=0.5))
    w = np.random.default_rng(0).normal(0, 0.1, (4, 6))
    weight = method.begin("w", Tensor(w))
    ran: list[np.ndarray] = []

    def at(values: list[np.ndarray]) -> Evaluated:
        ran.append(values[0])
        return Pass(1.25, [np.ones_like(values[0])], [])

    seen = [method.objective(None, at, [weight], Moment(0, share)) for share in (0.0, 0.25, 0.5, 0.9)]
    top = 1.0 if name == "binaryrelax" else weight.alpha  # PARQ cuts what lies beyond its outer levels
    np.testing.assert_allclose(ran[0], w if name == "binaryrelax" else np.clip(w, -top, top))
    between = (np.minimum(w, method.w_hat(weight)) - 1e-9 <= ran[1]) & (
        ran[1] <= np.maximum(w, method.w_hat(weight)) + 1e-9
    )
    assert between.all()
    for values in ran[2:]:
        np.testing.assert_array_equal(values, method.w_hat(weight))
    assert [(s.loss, s.loss_hat) for s in seen] == [(1.25, None)] * 2 + [(None, 1.25)] * 2
    assert [s.sign for s in seen] == [0] * 4  # there is no loss perturbation
    for s in seen:
        np.testing.assert_array_equal(s.weights[0], np.ones((4, 6)))  # straight-through


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("name", ["binaryrelax", "parq"])
def test_a_run_ends_on_levels_of_least_error(name: str, levels: str) -> None:
    plan = replace(plan_for(name, levels=levels), epochs=(2.5,))
    *_, last = quantize(small_net(), batches(), plan, SGD(0.05))
    for key, w_hat in last.state.quantized().items():
        alpha = np.abs(w_hat).max()
        assert set(np.unique(w_hat / alpha).round(6)) <= set(LEVELS[levels])
        w = last.state.weights[key].w.astype(np.float64)
        errors = [((w - a * LEVELS[levels][np.abs(w[..., None] - a * LEVELS[levels]).argmin(-1)]) ** 2).sum()
                  for a in np.linspace(0.2, 3, 400) * alpha]  # fmt: skip
        assert ((w - w_hat) ** 2).sum() <= min(errors) * (1 + 1e-5)


def test_a_plan_of_its_own_is_the_documented_one_and_takes_what_is_added_by_name_only() -> None:
    relaxed, parq = RelaxedPlan(), PARQPlan()
    assert relaxed.epochs == parq.epochs == (6.0,)  # docs/methods.md, as the next two
    assert relaxed.hard == parq.hard == 0.75
    assert parq.steepness == 10
    for kind in (RelaxedPlan, PARQPlan):
        by_place = [p.name for p in signature(kind).parameters.values() if p.kind is not p.KEYWORD_ONLY]
        assert by_place == [p.name for p in signature(Plan).parameters.values() if p.kind is not p.KEYWORD_ONLY]
    for steepness in (1e-3, 1.0, 500.0):
        assert PARQPlan(steepness=steepness).steepness == steepness
    assert RelaxedPlan(hard=1.0).hard == 1


@pytest.mark.parametrize(("hard", "soft"), [(0.75, 3), (0.5, 2), (0.2, 1), (1.0, 4)])
def test_a_run_is_at_w_hat_from_its_share_of_the_steps_on(hard: float, soft: int) -> None:
    plan = replace(plan_for("binaryrelax", hard=hard), epochs=(1.0,))
    seen = [step.loss_hat is None for step in quantize(small_net(), batches(), plan, SGD(0.05))]
    assert seen == [True] * soft + [False] * (4 - soft)


def test_plans_refuse_what_makes_no_sense() -> None:
    for hard in (0.0, 1.1, -1.0):
        with pytest.raises(ValueError, match="wanted a share of the steps"):
            RelaxedPlan(hard=hard)
    for steepness in (0.0, -1.0, 500.5):
        with pytest.raises(ValueError, match="steepness is"):
            PARQPlan(steepness=steepness)
    with pytest.raises(ValueError, match="method parq has no choice of a1"):
        make(plan_for("parq", a1=0.5))
