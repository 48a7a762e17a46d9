"""The loop: what freezes stays, what is resumed goes on to the same bits, what the options say happens."""

from dataclasses import replace

import numpy as np
import pytest
from small_runs import PLAN, batches, finished, ordered, small_net

from elq_ref import SGD, Batches, State, Tensor, no_grad, ops, quantize
from elq_ref.training import stages
from elq_ref.training.evaluate import standing_on
from elq_ref.training.float_training import fit
from elq_ref.training.stages import freeze


@pytest.mark.parametrize("levels", ["ternary", "binary"])
@pytest.mark.parametrize("per_channel", [False, True])
def test_every_weight_ends_on_a_level(levels, per_channel):
    state = finished(replace(PLAN, levels=levels, per_channel=per_channel))
    assert state.done
    assert state.share_frozen() == 1
    for name, parameter in state.net.quantizable().items():
        weight = state.weights[name]
        allowed = {"ternary": (-1, 0, 1), "binary": (-1, 1)}[levels]
        on_level = np.any([parameter.data == weight.alpha * np.float32(code) for code in allowed], axis=0)
        assert on_level.all()


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum_at_freeze", ["keep", "reset"])
def test_frozen_weights_never_change_a_bit(nesterov, momentum_at_freeze):
    plan = replace(PLAN, momentum_at_freeze=momentum_at_freeze)
    seen: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    shares = []
    for step in quantize(small_net(), batches(), plan, SGD(0.1, nesterov=nesterov, weight_decay=0.01)):
        shares.append(step.frozen)
        for name, weight in step.state.weights.items():
            if name in seen:
                frozen, w = seen[name]
                assert weight.frozen[frozen].all()  # the set only grows
                assert weight.w[frozen].tobytes() == w[frozen].tobytes()
            seen[name] = (weight.frozen.copy(), weight.w.copy())
            assert not step.state.velocity[name][weight.frozen].any()
            what = step.state.method.w_hat(weight)
            assert what[weight.frozen].tobytes() == weight.w[weight.frozen].tobytes()
    assert shares == sorted(shares)
    assert 0 < shares[len(shares) // 2] < 1


def test_every_stage_starts_its_schedule_anew():
    plan = replace(PLAN, sigma2=(0.2, 0.0), epochs=(1.0, 0.5, 0.75), restart=0.25)
    rates = [step.lr for step in quantize(small_net(), batches(), plan, SGD(0.1))]
    cosine = [(start, t / n) for start, n in ((0.1, 4), (0.025, 2), (0.025, 3)) for t in range(n)]
    np.testing.assert_allclose(rates, [start * (1 + np.cos(np.pi * t)) / 2 for start, t in cosine], rtol=1e-12)
    with pytest.raises(ValueError, match="restart is 0, wanted a share > 0"):
        replace(PLAN, restart=0)


def test_momentum_of_what_stays_free_is_kept_or_reset():
    for word, kept in (("keep", True), ("reset", False)):
        plan = replace(PLAN, momentum_at_freeze=word, sigma2=(0.4, 0.0), epochs=(1.0, 0.25, 0.25))
        run = quantize(small_net(), batches(), plan, SGD(0.05))
        for step in run:
            if step.ends_stage and step.stage == 0:
                break
        velocity = {n: v.copy() for n, v in step.state.velocity.items()}
        freeze(step.state)
        for name, weight in step.state.weights.items():
            free = ~weight.frozen
            expected = velocity[name][free] if kept else 0 * velocity[name][free]
            np.testing.assert_array_equal(step.state.velocity[name][free], expected)


def test_a_freeze_changes_neither_w_hat_nor_its_loss():
    run = quantize(small_net(), batches(), PLAN, SGD(0.05))
    for step in run:
        if step.ends_stage and step.stage == 0:
            break
    state = step.state
    x, labels = next(iter(batches().epoch(5)))

    def pairs(state: State):
        return zip(state.weights.values(), state.quantized().values(), strict=True)

    def loss_of_w_hat():
        with standing_on(state.net, state.quantized(), batches(), 2), no_grad():
            return ops.softmax_cross_entropy(state.net(Tensor(x)), labels).item()

    before, loss = {n: w.tobytes() for n, w in state.quantized().items()}, loss_of_w_hat()
    error = sum(np.sum((weight.w - w) ** 2) for weight, w in pairs(state))
    freeze(state)
    assert state.share_frozen() > 0
    assert {n: w.tobytes() for n, w in state.quantized().items()} == before
    assert loss_of_w_hat() == loss
    after = sum(np.sum((weight.w - w) ** 2) for weight, w in pairs(state))
    assert after < error


def test_by_order_a_stage_freezes_the_largest_or_what_the_seed_says():
    def frozen_first(**order) -> list[np.ndarray]:
        plan = ordered(portions=(0.25, 0.5, 1.0), epochs=(0.0, 0.25, 0.25, 0.25), **order)
        state = next(quantize(small_net(), batches(), plan, SGD(0.05))).state
        return [weight.frozen for weight in state.weights.values()]

    for frozen, w in zip(frozen_first(order="magnitude"), small_net().quantizable().values(), strict=True):
        size = np.abs(w.data)
        assert frozen.sum() == round(size.size / 4)
        assert size[frozen].min() >= size[~frozen].max()
    zero, again, one = (frozen_first(order="random", order_seed=seed) for seed in (0, 0, 1))
    assert all((a == b).all() for a, b in zip(zero, again, strict=True))
    assert all(a.sum() == b.sum() and (a != b).any() for a, b in zip(zero, one, strict=True))


def test_a_step_says_where_it_is():
    steps = list(quantize(small_net(), batches(), PLAN, SGD(0.05)))  # 4 batches an epoch; epochs 1, 1/2, 1/2, 1/2
    assert [step.steps for step in steps] == [4] * 4 + [2] * 6
    assert [step.stage for step in steps] == [0, 0, 0, 0, 1, 1, 2, 2, 3, 3]
    assert [step.index for step in steps] == [0, 1, 2, 3, 0, 1, 0, 1, 0, 1]
    assert [step.ends_stage for step in steps] == [False, False, False, True] + [False, True] * 3
    assert [step.step for step in steps] == list(range(1, 11))
    assert {step.stages for step in steps} == {4}
    short = list(quantize(small_net(), batches(), replace(PLAN, epochs=(0.01, 0.01, 0.01, 0.01)), SGD(0.05)))
    assert [step.stage for step in short] == [0, 1, 2, 3]


def test_a_weight_lives_in_the_network_alone():
    run = quantize(small_net(), batches(), PLAN, SGD(0.05))
    state = next(run).state
    for name, weight in state.weights.items():
        assert weight.parameter is state.net.quantizable()[name]
        weight.w = 2 * weight.w
        np.testing.assert_array_equal(state.net.state_dict()[name], weight.w)
    state.net.astype(np.float32)  # the same numbers in other Tensors
    with pytest.raises(ValueError, match=r"0\.weight of the network was replaced since the run began"):
        next(run)


def test_keep_float_leaves_a_layer_alone():
    state = finished(replace(PLAN, keep_float=("0.weight",)))
    assert list(state.weights) == ["4.weight"]
    assert np.unique(state.net.quantizable()["0.weight"].data).size > 3
    with pytest.raises(ValueError, match=r"nothing\.weight.*0\.weight"):
        quantize(small_net(), batches(), replace(PLAN, keep_float=("nothing.weight",)))


def test_an_unknown_method_is_named():
    with pytest.raises(ValueError, match="no method 'tnw'; there are: elq"):
        quantize(small_net(), batches(), replace(PLAN, method="tnw"))


@pytest.mark.parametrize("alpha_from", ["pretrained", "stage0"])
def test_alpha_is_fixed_from_the_start_or_from_the_first_freeze(alpha_from):
    plan = replace(PLAN, alpha_from=alpha_from)
    start = small_net().quantizable()["4.weight"].data
    expected = np.abs(start).mean() + 0.05 * np.abs(start).max()
    alphas = {}
    for step in quantize(small_net(), batches(), plan, SGD(0.05)):
        weight = step.state.weights["4.weight"]
        alphas.setdefault(step.stage, set()).add(weight.alpha.item())
        if step.stage == 0 and alpha_from == "stage0":
            size = np.abs(weight.w)
            assert weight.alpha.item() == pytest.approx(size.mean() + 0.05 * size.max(), rel=1e-6)
    assert len(set.union(*(alphas[k] for k in alphas if k > 0))) == 1
    if alpha_from == "pretrained":
        assert alphas[0] == alphas[1]
        assert alphas[0].pop() == pytest.approx(expected, rel=1e-6)
    else:
        assert len(alphas[0]) > 1
        assert alphas[1] <= alphas[0]


def test_clip_leaves_nothing_beyond_alpha_and_last_does():
    for tail, beyond in (("clip", False), ("last", True)):
        for step in quantize(small_net(), batches(), replace(PLAN, tail=tail), SGD(0.05)):
            if step.stage == 0:
                weight = step.state.weights["4.weight"]
                assert (np.abs(weight.w) > weight.alpha).any() == beyond


def test_running_averages_follow_the_pass_at_what():
    net = small_net()
    step = next(iter(quantize(net, batches(), PLAN, SGD(0.05))))
    fresh = small_net()
    hats = State.start(small_net(), PLAN, SGD(), batches()).quantized()
    for name, parameter in fresh.quantizable().items():
        parameter.data = hats[name]
    x, _ = next(iter(batches().epoch(0)))
    fresh.train()(Tensor(x))
    for (_, ours), (_, theirs) in zip(step.state.net.named_buffers(), fresh.named_buffers(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_float_training_is_plain_sgd():
    net, other = small_net(), small_net()
    steps = list(fit(net, batches(), 1.0, SGD(0.1, momentum=0.9, weight_decay=0.01)))
    assert all(step.loss == step.loss_hat for step in steps)
    velocity = {n: 0.0 for n, _ in other.named_parameters()}
    other.train()
    for t, (x, labels) in enumerate(batches().epoch(0)):
        other.zero_grad()
        ops.softmax_cross_entropy(other(Tensor(x)), labels).backward()
        lr = 0.1 * (1 + np.cos(np.pi * t / 4)) / 2
        for name, p in other.named_parameters():
            velocity[name] = np.float32(0.9) * velocity[name] + (p.grad + np.float32(0.01) * p.data)
            p.data = (p.data - np.float32(lr) * velocity[name]).astype(np.float32)
    for (name, ours), (_, theirs) in zip(net.named_parameters(), other.named_parameters(), strict=True):
        np.testing.assert_allclose(ours.data, theirs.data, rtol=2e-5, atol=2e-6, err_msg=name)


def twice(outputs: Tensor, labels: np.ndarray) -> Tensor:
    """2 L: at half the rate its steps are those of L to the bit, for a factor 2 is exact."""
    loss = ops.softmax_cross_entropy(outputs, labels)
    return ops.add(loss, loss)


def test_a_loss_of_ones_own_is_what_is_minimised():
    for train in (
        lambda net, sgd, **loss: fit(net, batches(), 2.0, sgd, **loss),
        lambda net, sgd, **loss: quantize(net, batches(), replace(PLAN, a2=0.0), sgd, **loss),
    ):
        net, other = small_net(), small_net()
        steps = list(train(net, SGD(0.1)))
        doubled = list(train(other, SGD(0.05), loss=twice))
        assert [2 * step.loss for step in steps] == [step.loss for step in doubled]
        assert [2 * step.loss_hat for step in steps] == [step.loss_hat for step in doubled]
        for name, value in net.state_dict().items():
            np.testing.assert_array_equal(value, other.state_dict()[name], err_msg=name)


@pytest.mark.parametrize(
    ("loss", "given"), [(lambda z, _: z, r"a Tensor \(16, 3\)"), (lambda z, _: float(z.data.mean()), "a float")]
)
def test_a_loss_that_is_no_number_is_refused(loss, given):
    with pytest.raises(ValueError, match=f"the loss gives {given}, wanted a Tensor of one number"):
        next(fit(small_net(), batches(), 1.0, loss=loss))


def test_processes_are_compared_before_the_first_step_and_at_the_end_of_every_stage(monkeypatch):
    compared = []
    monkeypatch.setattr(stages, "check_agreement", lambda state, _: compared.append((state.stage, state.index)))
    run = quantize(small_net(), batches(), PLAN, SGD(0.05))
    ends = [(0, 0)]
    for step in run:
        ends += [(step.stage + 1, 0)] * step.ends_stage
        assert compared == ends
    assert len(ends) == 1 + PLAN.stages


@pytest.mark.parametrize(("a1", "wanted"), [(0.7, [True] * 3), (0.0, [False, False, True])])
def test_a_backward_pass_is_made_at_once_only_where_it_is_needed_in_any_case(a1, wanted, monkeypatch):
    """With a1 = 0 the gradients at W_hat are needed when nothing is free: W is W_hat then."""
    asked = {}

    class Watched(stages.SharedPass):
        def __init__(self, *given, at_once):
            asked.setdefault(state.stage, []).append(at_once)
            super().__init__(*given, at_once=at_once)

    monkeypatch.setattr(stages, "SharedPass", Watched)
    data = batches()
    cut = Batches(data.dataset, 16, augment=data.augment, micro_batch=8)
    plan = replace(PLAN, sigma2=(0.3, 0.0), epochs=(0.25,) * 3, a1=a1)
    net = small_net()
    state = State.start(net, plan, SGD(0.05), cut)
    state.weights["4.weight"].frozen[...] = True  # one layer has nothing that is free
    state.method.settle(state.weights["4.weight"], state.weights["4.weight"].frozen)
    list(quantize(net, cut, plan, state=state))
    aside = [False]  # the pass at W: whether its gradients are asked for is not known before
    assert asked == {0: wanted[:1] + aside, 1: wanted[1:2] + aside, 2: wanted[2:]}


def test_a_step_takes_the_memory_of_the_old_velocity():
    net = small_net()
    state = State.start(net, PLAN, SGD(0.05), batches())
    run, before = quantize(net, batches(), PLAN, state=state), dict(state.velocity)
    next(run)
    assert all(state.velocity[name] is v for name, v in before.items())
