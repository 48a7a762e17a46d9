"""The methods that ELQ is compared with: their closed forms, by brute force, and a short run of each."""

import json
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import pairwise, product

import numpy as np
import pytest
from small_runs import batches, small_net

from elq_ref import SGD, Plan, State, Tensor, ops, quantize
from elq_ref.cli import main
from elq_ref.datasets import digits
from elq_ref.elq.gradients import Pass
from elq_ref.methods import METHODS, Moment, OrderPlan, make, plan_for, plan_from_json
from elq_ref.runtime import PackedNetwork, interpret
from elq_ref.training.plans import named_plan

RIVALS = ("bwn", "twn", "ttq", "inq", "lab", "lat", "order", "binaryrelax", "parq")
SHORT = SGD(0.05, weight_decay=1e-3, nesterov=True)


def default(name: str, weights: tuple[str, ...] = ()) -> Plan:
    return named_plan("default", name, weights=weights)[0]


def plan_of(name: str, **changes) -> Plan:
    """A short plan that quantizes both layers of the small network."""
    return replace(default(name).spread(2.5), **changes)


def weights(shape=(4, 3, 2, 2), seed=0, dtype=np.float64) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.02, 0.3, shape).astype(dtype)


def test_bwn_is_the_least_error_of_all_binary_approximations():
    w = weights((1, 8))
    method = make(default("bwn"))
    weight = method.begin("w", Tensor(w))
    least = min(
        np.sum((w - max(np.mean(c * w), 0) * c) ** 2) for c in (np.array([c]) for c in product((-1, 1), repeat=8))
    )
    assert np.sum((w - method.w_hat(weight)) ** 2) == pytest.approx(least, rel=1e-12)


def test_bwn_is_elq_with_these_options_bit_for_bit():
    *_, rival = quantize(small_net(), batches(), plan_of("bwn"), SHORT)
    plan = Plan("binary", alpha_from="stage0", sigma2=(), epochs=(2.5,), a1=1.0, a2=0.0, sign="assumed")
    *_, ours = quantize(small_net(), batches(), plan, SHORT)
    for name, w in rival.state.quantized().items():
        assert w.tobytes() == ours.state.quantized()[name].tobytes()


@pytest.mark.parametrize("per_channel", [False, True])
def test_twn_is_its_formulas(per_channel):
    w = weights((4, 30, 3, 3))
    method = make(plan_of("twn", per_channel=per_channel))
    weight = method.begin("w", Tensor(w))
    parts = [w[i : i + 1] for i in range(len(w))] if per_channel else [w]
    expected, outside = [], 0
    for part in parts:
        delta = 0.7 * sum(abs(v) for v in part.flat) / part.size
        above = [abs(v) for v in part.flat if abs(v) > delta]
        alpha = sum(above) / len(above)
        expected += [(alpha if v > 0 else -alpha) if abs(v) > delta else 0 for v in part.flat]
        outside += sum((abs(v) > delta) != (abs(v) > alpha / 2) for v in part.flat)
    np.testing.assert_allclose(method.w_hat(weight).ravel(), expected, rtol=1e-12)
    assert outside > 0  # its codes are not those of the nearest level


@pytest.mark.parametrize("name", ["bwn", "twn"])
def test_alpha_is_estimated_anew_at_every_step(name):
    seen = set()
    for step in quantize(small_net(), batches(), plan_of(name), SHORT):
        size = np.abs(step.state.weights["4.weight"].w.astype(np.float64))
        alpha = size.mean() if name == "bwn" else size[size > 0.7 * size.mean()].mean()
        assert step.state.weights["4.weight"].alpha.item() == pytest.approx(alpha, rel=1e-6)
        seen.add(alpha)
    assert len(seen) > 5


def smooth(target: np.ndarray):
    """A loss of one weight array with its gradient: sum tanh(w - target) + (w - target)^2."""

    def loss(w: np.ndarray) -> float:
        return float(np.sum(np.tanh(w - target) + (w - target) ** 2))

    def at(ws):
        d = ws[0] - target
        return Pass(loss(ws[0]), [1 - np.tanh(d) ** 2 + 2 * d], [])

    return loss, at


def test_ttq_gradients_are_those_of_its_scales_and_of_its_zones():
    w = weights()
    method = make(plan_of("ttq"))
    weight = method.begin("w", Tensor(w))
    weight.extra["scales"] = np.array([1.3, 0.6]).reshape(2, 1, 1, 1)
    alpha, threshold = weight.alpha.item(), 0.05 * np.abs(w).max()
    assert alpha == pytest.approx(np.mean([abs(v) for v in w.flat if abs(v) > threshold]), rel=1e-12)
    loss, at = smooth(weights(seed=1))

    def of_levels(p: float, n: float) -> float:
        return loss(np.where(w > threshold, alpha * p, np.where(w < -threshold, -alpha * n, 0)))

    seen = method.objective(at, at, [weight], Moment(0, 0.0))
    h = 1e-5
    differences = [
        (of_levels(1.3 + h, 0.6) - of_levels(1.3 - h, 0.6)) / (2 * h),
        (of_levels(1.3, 0.6 + h) - of_levels(1.3, 0.6 - h)) / (2 * h),
    ]
    assert seen.loss_hat == pytest.approx(of_levels(1.3, 0.6), rel=1e-12)
    np.testing.assert_allclose(weight.extra["gradient"].ravel(), differences, rtol=1e-7)
    ghat = at([method.w_hat(weight)]).weights[0]
    zones = [1.3 if v > threshold else 0.6 if v < -threshold else 1.0 for v in w.flat]
    np.testing.assert_allclose(seen.weights[0].ravel(), zones * ghat.ravel(), rtol=1e-14)


def test_ttqs_zones_are_open_and_its_unit_is_the_mean_beyond_the_threshold():
    w = np.array([[20.0, 1.0, -1.0, -4.0, 0.0]])  # 0.05 * 20 = 1: of these two neither is beyond it
    method = make(plan_of("ttq"))
    weight = method.begin("w", Tensor(w))
    assert weight.alpha.item() == 12
    assert method.codes(weight).tolist() == [[1, 0, 0, -1, 0]]
    assert method.begin("w", Tensor(np.zeros((2, 3)))).alpha.item() == 1  # no weight says how large a level may be


def test_ttq_scales_descend_with_momentum():
    method = make(plan_of("ttq"))
    weight = method.begin("w", Tensor(weights()))
    _, at = smooth(weights(seed=1))
    p, velocity = np.ones(2), np.zeros(2)
    for _ in range(3):
        method.objective(at, at, [weight], Moment(0, 0.0))
        velocity = 0.9 * velocity + weight.extra["gradient"].ravel()
        p = p - 0.01 * velocity
        method.follow(weight, 0, partial(SGD(momentum=0.9).update, lr=0.01))
    np.testing.assert_allclose(weight.extra["scales"].ravel(), p, rtol=1e-12)
    assert set(weight.extra) == {"scales", "velocity"}


def nearest_by_inq(v: float, top: int, least: int) -> Fraction:
    """The paper's rule: beta if (alpha + beta) / 2 <= |w| < 3 beta / 2 for adjacent levels alpha < beta."""
    levels = [Fraction(0), *(Fraction(2) ** n for n in range(least, top + 1))]
    size = Fraction(abs(v))
    if size >= 3 * levels[-1] / 2:
        return levels[-1] if v > 0 else -levels[-1]  # clamped
    for low, high in pairwise(levels):
        if (low + high) / 2 <= size < 3 * high / 2:
            return high if v > 0 else -high
    return Fraction(0)


@pytest.mark.parametrize("largest", [0.75, np.nextafter(0.75, 0), 0.3, 1.4999, 1.5, 3e-3, 100.0])
def test_inq_levels_are_the_powers_of_two_of_its_rule(largest):
    w = weights()
    w *= largest / np.abs(w).max()
    w.flat[:3] = largest, largest / 3, -largest / 3
    top = next(n for n in range(20, -30, -1) if Fraction(2) ** n <= 4 * Fraction(np.abs(w).max()) / 3)
    least = top + 1 - 2 ** (2 - 1) // 2
    method = make(default("inq"))
    weight = method.begin("w", Tensor(w))
    more = np.array([0.5, -0.5, 1.5, -1.5, 7, -7, 0]) * 2.0**top
    weight.parameter = Tensor(np.concatenate([w.ravel(), more]).reshape(1, -1, 1, 1))
    expected = [float(nearest_by_inq(v, top, least)) for v in weight.w.flat]
    np.testing.assert_array_equal(method.w_hat(weight).ravel(), expected)
    assert {0, 2.0**top, -(2.0**top)} == set(expected)


def test_inq_freezes_the_largest_weights_in_exact_counts():
    w = weights((3, 7))
    plan = plan_of("inq", portions=(0.3, 0.6, 1.0), epochs=(0, 1, 1, 1))
    method = make(plan)
    weight = method.begin("w", Tensor(w))
    frozen: set[int] = set()
    for stage, count in ((1, 6), (2, 13), (3, 21)):  # 6.3, 12.6, 21 of 21
        chosen = method.select(weight, stage)
        free = sorted((i for i in range(21) if i not in frozen), key=lambda i: -abs(weight.w.flat[i]))
        wanted = free[: count - len(frozen)]
        assert set(np.flatnonzero(chosen)) == set(wanted)
        frozen |= set(wanted)
        weight.frozen = weight.frozen | chosen
        weight.w = weight.w + 0.05 * np.sin(np.arange(21)).reshape(3, 7)  # training changes the order of what is free
    assert not method.select(weight, 3).any()


def test_inq_trains_the_network_as_it_stands_and_never_moves_a_frozen_bit():
    plan = plan_of("inq")
    net, seen, stream = small_net(), {}, iter(batches().epoch(0))
    for step in quantize(net, batches(), plan, SHORT):
        if step.step == 1:
            other = small_net().train()
            for name, weight in State.start(small_net(), plan, SHORT, batches()).weights.items():
                half = np.argsort(-np.abs(weight.w).ravel(), kind="stable")[: round(weight.w.size / 2)]
                w = weight.w.ravel().copy()
                w[half] = make(plan).w_hat(weight).ravel()[half]
                other.quantizable()[name].data = w.reshape(weight.w.shape)
            x, labels = next(stream)
            assert step.stage == 1
            assert step.loss == ops.softmax_cross_entropy(other(Tensor(x)), labels).item()
            assert step.loss_hat is None
        for name, weight in step.state.weights.items():
            assert weight.frozen.sum() == round(plan.portions[step.stage - 1] * weight.frozen.size)
            if name in seen:
                frozen, w = seen[name]
                assert weight.frozen[frozen].all()
                assert weight.w[frozen].tobytes() == w[frozen].tobytes()
            seen[name] = (weight.frozen.copy(), weight.w.copy())
    assert step.loss == step.loss_hat


def test_inqs_gradient_is_that_of_the_network_and_exactly_0_where_frozen():
    method, w = make(plan_of("inq")), weights()
    weight = method.begin("w", Tensor(w))
    _, at = smooth(weights(seed=1))
    weight.frozen = w > 0.1
    seen = method.objective(at, at, [weight], Moment(1, 0.0))
    np.testing.assert_array_equal(seen.weights[0], np.where(w > 0.1, 0, at([w]).weights[0]))
    assert (seen.sign, seen.perturbation) == (0, None)  # there is no loss perturbation


def test_of_equal_optima_lat_takes_the_one_with_fewest_weights():
    size = np.array([2.0, 6.0, 2.0, 2.0])  # alpha = 6 leaves 3 * 2^2, alpha = 12 / 4 leaves 3^2 + 3 * 1^2: both 12
    assert make(default("lat")).least_error(size, np.ones(4)) == 6


@pytest.mark.parametrize(("name", "levels"), [("lab", (-1, 1)), ("lat", (-1, 0, 1))])
@pytest.mark.parametrize("seed", range(3))
def test_loss_aware_scales_leave_the_least_error_under_the_curvature(name, levels, seed):
    method, w = make(default(name)), weights((1, 7), seed)
    weight = method.begin("w", Tensor(w))
    v = np.random.default_rng(seed).exponential(1.0, w.shape) ** 4  # spread widely: the plain scale is not the best
    candidates = np.array(list(product(levels, repeat=w.size)))

    def least(d: np.ndarray) -> float:
        """Over all codes, each with the alpha of its own weighted least squares."""
        fit, mass = candidates @ (d * w[0]), np.maximum(candidates**2 @ d, 1e-300)
        return float(np.min(d @ w[0] ** 2 - np.maximum(fit, 0) ** 2 / mass))

    assert np.sum((w - method.w_hat(weight)) ** 2) == pytest.approx(least(np.ones(w.size)), rel=1e-12)
    plain = weight.alpha.copy()
    method.follow(weight, 0, None)  # before any gradient all curvatures are alike
    np.testing.assert_allclose(weight.alpha, plain, rtol=1e-12)
    weight.extra["moment"] = v
    method.follow(weight, 0, None)
    d = np.sqrt(v[0]) + 1e-8
    assert d @ (w - method.w_hat(weight))[0] ** 2 == pytest.approx(least(d), rel=1e-12)
    assert abs(weight.alpha.item() / plain.item() - 1) > 0.05
    on = np.abs(w[0]) > weight.alpha.item() / 2 if name == "lat" else np.ones(w.size, bool)
    assert weight.alpha.item() == pytest.approx((d * np.abs(w[0]))[on].sum() / d[on].sum(), rel=1e-12)  # the papers'


@pytest.mark.parametrize("name", ["lab", "lat"])
def test_the_curvature_is_adams(name):
    method, w = make(default(name)), weights()
    weight = method.begin("w", Tensor(w))
    _, at = smooth(weights(seed=1))
    v = np.zeros(w.shape)
    for _ in range(4):
        ghat = at([method.w_hat(weight)]).weights[0]
        seen = method.objective(None, at, [weight], Moment(0, 0.0))  # no pass at W is made
        assert seen.loss is None
        np.testing.assert_allclose(seen.weights[0], ghat, rtol=1e-14)
        v = 0.999 * v + 0.001 * ghat**2
        weight.w = weight.w - 0.05 * ghat
        method.follow(weight, 0, None)
    np.testing.assert_allclose(weight.extra["moment"], v, rtol=1e-12)


@pytest.mark.parametrize("name", RIVALS)
def test_every_weight_of_w_hat_is_on_a_level_and_the_network_learns(name):
    steps = list(quantize(small_net(), batches(), default(name).spread(12), SHORT))
    losses = [step.loss_hat if step.loss is None else step.loss for step in steps]
    assert np.mean(losses[-5:]) < 0.8 * np.log(3)  # log 3: guessing one of three classes
    state = steps[-1].state
    for layer_name, w in state.quantized().items():
        weight = state.weights[layer_name]
        p, n = weight.extra["scales"].ravel() if name == "ttq" else (1, 1)
        allowed = {weight.alpha.item() * np.float32(p), weight.alpha.item() * -np.float32(n)} | (
            {0.0} if name not in ("bwn", "lab") else set()
        )
        assert set(np.unique(w)) <= allowed


@pytest.mark.parametrize("name", RIVALS)
def test_resuming_anywhere_gives_the_same_bits(name, tmp_path):
    plan = plan_of(name)
    whole = list(quantize(small_net(), batches(), plan, SHORT))
    expected = {n: w.tobytes() for n, w in whole[-1].state.quantized().items()}
    for stop in (1, 4, len(whole) - 1):
        for step in quantize(small_net(), batches(), plan, SHORT):
            if step.step == stop:
                step.state.save(tmp_path / "run")
                break
        net = small_net(seed=99)
        state = State.load(tmp_path / "run", net)
        *_, last = quantize(net, batches(), state.plan, state=state)
        assert {n: w.tobytes() for n, w in last.state.quantized().items()} == expected


def test_stage_0_is_left_out_where_its_epochs_are_0():
    plan = Plan(sigma2=(0.3, 0.0), epochs=(0, 1.0, 0.5))
    steps = list(quantize(small_net(), batches(), plan, SHORT))
    assert [step.stage for step in steps] == [1] * 4 + [2] * 2
    assert 0 < steps[0].frozen < steps[-1].frozen == 1


def test_a_plan_that_does_not_fit_its_method_is_refused():
    for values, words in (
        ({"method": "bwn", "levels": "ternary"}, "bwn has no choice of levels: wanted 'binary', given 'ternary'"),
        ({"method": "twn", "a1": 0.5}, "twn has no choice of a1"),
        ({"method": "ttq", "sigma2": (0.0,), "epochs": (1, 1)}, "ttq has no choice of sigma2"),
        ({"method": "inq", "scale": "l2"}, "inq has no choice of scale"),
        ({"method": "inq", "order": "random"}, "inq has no choice of order"),
        ({"method": "inq", "order": "random", "order_seed": 1}, "inq has no choice of order"),
        ({"method": "order", "sigma2": (0.1,)}, "order has no choice of sigma2"),
        ({"method": "elq", "portions": (1.0,)}, "no such option: portions"),
        ({"method": "elq", "order": "magnitude"}, "no such option: order"),
    ):
        with pytest.raises(ValueError, match=words):
            make(plan_from_json(default(values["method"]).to_json() | values))
    for name, plan in (("inq", Plan(method="inq")), ("elq", OrderPlan(method="elq"))):
        with pytest.raises(ValueError, match=f"method {name} has plans of (OrderPlan|Plan), given a (OrderPlan|Plan)"):
            make(plan)
    for epochs in ((0.0,), (1.0, 0.0), (-1.0, 1.0)):
        with pytest.raises(ValueError, match="epochs is"):
            Plan(sigma2=(0.0,) * (len(epochs) - 1), epochs=epochs)
    with pytest.raises(ValueError, match="one for each of portions"):
        plan_of("inq", epochs=(1.0,))
    assert all(make(default(name)).plan.method == name for name in METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_a_plan_comes_back_from_its_json_in_its_own_class(name):
    plan = default(name, ("a", "b"))
    for short in (False, True):
        back = plan_from_json(json.loads(json.dumps(plan.to_json(short=short))))
        assert (type(back), back) == (METHODS[name].plan_type, plan)
    assert plan_for(name, epochs=plan.epochs, restart=plan.restart, keep_float=plan.keep_float) == plan


def test_ttq_keeps_the_first_and_the_last_layer_in_float():
    assert default("ttq", ("a", "b", "c")).keep_float == ("a", "c")
    assert default("inq", ("a", "b", "c")).keep_float == ()


@pytest.mark.parametrize("name", RIVALS)
def test_the_command_makes_a_packed_file(name, tmp_path, capsys):
    trained, out = tmp_path / "float.safetensors", tmp_path / "run"
    data = ["--data", "digits"]
    assert main(["train", "--model", "digits_cnn", *data, "--epochs", "0.2", "-o", str(trained)]) == 0
    command = ["quantize", str(trained), *data, "--method", name, "--epochs", "0.6", "-o", str(out)]
    assert main(command) == 0
    assert ("packed as float32" in capsys.readouterr().out) == (name == "ttq")
    result = json.loads((out / "result.json").read_text())
    packed = PackedNetwork.load(out / "net.elq")
    small = result["weight_bytes"] < result["float_bytes"] / 15
    assert small == (name != "ttq")
    assert result["packed_as_float"] == (["conv2.weight", "conv3.weight"] if name == "ttq" else [])
    _, test = digits()
    assert int((interpret(packed.graph, test.normalized()).argmax(1) == test.labels).sum()) == result["correct"]
    bits = (out / "net.elq").read_bytes()
    assert main([*command, "--resume"]) == 0
    assert (out / "net.elq").read_bytes() == bits
