"""The objective and each of its gradients against central differences of the function it truly differentiates.

The loss is an elementary smooth function written here, with its gradient by hand, so that nothing of the package is on
both sides: L(w, v) = sum sin(A w) + log(1 + sum w^2 v) + v^2, two weight arrays and one shared parameter v.
"""

from dataclasses import replace

import numpy as np
import pytest

from elq_ref import Plan, objective
from elq_ref.elq import gradients
from elq_ref.elq.gradients import Pass
from elq_ref.elq.levels import dequantize, nearest_codes, scale, scale_slope

rng = np.random.default_rng(11)
A = rng.standard_normal((4, 7))
SHAPES = [(2, 2), (3,)]


@pytest.fixture(autouse=True)
def several_blocks(monkeypatch):
    """A row of the first array at a time, and two numbers of the second, of which one is left."""
    monkeypatch.setattr(gradients, "BLOCK", 2)


def loss(weights, v):
    w = np.concatenate([a.ravel() for a in weights])
    return np.sin(A @ w).sum() + np.log(1 + w @ w * v**2) + v**2


def run(v):
    def forward(weights):
        w = np.concatenate([a.ravel() for a in weights])
        inner = 1 + w @ w * v**2
        dw = A.T @ np.cos(A @ w) + 2 * w * v**2 / inner
        dv = 2 * v * (w @ w) / inner + 2 * v
        return Pass(loss(weights, v), [dw[:4].reshape(2, 2), dw[4:]], [np.array(dv)])

    return forward


def split(w):
    return [w[:4].reshape(2, 2), w[4:]]


def quantized(weights, levels):
    alphas = [scale(w, levels) for w in weights]
    return [dequantize(nearest_codes(w, a, levels), a) for w, a in zip(weights, alphas, strict=True)]


def numeric(function, at, step=1e-6):
    at = np.asarray(at, float)
    out = np.zeros_like(at)
    for i in np.ndindex(at.shape):
        d = np.zeros_like(at)
        d[i] = step
        out[i] = (function(at + d) - function(at - d)) / (2 * step)
    return out


def flat(arrays):
    return np.concatenate([a.ravel() for a in arrays])


def lp(difference, plan):
    return abs(difference) if plan.perturbation == "abs" else max(0, -difference)


def error(w, w_hat, plan):
    d = np.abs(w - flat(w_hat))
    return np.sum(d**2 if plan.norm == "squared" else d)


def both_signs(levels):
    """One point where L(W) > L(W_hat), one where it is below; the test is about both."""
    points = {}
    for seed in range(100):
        w = np.random.default_rng(seed).standard_normal(7)
        points.setdefault(np.sign(loss(split(w), 0.7) - loss(quantized(split(w), levels), 0.7)), w)
        if len(points) == 2:
            return [points[1.0], points[-1.0]]
    raise AssertionError("no point of both signs")


CASES = [
    (levels, s, gradient, norm, perturbation)
    for levels in ("ternary", "binary")
    for s in (0, 1)
    for gradient in ("constant", "straight-through", "taylor-inner", "taylor-elementwise")
    for norm in ("squared", "absolute")
    for perturbation in ("abs", "positive")
    if not (gradient == "taylor-elementwise" and perturbation == "positive")
]


@pytest.mark.parametrize(("levels", "s", "gradient", "norm", "perturbation"), CASES)
def test_gradient_is_that_of_its_function(levels, s, gradient, norm, perturbation):
    plan = Plan(levels, a1=0.6, a2=0.3, gradient=gradient, norm=norm, perturbation=perturbation, sign="computed")
    w0, v = both_signs(levels)[s], 0.7
    hat0 = quantized(split(w0), levels)
    seen = objective(run(v), split(w0), hat0, plan)
    gap0 = w0 - flat(hat0)
    g0 = flat(run(v)(split(w0)).weights)

    def surrogate(w):
        """Each line as written in the module's table, from losses alone."""
        total = loss(split(w), v) + plan.a2 * error(w, hat0, plan)
        if gradient == "constant":
            return total + plan.a1 * lp(loss(split(w), v) - loss(hat0, v), plan)
        if gradient == "straight-through":
            return total + plan.a1 * lp(loss(split(w), v) - loss(split(flat(hat0) + w - w0), v), plan)
        if gradient == "taylor-inner":
            return total + plan.a1 * lp(g0 @ (w - flat(hat0)), plan)
        return total + plan.a1 * np.sum(np.abs(g0) * np.abs(w - flat(hat0)))

    assert np.abs(gap0).min() > 1e-4  # no kink within the step
    np.testing.assert_allclose(flat(seen.weights), numeric(surrogate, w0), rtol=1e-6, atol=1e-7)

    def true_objective(v):
        return loss(split(w0), v) + plan.a1 * lp(loss(split(w0), v) - loss(hat0, v), plan)

    np.testing.assert_allclose(seen.shared[0], numeric(true_objective, v), rtol=1e-6, atol=1e-7)
    difference = loss(split(w0), v) - loss(hat0, v)
    assert seen.perturbation == pytest.approx(lp(difference, plan))
    assert seen.error == pytest.approx(error(w0, hat0, plan))
    assert seen.value == pytest.approx(seen.loss + 0.6 * seen.perturbation + 0.3 * seen.error)
    assert seen.sign == (min(np.sign(difference), 0) if perturbation == "positive" else np.sign(difference))


@pytest.mark.parametrize("gradient", ["constant", "straight-through", "taylor-inner"])
@pytest.mark.parametrize("seed", range(4))
def test_layer_scope_is_a_sum_of_terms(gradient, seed):
    plan = Plan("ternary", a1=0.6, gradient=gradient, sign="computed", scope="layer")
    w0, v = np.random.default_rng(seed).standard_normal(7), 0.7
    hat0 = quantized(split(w0), "ternary")
    seen = objective(run(v), split(w0), hat0, plan)
    g0 = run(v)(split(w0)).weights

    def surrogate(w):
        parts = split(w)
        total = loss(parts, v)
        for t in range(2):
            moved = hat0[t] + (parts[t] - split(w0)[t] if gradient == "straight-through" else 0)
            if gradient == "taylor-inner":
                total += 0.6 * abs(np.vdot(g0[t], parts[t] - hat0[t]))
            else:
                total += 0.6 * abs(loss(parts, v) - loss([*parts[:t], moved, *parts[t + 1 :]], v))
        return total

    np.testing.assert_allclose(flat(seen.weights), numeric(surrogate, w0), rtol=1e-6, atol=1e-7)
    if gradient != "taylor-inner":
        assert seen.value == pytest.approx(surrogate(w0))
    parts = split(w0)
    terms = [loss(parts, v) - loss([*parts[:t], hat0[t], *parts[t + 1 :]], v) for t in range(2)]
    assert seen.perturbation == pytest.approx(sum(map(abs, terms)))


@pytest.mark.parametrize("levels", ["ternary", "binary"])
@pytest.mark.parametrize("norm", ["squared", "absolute"])
def test_moving_scale_adds_the_chain_rule_through_alpha(levels, norm):
    plan = Plan(levels, a1=0.6, a2=0.3, gradient="constant", sign="computed", norm=norm, alpha_from="stage0")
    w0, v = np.random.default_rng(5).standard_normal(7), 0.7
    codes = [nearest_codes(w, scale(w, levels), levels) for w in split(w0)]

    def hats(w):
        return [dequantize(c, scale(p, levels)) for c, p in zip(codes, split(w), strict=True)]

    def true(w):
        return loss(split(w), v) + 0.6 * abs(loss(split(w), v) - loss(hats(w), v)) + 0.3 * error(w, hats(w), plan)

    slopes = [scale_slope(w, levels) for w in split(w0)]
    seen = objective(run(v), split(w0), hats(w0), plan, slopes=slopes)
    np.testing.assert_allclose(flat(seen.weights), numeric(true, w0), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("gradient", ["constant", "straight-through", "taylor-inner", "taylor-elementwise"])
@pytest.mark.parametrize("scope", ["network", "layer"])
def test_the_loss_through_alpha_counts_in_mode_constant_only(gradient, scope):
    plan = Plan("ternary", a1=0.6, a2=0.3, gradient=gradient, sign="computed", scope=scope, alpha_from="stage0")
    w = split(np.random.default_rng(5).standard_normal(7))
    hat = quantized(w, "ternary")
    slopes = [scale_slope(a, "ternary") for a in w]
    still, moving = (objective(run(0.7), w, hat, plan, slopes=given) for given in (None, slopes))
    ghat = run(0.7)(hat).weights
    for layer, (a, b, slope) in enumerate(zip(w, hat, slopes, strict=True)):
        codes = np.sign(b)
        through = -2 * 0.3 * np.sum((a - b) * codes)
        if gradient == "constant":
            at = [b if scope == "network" or i == layer else v for i, (v, b) in enumerate(zip(w, hat, strict=True))]
            s = np.sign(loss(w, 0.7) - loss(at, 0.7))
            through -= 0.6 * s * np.sum((ghat if scope == "network" else run(0.7)(at).weights)[layer] * codes)
        np.testing.assert_allclose(moving.weights[layer] - still.weights[layer], through * slope, rtol=1e-9, atol=1e-12)


def test_the_inner_product_runs_over_all_layers():
    """Two layers whose own products have opposite signs: the larger decides for both; by layer, each its own."""
    w, hat = [np.array([[3.0]]), np.array([[1.0]])], [np.array([[2.0]]), np.array([[2.0]])]
    at = lambda weights: Pass(0.0, [np.ones((1, 1)), np.ones((1, 1)) * 0.25], [])  # noqa: E731
    found = {}
    for scope in ("network", "layer"):
        plan = Plan("ternary", a1=0.5, gradient="taylor-inner", sign="computed", scope=scope)
        found[scope] = [dw.item() for dw in objective(at, w, hat, plan).weights]
    assert found == {"network": [1.5, 0.25 * 1.5], "layer": [1.5, 0.25 * 0.5]}


@pytest.mark.parametrize("gradient", ["constant", "straight-through", "taylor-inner", "taylor-elementwise"])
def test_frozen_entries_are_exactly_zero_whatever_the_gradient_holds(gradient):
    plan = Plan("ternary", a1=0.6, a2=0.3, gradient=gradient, sign="computed")
    frozen = [rng.random(s) < 0.5 for s in SHAPES]
    w = split(rng.standard_normal(7))
    hat = quantized(w, "ternary")
    w = [np.where(f, h, a) for f, h, a in zip(frozen, hat, w, strict=True)]

    def poisoned(weights):
        at = run(0.7)(weights)
        return at._replace(weights=[np.where(f, np.nan, g) for f, g in zip(frozen, at.weights, strict=True)])

    seen = (
        objective(poisoned, w, hat, plan, frozen=frozen)
        if gradient != "taylor-inner"
        else objective(run(0.7), w, hat, plan, frozen=frozen)
    )
    for f, dw in zip(frozen, seen.weights, strict=True):
        assert not dw[f].any()
        assert np.isfinite(dw).all()
        assert dw[~f].all()


def test_assumed_sign_with_a1_one_is_the_straight_through_rule_in_one_pass():
    calls = []

    def counted(weights):
        calls.append(weights)
        return run(0.7)(weights)

    w = split(rng.standard_normal(7))
    hat = quantized(w, "ternary")
    seen = objective(counted, w, hat, Plan("ternary", sign="assumed"))
    assert len(calls) == 1
    at_hat = run(0.7)(hat)
    np.testing.assert_array_equal(flat(seen.weights), flat(at_hat.weights))
    assert seen.shared[0] == at_hat.shared[0]
    assert (seen.loss, seen.value, seen.loss_hat, seen.sign) == (None, None, at_hat.loss, -1)
    half = objective(counted, w, hat, Plan("ternary", a1=0.5, sign="assumed"))
    np.testing.assert_allclose(flat(half.weights), 0.5 * flat(run(0.7)(w).weights) + 0.5 * flat(at_hat.weights))


@pytest.mark.parametrize(("a1", "passes"), [(0.5, 2), (1.0, 3), (2.0, 3)])
def test_assumed_sign_with_one_term_a_layer(a1, passes):
    calls = []

    def counted(weights):
        calls.append(weights)
        return run(0.7)(weights)

    w = split(np.random.default_rng(3).standard_normal(7))
    hat = quantized(w, "ternary")
    seen = objective(counted, w, hat, Plan("ternary", sign="assumed", scope="layer", a1=a1), at_hat=run(0.7))
    assert len(calls) == passes  # the one at W is left out where its factor 1 - 2 a1 is 0
    one, two = run(0.7)([hat[0], w[1]]), run(0.7)([w[0], hat[1]])
    expected = (1 - 2 * a1) * flat(run(0.7)(w).weights) + a1 * (flat(one.weights) + flat(two.weights))
    np.testing.assert_allclose(flat(seen.weights), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("a1", [0.0, 0.5, 1.0])
def test_a_gradient_is_asked_for_once_its_pass_is_made_and_only_where_it_counts(a1):
    """The backward pass at W_hat frees its memory before the pass at W; what has the factor 0 is not asked."""
    events = []

    class Watched:
        def __init__(self, name, weights):
            self.name, self.done = name, run(0.7)(weights)
            self.loss = self.done.loss
            events.append(f"forward {name}")

        @property
        def weights(self):
            events.append(f"backward {self.name}")
            return self.done.weights

        @property
        def shared(self):
            return self.done.shared

    w0 = both_signs("ternary")[1]  # s = -1
    hat = quantized(split(w0), "ternary")
    plan = Plan("ternary", a1=a1, sign="computed")
    objective(lambda w: Watched("W", w), split(w0), hat, plan, at_hat=lambda w: Watched("W_hat", w))
    if a1 > 0:
        assert events[:3] == ["forward W_hat", "backward W_hat", "forward W"]
    assert ("backward W_hat" in events) == (a1 > 0)
    assert ("backward W" in events) == (a1 < 1)


def test_equal_losses_have_sign_zero():
    plan = Plan("ternary", a1=2.0, sign="computed")
    w = quantized(split(rng.standard_normal(7)), "ternary")
    for slopes in (None, [scale_slope(a, "ternary") for a in w]):
        seen = objective(run(0.7), w, w, replace(plan, gradient="constant"), slopes=slopes)
        np.testing.assert_array_equal(flat(seen.weights), flat(run(0.7)(w).weights))
    seen = objective(run(0.7), w, w, plan)
    assert (seen.sign, seen.perturbation, seen.error) == (0, 0, 0)
    np.testing.assert_array_equal(flat(seen.weights), flat(run(0.7)(w).weights))


def test_all_frozen_is_one_pass_at_w():
    w = quantized(split(rng.standard_normal(7)), "binary")
    seen = objective(run(0.7), w, w, Plan("binary", sign="computed"), frozen=[np.ones(s, bool) for s in SHAPES])
    assert seen.value == seen.loss == seen.loss_hat
    assert not flat(seen.weights).any()
    assert seen.shared[0] == run(0.7)(w).shared[0]


def test_a1_zero_is_float_training():
    w = split(rng.standard_normal(7))
    hat = quantized(w, "ternary")
    for gradient in ("constant", "straight-through", "taylor-inner", "taylor-elementwise"):
        seen = objective(run(0.7), w, hat, Plan("ternary", a1=0.0, gradient=gradient, sign="computed"))
        np.testing.assert_allclose(flat(seen.weights), flat(run(0.7)(w).weights), rtol=1e-15)


def test_plan_names_what_is_wrong():
    for change, words in (
        ({"levels": "quaternary"}, "ternary, binary"),
        ({"a1": -1.0}, "a1 -1.0"),
        ({"sigma2": (0.1, 0.4)}, "falling"),
        ({"epochs": (1.0,)}, "wanted 5 finite numbers"),
        ({"epochs": (1.0, float("inf"), 1.0, 1.0, 1.0)}, "wanted 5 finite numbers"),
        ({"gradient": "taylor-elementwise", "perturbation": "positive"}, "no positive part"),
    ):
        with pytest.raises(ValueError, match=words):
            replace(Plan(), **change)
    with pytest.raises(ValueError, match="no such option: sigma3"):
        Plan.from_json({"sigma3": 1})
    plan = Plan("binary", sigma2=(0.3, 0.0), epochs=(1.0, 0.5, 0.5), keep_float=("fc.weight",))
    assert Plan.from_json(plan.to_json()) == plan
    assert plan.spread(8).epochs == (4.0, 2.0, 2.0)


def test_plan_takes_every_value_within_its_limits_and_none_beyond():
    one = {"sigma2": (0.0,), "epochs": (1.0, 1.0)}
    for fine in (
        {"sigma2": (0.5, 0.0), "epochs": (1.0, 1.0, 1.0)},
        {"tail_rate": 0.0, "a1": 0.0, "a2": 0.0},
        {"tail_rate": 1.0},
        {"sigma2": (), "epochs": (1.0,)},
        {"sigma2": (0.0,), "epochs": (0.0, 1.0)},  # no stage 0
        {"sigma2": (0.2, 0.2), "epochs": (1.0, 1.0, 1.0)},
        {"gradient": "taylor-inner", "perturbation": "positive"},
        {"levels": "binary"},
        {"scale": "twn"},
    ):
        Plan(**fine)
    for beyond in (
        {**one, "sigma2": (0.6,)},
        {**one, "sigma2": (-0.1,)},
        {**one, "epochs": (1.0, 0.0)},
        {**one, "epochs": (-1.0, 1.0)},
        {**one, "epochs": (1.0, -1.0)},
        {"sigma2": (), "epochs": (0.0,)},
        {"tail_rate": -0.1},
        {"tail_rate": 1.1},
        {"a2": -1.0},
        {"levels": "binary", "scale": "twn"},
        {"scale": "lloyd"},
        {"restart": 0.0},
    ):
        with pytest.raises(ValueError, match=r"wanted|ternary rule"):
            Plan(**beyond)


@pytest.mark.parametrize(("gradient", "ones"), [("straight-through", 1), ("taylor-elementwise", 2)])
def test_layers_without_weights_have_a_gradient_without_any(gradient, ones):
    """Of g = w = 1 and W_hat = 0: g, or g + |g| sign(w - W_hat)."""
    w, plan = [np.zeros((0, 3)), np.zeros((2, 0)), np.ones(2)], Plan(sign="computed", a2=0.0, gradient=gradient)
    seen = objective(lambda ws: Pass(0.0, list(ws), []), w, [0 * a for a in w], plan)
    assert [dw.tolist() for dw in seen.weights] == [[], [[], []], [ones, ones]]
    assert seen.error == 2


@pytest.mark.parametrize("gradient", ["straight-through", "taylor-elementwise"])
def test_weights_have_any_number_of_axes(monkeypatch, gradient):
    """Those of three-dimensional convolutions have five, and are large enough for the memory that steps use again."""
    monkeypatch.setattr(gradients, "BLOCK", 1 << 14)
    w = np.random.default_rng(5).standard_normal((2, 8, 16, 16, 16)).astype(np.float32)
    w_hat = np.sign(w)
    half_square = lambda ws: Pass(sum(float(np.sum(a**2)) / 2 for a in ws), list(ws), [])  # noqa: E731
    seen = objective(half_square, [w], [w_hat], Plan("binary", a1=0.5, a2=0.0, sign="computed", gradient=gradient))
    wanted = (1 + 0.5 * seen.sign) * w - 0.5 * seen.sign * w_hat
    if gradient == "taylor-elementwise":
        wanted = w + 0.5 * abs(w) * np.sign(w - w_hat)
    np.testing.assert_allclose(seen.weights[0], wanted, rtol=1e-6)
