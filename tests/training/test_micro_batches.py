"""Micro-batches: gradients, losses and running averages against PyTorch's accumulation and against their definition."""

from dataclasses import replace

import numpy as np
import pytest
from small_runs import PLAN, batches, small_net

from elq_ref import SGD, Batches, Plan, State, Tensor, no_grad, ops, quantize
from elq_ref.elq.gradients import Pass
from elq_ref.methods import plan_for
from elq_ref.nn import BatchNorm2d, Dropout, Flatten, Linear, Sequential
from elq_ref.parallel import ALONE, World
from elq_ref.training.evaluate import reestimate
from elq_ref.training.float_training import fit
from elq_ref.training.micro_batches import Share, SharedPass, shares
from elq_ref.training.sgd import Schedule


def cut(batch_size: int, micro_batch: int | None, pictures: int = 60) -> Batches:
    base = batches()
    data = base.dataset.subset(slice(pictures))
    return Batches(data, batch_size, augment=base.augment, micro_batch=micro_batch)


def trained(data: Batches, net, plan: Plan = PLAN) -> State:
    *_, last = quantize(net, data, plan, SGD(0.05, weight_decay=1e-3))
    return last.state


@pytest.mark.torch
def test_micro_batches_are_what_pytorch_accumulates():
    torch = pytest.importorskip("torch")
    data = cut(24, 8)  # 24, 24 and 12 pictures: 3, 3 and 2 micro-batches, the last one of 4
    net = small_net()
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(1, 5, 3, padding=1, bias=False), torch.nn.BatchNorm2d(5), torch.nn.ReLU(), torch.nn.Flatten(),
        torch.nn.Linear(180, 3),
    )  # fmt: skip
    theirs.load_state_dict({k: torch.tensor(v) for k, v in net.state_dict().items()}, strict=False)
    theirs.double()
    optimizer = torch.optim.SGD(theirs.parameters(), 0.05, momentum=0.9)
    losses = [step.loss_hat for step in fit(net, data, 1, SGD(0.05, schedule=Schedule("constant")))]
    expected = []
    for x, labels in data.epoch(0):
        optimizer.zero_grad()
        total = 0.0
        for first in range(0, len(x), 8):
            part = torch.tensor(x[first : first + 8]).double(), torch.tensor(labels[first : first + 8])
            loss = torch.nn.functional.cross_entropy(theirs(part[0]), part[1]) * (len(part[1]) / len(x))
            loss.backward()
            total += loss.item()
        optimizer.step()
        expected.append(total)
    np.testing.assert_allclose(losses, expected, rtol=2e-6)
    for name, value in theirs.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            np.testing.assert_allclose(net.state_dict()[name], value.numpy(), rtol=1e-4, atol=2e-6, err_msg=name)


def test_a_batch_that_is_one_micro_batch_has_the_bits_of_before():
    whole, one = (trained(cut(16, size), small_net()).net.state_dict() for size in (None, 16))
    assert all(whole[name].tobytes() == one[name].tobytes() for name in whole)


def test_without_batchnorm_micro_batches_change_roundings_alone():
    def net() -> Sequential:
        return Sequential(Flatten(), Dropout(0.3), Linear(36, 8, rng=np.random.default_rng(1)), Linear(8, 3))

    plan = replace(PLAN, levels="binary", sign="assumed")
    whole, parts = (trained(cut(20, size), start(net()), plan).net.state_dict() for size in (None, 4))
    for name, value in whole.items():
        np.testing.assert_allclose(parts[name], value, rtol=1e-3, atol=1e-5, err_msg=name)
    assert any((parts[name] != value).any() for name, value in whole.items())


def start(net: Sequential) -> Sequential:
    rng = np.random.default_rng(4)
    for _, p in net.named_parameters():
        p.data = rng.standard_normal(p.shape).astype(np.float32) * np.float32(0.2)
    return net


def test_running_averages_follow_one_micro_batch_after_the_other():
    data, net = cut(12, 4, 24), small_net()
    mean, var = np.zeros(5), np.ones(5)
    convolution = net[0].weight.data.copy()
    step = next(iter(fit(net, data, 1, SGD(1e-12))))
    assert step.index == 0
    x, _ = next(data.epoch(0))
    for first in range(0, 12, 4):
        with no_grad():
            y = ops.conv2d(Tensor(x[first : first + 4]), Tensor(convolution), padding=1).data.astype(np.float64)
        mean += 0.1 * (y.mean((0, 2, 3)) - mean)
        var += 0.1 * (y.var((0, 2, 3), ddof=1) - var)
    np.testing.assert_allclose(net[1].running_mean, mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(net[1].running_var, var, rtol=1e-5)


def test_reestimated_statistics_are_means_over_micro_batches():
    data, net = cut(24, 8), small_net()
    reestimate(net, data, 3)
    with no_grad():
        seen = [
            ops.conv2d(Tensor(x[first : first + 8]), net[0].weight, padding=1).data.astype(np.float64)
            for x, _ in data.epoch(0)
            for first in range(0, len(x), 8)
        ]
    assert [len(y) for y in seen] == [8] * 7 + [4]
    np.testing.assert_allclose(net[1].running_mean, np.mean([y.mean((0, 2, 3)) for y in seen], 0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(net[1].running_var, np.mean([y.var((0, 2, 3), ddof=1) for y in seen], 0), rtol=1e-5)
    assert net[1].momentum == 0.1


@pytest.mark.parametrize("plan", [plan_for("ttq", epochs=(1.0,)), plan_for("lab", epochs=(1.0,)), plan_for("parq")])
def test_other_methods_go_by_micro_batches_too(plan):
    net = small_net()
    assert trained(cut(24, 8), net, plan).done
    assert all(np.isfinite(value).all() for value in net.state_dict().values())


def test_a_run_goes_on_with_the_same_micro_batches_only(tmp_path):
    whole = trained(cut(24, 8), small_net())
    for step in quantize(small_net(), cut(24, 8), PLAN, SGD(0.05, weight_decay=1e-3)):
        if step.step == 4:
            step.state.save(tmp_path / "run.safetensors")
            break
    net = small_net(1)
    state = State.load(tmp_path / "run.safetensors", net)
    with pytest.raises(ValueError, match=r"'micro_batch': 8.*given.*'micro_batch': 4"):
        quantize(net, cut(24, 4), PLAN, state=state)
    with pytest.raises(ValueError, match="'micro_batch': 8"):
        quantize(net, cut(24, None), PLAN, state=state)
    for _ in quantize(net, cut(24, 8), PLAN, state=state):
        pass
    assert all(value.tobytes() == net.state_dict()[name].tobytes() for name, value in whole.net.state_dict().items())


def test_sizes_that_do_not_fit_are_refused():
    for size in (0, -1, 5, 48):
        with pytest.raises(ValueError, match=f"micro-batches of {size} in batches of 24: wanted a divisor of 24"):
            cut(24, size)
    with pytest.raises(TypeError, match=r"micro_batch is 2\.0"):
        cut(24, 2.0)


def test_a_micro_batch_of_one_picture_is_known_before_the_first_step():
    net = Sequential(Flatten(), Linear(36, 4), BatchNorm2d(4), Linear(4, 3))
    said = "57 pictures in batches of 16, micro-batches of 8, leave a batch of one"
    with pytest.raises(ValueError, match=said):  # 16, 16, 16, 9: the last micro-batch has one
        quantize(net, cut(16, 8, 57), PLAN)
    with pytest.raises(ValueError, match="60 pictures in batches of 16, micro-batches of 1, leave a batch of one"):
        quantize(net, cut(16, 1), PLAN)
    quantize(net, cut(16, 8, 58), PLAN)


def test_shares_of_all_epochs_come_one_behind_the_other():
    data = cut(24, 8)
    found = shares(data, 2)
    for number in range(2, 7):
        epoch, batch = divmod(number, 3)
        share = next(found)
        order = data.order(epoch)[24 * batch : 24 * batch + 24]
        assert (share.epoch, share.samples.tolist()) == (epoch, order.tolist())
        assert share.sizes == ((8, 4) if batch == 2 else (8, 8, 8))
        x, labels = next(data.epoch(epoch, batch))
        for k in range(len(share.sizes)):
            micro = share.micro(k)
            assert micro.x.tobytes() == x[8 * k : 8 * k + 8].tobytes()
            assert (micro.samples == order[8 * k : 8 * k + 8]).all()
            assert (micro.labels == labels[8 * k : 8 * k + 8]).all()


@pytest.mark.parametrize("size", [2, 3])
def test_shares_of_several_processes_make_up_those_of_one(size):
    """Batches of 24 pictures by micro-batches of 4: the third one has 12, for three micro-batches."""
    data = cut(24, 4)
    dealt = [
        shares(Batches(data.dataset, 24, augment=data.augment, micro_batch=4, world=World(rank, size)), 0)
        for rank in range(size)
    ]
    for _, whole, *parts in zip(range(4), shares(data, 0), *dealt, strict=False):
        assert {part.sizes for part in parts} == {whole.sizes}
        for name in ("x", "labels", "samples"):
            np.testing.assert_array_equal(np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name))
        assert [part.run[0] for part in parts] == [0, *(part.run[1] for part in parts[:-1])]


def test_a_process_without_a_picture_has_no_whole_batch():
    share = Share(np.zeros((4, 1, 2, 2)), np.zeros(4), 0, 0, np.arange(4), (4,), (0, 1))
    assert share.whole
    assert not replace(share, x=share.x[:0], run=(1, 1)).whole
    assert not replace(share, sizes=(4, 4)).whole


def test_losses_are_summed_in_float64():
    losses = [1 + 1e-12, 2 + 1e-12, 4 - 1e-12]
    made = SharedPass(
        ALONE, (2, 1, 1), lambda k, part: Pass(losses[k], [], []), [], [], np.dtype(np.float32), at_once=False
    )
    assert made.loss == pytest.approx(2.0 + 0.5e-12, abs=1e-15)
