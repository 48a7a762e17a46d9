"""The loop: what freezes stays, what is resumed goes on to the same bits, what the options say happens."""

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from children import run_python
from small_runs import batches, small_net

from elq_ref import SGD, Batches, Plan, State, Tensor, checkpoint, no_grad, ops, quantize
from elq_ref.errors import FormatError
from elq_ref.methods import OrderPlan, plan_for
from elq_ref.models import digits_cnn
from elq_ref.nn import BatchNorm2d, Flatten, Linear, Sequential
from elq_ref.tensor import record
from elq_ref.training.evaluate import count_correct, reestimate, standing_on
from elq_ref.training.float_training import fit
from elq_ref.training.stages import LazyPass, freeze
from elq_ref.training.state import sealed

PLAN = Plan("ternary", sigma2=(0.3, 0.1, 0.0), epochs=(1.0, 0.5, 0.5, 0.5), sign="computed", a1=0.7, a2=1e-3)


def ordered(**options) -> OrderPlan:
    """PLAN, but that stages freeze by order."""
    given = {**PLAN.to_json(), "method": "order", "sigma2": Plan().sigma2, "portions": (0.3, 0.6, 1.0)}
    return OrderPlan(**given | options)


def finished(plan: Plan, **options) -> State:
    *_, last = quantize(small_net(), batches(), plan, SGD(0.05, weight_decay=1e-3, **options))
    return last.state


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


@pytest.mark.parametrize("order", [None, "magnitude", "random"])
def test_resuming_anywhere_gives_the_same_bits(tmp_path, order):
    plan, sgd = PLAN if order is None else ordered(order=order), SGD(0.05, weight_decay=1e-3, nesterov=True)
    plan = replace(plan, alpha_from="stage0", tail="pull")
    whole = list(quantize(small_net(), batches(), plan, sgd))
    reference = {n: a.tobytes() for n, a in whole[-1].state.net.state_dict().items()}
    losses = [step.loss_hat for step in whole]
    for stop in (0, 1, 3, 4, 5, len(whole) - 1):  # inside stages and at their ends
        path = tmp_path / f"{stop}.safetensors"
        for step in quantize(small_net(), batches(), plan, sgd):
            if step.step == stop + 1:
                step.state.save(path)
                break
        net = small_net(seed=99)
        state = State.load(path, net)
        assert state.differences == []
        rest = list(quantize(net, batches(), state.plan, state=state))
        assert [step.loss_hat for step in rest] == losses[stop + 1 :]
        assert {n: a.tobytes() for n, a in net.state_dict().items()} == reference


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


def test_no_epochs_leave_stage_0_out_resumed_too(tmp_path):
    plan = replace(PLAN, epochs=(0.0, 0.5, 0.5, 0.5))
    whole = []
    for step in quantize(small_net(), batches(), plan, SGD(0.05)):
        whole.append((step.stage, step.index, step.frozen, step.loss_hat))
        if step.stage == 2 and step.index == 0:
            step.state.save(tmp_path / "run.safetensors")
    assert [stage for stage, *_ in whole] == [1, 1, 2, 2, 3, 3]
    assert whole[0][2] > 0
    net = small_net(seed=99)
    state = State.load(tmp_path / "run.safetensors", net)
    rest = quantize(net, batches(), plan, state=state)
    assert [(step.stage, step.index, step.frozen, step.loss_hat) for step in rest] == whole[3:]


def test_a_run_whose_arrays_do_not_fit_is_refused(tmp_path):
    path = tmp_path / "run.safetensors"
    next(iter(quantize(small_net(), batches(), PLAN, SGD(0.05)))).state.save(path)
    whole = checkpoint.read(path)
    tensors = whole.tensors
    frozen, alpha = "elq/frozen/4.weight", "elq/alpha/4.weight"
    for name, damaged in (
        (frozen, tensors[frozen][:2]),
        (frozen, tensors[frozen].astype(np.int8)),
        (alpha, tensors[alpha].reshape(1)),
        (alpha, tensors[alpha].astype(np.float64)),
    ):
        checkpoint.write(path, {**tensors, name: damaged}, sealed({**tensors, name: damaged}, whole.metadata))
        with pytest.raises(FormatError, match=r"4\.weight is float32 \(3, 180\)"):
            State.load(path, small_net())


LONG = ["x" * 30] * 30


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [
        ((), {"kind": LONG}, "is a .*, wanted a saved quantization run"),
        ((), {"kind": "network"}, "is a 'network', wanted a saved quantization run"),
        (("run", "plan"), {"method": LONG}, r"lacks or misstates|there is no method"),
        (("run", "plan"), {"sigma2": LONG}, "sigma2 is"),
        (("run", "plan"), {"x" * 1000: 1}, "no such option: xxx"),
        (("run", "plan"), {"momentum_at_freeze": "x" * 1000}, "momentum_at_freeze is 'xxx"),
        (("run", "sgd"), {"x" * 1000: 1}, "unexpected keyword"),
        (("run", "sgd", "schedule"), {"shape": "x" * 1000}, "schedule shape is 'xxx"),
    ],
)
def test_a_run_that_says_something_long_is_refused_in_a_short_line(tmp_path, where, value, words):
    path = tmp_path / "run.safetensors"
    next(iter(quantize(small_net(), batches(), PLAN, SGD(0.05)))).state.save(path)
    file = checkpoint.read(path)
    metadata = json.loads(json.dumps(file.metadata))
    inner = metadata
    for key in where:
        inner = inner[key]
    inner.update(value)
    checkpoint.write(path, file.tensors, sealed(file.tensors, metadata))
    with pytest.raises(FormatError, match=words) as caught:
        State.load(path, small_net())
    assert len(str(caught.value)) < len(str(path)) + 300


def test_every_flipped_bit_of_a_saved_run_is_one_line(tmp_path):
    path = tmp_path / "run.safetensors"
    next(iter(quantize(small_net(), batches(), PLAN, SGD(0.05)))).state.save(path, seconds=1.5)
    assert State.load(path, small_net()).step == 1
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in [*range(0, 64), *rng.integers(0, len(whole), 200)]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(FormatError) as caught:
            State.load(path, small_net())
        assert "\n" not in str(caught.value), place


@pytest.mark.parametrize(
    "place",
    [(99, 0, 1), (-1, 0, 1), (0, 4, 4), (0, -1, 1), (0, 1, 10**18), (4, 1, 11), (1, 0, 1), (0, 1.0, 1), ("0", 1, 1)],
)
def test_a_place_where_no_run_stands_is_refused(tmp_path, place):
    path = tmp_path / "run.safetensors"
    next(iter(quantize(small_net(), batches(), PLAN, SGD(0.05)))).state.save(path)
    file = checkpoint.read(path)
    run = file.metadata["run"] | dict(zip(("stage", "index", "step"), place, strict=True))
    checkpoint.write(path, file.tensors, sealed(file.tensors, file.metadata | {"run": run}))
    net = small_net()
    with pytest.raises(FormatError, match=r"stands at stage .* its stages have 4, 2, 2, 2 steps|lacks or misstates"):
        quantize(net, batches(), PLAN, state=State.load(path, net))


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


def test_a_batch_of_one_picture_that_is_not_reached_or_does_no_harm_is_trained_on():
    half = replace(PLAN, sigma2=(), epochs=(0.5,))
    assert len(list(quantize(flat_net(), columns(17, 8), half))) == 2
    net = small_net()  # its BatchNorm sees 36 values of one picture
    assert len(list(quantize(net, columns(17, 16), replace(PLAN, epochs=(1.0, 1.0, 1.0, 1.0))))) == 8


def test_trainings_in_two_threads_do_not_wait_for_each_other():
    """The backward pass of one goes on while that of another is held."""
    x = [Tensor(np.ones(1), requires_grad=True) for _ in range(2)]
    entered, go_on = threading.Event(), threading.Event()

    def held(dy):
        entered.set()
        assert go_on.wait(60)
        return (dy,)

    how = (held, lambda dy: (dy,))
    passes = [LazyPass(record("own", t.data + 0, (t,), f), [t], []) for t, f in zip(x, how, strict=True)]
    with ThreadPoolExecutor() as threads:
        first = threads.submit(lambda: passes[0].weights)
        assert entered.wait(60)
        try:
            assert threads.submit(lambda: passes[1].weights).result(timeout=30)[0] == 1
        finally:
            go_on.set()
        assert first.result(timeout=60)[0] == 1


FORKS = """
import os, sys, threading, time, warnings
sys.path.insert(0, sys.argv[1])
warnings.simplefilter("ignore")
from small_runs import batches, small_net
from elq_ref import Plan, quantize
PLAN = Plan(sigma2=(0.0,), epochs=(50.0, 50.0))
def train(count):
    for step in quantize(small_net(), batches(), PLAN):
        if step.step == count: return
train(1)  # what is imported late is: a child forked during an import would wait for it for ever
thread = threading.Thread(target=train, args=(400,), daemon=True)
thread.start()
for _ in range(12):
    child = os.fork()
    if not child:
        train(2)
        os._exit(0)
    end = time.monotonic() + 20
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        if time.monotonic() > end:
            os.kill(child, 9)
            sys.exit("a child hangs")
        time.sleep(0.005)
print("well", thread.is_alive())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is POSIX's")
def test_a_child_forked_while_another_thread_trains_trains_too():
    done = run_python(FORKS, str(Path(__file__).parents[1]), ELQ_NUM_THREADS="2")
    assert done.stdout.startswith("well"), done.stderr


def test_codes_and_scale_are_what():
    state = next(iter(quantize(small_net(), batches(), PLAN, SGD(0.05)))).state
    assert list(state.codes()) == ["0.weight", "4.weight"]
    for name, (codes, alpha) in state.codes().items():
        assert codes.dtype == np.int8
        np.testing.assert_array_equal(codes * alpha, state.quantized()[name])


def test_two_scales_a_layer_have_no_codes():
    state = next(iter(quantize(small_net(), batches(), plan_for("ttq", epochs=(1.0,)), SGD(0.05)))).state
    with pytest.raises(ValueError, match=r"W_hat of ttq is not alpha \* codes"):
        state.codes()


def test_a_run_is_resumed_only_with_its_own_batches_and_plan(tmp_path):
    path = tmp_path / "run.safetensors"
    next(iter(quantize(small_net(), batches(), PLAN, SGD(0.05)))).state.save(path)
    net = small_net()
    state = State.load(path, net)
    with pytest.raises(ValueError, match="batch_size"):
        quantize(net, batches(batch_size=8), state.plan, state=state)
    with pytest.raises(ValueError, match="another plan"):
        quantize(net, batches(), replace(PLAN, a1=0.1), state=state)
    with pytest.raises(ValueError, match="do not fit"):
        State.load(path, digits_cnn())


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


def test_reestimation_is_the_mean_of_the_batch_statistics():
    net = small_net()
    reestimate(net, batches(), 3)
    conv = net.quantizable()["0.weight"]
    means = [ops.conv2d(Tensor(x), conv, padding=1).data.mean((0, 2, 3)) for x, _ in list(batches().epoch(0))[:3]]
    np.testing.assert_allclose(dict(net.named_buffers())["1.running_mean"], np.mean(means, 0), rtol=1e-5, atol=1e-6)


def test_a_network_without_parameters_is_evaluated_too():
    data = batches().dataset
    outputs = data.normalized().reshape(60, -1)
    assert count_correct(Sequential(Flatten()), data) == (outputs.argmax(1) == data.labels).sum()


def test_standing_on_puts_everything_back():
    net = small_net()
    before = {n: a.tobytes() for n, a in net.state_dict().items()}
    with standing_on(net, {"4.weight": np.zeros((3, 180), np.float32)}, batches(), 2):
        assert not net.quantizable()["4.weight"].data.any()
    assert {n: a.tobytes() for n, a in net.state_dict().items()} == before
