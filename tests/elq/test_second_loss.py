"""The second loss with only group 1 quantized: its gradient by PyTorch's autograd, and what a run makes of it."""

from dataclasses import replace

import numpy as np
import pytest
from small_runs import PLAN, batches, small_net

from elq_ref import SGD, Plan, State, Tensor, crosscheck, objective, ops, quantize
from elq_ref.elq.gradients import Pass
from elq_ref.methods import plan_for

GROUPS = replace(PLAN, second_loss="group1", a1=0.6)


@pytest.mark.parametrize("perturbation", ["abs", "positive"])
@pytest.mark.parametrize("seed", range(6))
def test_the_gradient_is_that_of_pytorch(seed, perturbation):
    """Of J written as its definition; L is a small network of two weights and a bias."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    x, y = torch.tensor(rng.standard_normal((5, 4))), torch.tensor(rng.standard_normal((5, 2)))
    given = [rng.standard_normal((4, 3)), rng.standard_normal((3, 2))]
    frozen = [rng.random(a.shape) < 0.4 for a in given]
    hats = [np.where(np.abs(a) > 0.5, np.sign(a), 0.0) for a in given]
    bias = torch.tensor(rng.standard_normal(3), requires_grad=True)

    def loss(weights):
        return ((torch.tanh(x @ weights[0] + bias) @ weights[1] - y) ** 2).mean()

    def forward(weights):
        leaves = [torch.tensor(a, requires_grad=True) for a in weights]
        value = loss(leaves)
        *grads, shared = torch.autograd.grad(value, [*leaves, bias])
        return Pass(value.item(), [g.numpy() for g in grads], [shared.numpy()])

    free = [torch.tensor(a, requires_grad=True) for a in given]
    groups = list(zip(frozen, free, given, hats, strict=True))
    b = [torch.where(torch.tensor(f), torch.tensor(a), p) for f, p, a, _ in groups]
    w = [torch.where(torch.tensor(f), torch.tensor(hat), p) for f, p, _, hat in groups]
    first, second = loss(b), loss(w)
    lp = (first - second).abs() if perturbation == "abs" else torch.relu(second - first)
    j = first + 0.6 * lp + 0.3 * sum(((a - torch.tensor(hat)) ** 2).sum() for a, hat in zip(w, hats, strict=True))
    *wanted, shared = torch.autograd.grad(j, [*free, bias])

    stands = [np.where(f, hat, a) for f, _, a, hat in groups]
    plan = Plan(second_loss="group1", a1=0.6, a2=0.3, sign="computed", perturbation=perturbation)
    seen = objective(forward, stands, hats, plan, frozen=frozen, before=given)
    for got, want in zip([*seen.weights, *seen.shared], [*wanted, shared], strict=True):
        np.testing.assert_allclose(got, want.numpy(), rtol=1e-12, atol=1e-13)
    assert seen.value == pytest.approx(j.item(), rel=1e-13)
    assert (seen.loss, seen.loss_hat) == (pytest.approx(second.item(), rel=1e-14), None)


def test_the_points_above_have_both_signs():
    """Of first - second: otherwise half of the formula is unseen. Without PyTorch, by the package's operations."""
    found = set()
    for seed in range(6):
        rng = np.random.default_rng(seed)
        x, y = rng.standard_normal((5, 4)), rng.standard_normal((5, 2))
        given = [rng.standard_normal((4, 3)), rng.standard_normal((3, 2))]
        frozen = [rng.random(a.shape) < 0.4 for a in given]
        bias = rng.standard_normal(3)
        stands = [
            np.where(f & (np.abs(a) > 0.5), np.sign(a), np.where(f, 0, a)) for f, a in zip(frozen, given, strict=True)
        ]
        first, second = (((np.tanh(x @ u + bias) @ v - y) ** 2).mean() for u, v in (given, stands))
        found.add(np.sign(first - second))
    assert found == {-1.0, 1.0}


def test_before_the_first_freeze_it_is_float_training():
    plan = replace(GROUPS, a2=0.0)
    ours = [
        step.state.net.state_dict() for step in quantize(small_net(), batches(), plan, SGD(0.05)) if step.stage == 0
    ]
    floats = quantize(small_net(), batches(), replace(plan, keep_float=("0.weight", "4.weight")), SGD(0.05))
    theirs = [step.state.net.state_dict() for step in floats if step.stage == 0]
    for name, value in ours[-1].items():
        np.testing.assert_array_equal(value, theirs[-1][name], err_msg=name)


def test_with_the_sign_assumed_the_free_weights_train_in_the_network_as_it_stands():
    """a1 = 1, s = -1: dL(W) alone, as inq has it and as a1 = 0 has it, in one pass, to the bit."""
    plan = Plan(sigma2=PLAN.sigma2, epochs=PLAN.epochs, second_loss="group1")
    other = replace(plan, second_loss="whole", a1=0.0)
    for ours, theirs in zip(
        *(quantize(small_net(), batches(), p, SGD(0.05)) for p in (plan, other)), strict=True
    ):  # fmt: skip
        assert ours.loss == (theirs.loss if theirs.loss is not None else theirs.loss_hat)
        assert ours.objective is None  # no pass at B
        for name, weight in ours.state.weights.items():
            assert weight.w.tobytes() == theirs.state.weights[name].w.tobytes()
    assert ours.loss_hat == ours.loss  # all is frozen


def test_the_first_loss_is_of_the_values_before_each_freeze(tmp_path):
    """L(B) by hand at every step, what is frozen kept by who watches; and over a save."""
    net, seen, kept = small_net(), [], {}
    run = quantize(net, batches(), GROUPS, SGD(0.05))
    stream = iter([pair for epoch in range(3) for pair in batches().epoch(epoch)])
    before = {n: (p.data, np.zeros(p.shape, bool)) for n, p in net.quantizable().items()}
    shared = {n: p.data for n, p in net.named_parameters() if n not in before}
    for step in run:
        weights = step.state.weights
        for name, (w, frozen) in before.items():  # what froze at this step held `w` until then
            now = weights[name].frozen & ~frozen
            kept[name] = np.where(now, w, kept.get(name, 0.0))
        twin = small_net().train()
        parameters = dict(twin.named_parameters())
        for name, value in shared.items():
            parameters[name].data = value
        for name, (w, _) in before.items():
            parameters[name].data = np.where(weights[name].frozen, kept[name], w).astype(np.float32)
        x, labels = next(stream)
        first = ops.softmax_cross_entropy(twin(Tensor(x)), labels).item()
        assert step.perturbation == pytest.approx(abs(first - step.loss), abs=1e-7)
        seen.append(step.perturbation)
        before = {n: (weight.w, weight.frozen) for n, weight in weights.items()}
        shared = {n: p.data for n, p in net.named_parameters() if n not in weights}
        if step.step == 7:
            step.state.save(tmp_path / "run")
    assert max(seen[:4]) == 0  # nothing is frozen
    assert min(seen[4:]) > 0
    again = small_net(seed=3)
    state = State.load(tmp_path / "run", again)
    assert [step.perturbation for step in quantize(again, batches(), GROUPS, state=state)] == seen[7:]


def test_what_has_no_such_second_loss_says_so():
    for change in ({"gradient": "constant"}, {"gradient": "taylor-inner"}, {"scope": "layer"}):
        with pytest.raises(ValueError, match="second_loss group1 has one gradient, the exact one: wanted gradient"):
            replace(GROUPS, **change)
    with pytest.raises(ValueError, match="second_loss is 'mixed', wanted one of whole, group1"):
        Plan(second_loss="mixed")
    with pytest.raises(ValueError, match="wanted whole, given group1"):
        crosscheck.record(small_net(), batches(), GROUPS)
    assert plan_for("order", second_loss="group1").second_loss == "group1"
