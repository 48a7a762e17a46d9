"""One module, parameter or buffer under several names: listed once, trained once, packed as one weight."""

import numpy as np
import pytest
from small_runs import batches

from elq_ref import SGD, Plan, State, Tensor, fit, ops, pack, quantize, unpack
from elq_ref.nn import BatchNorm2d, Conv2d, Flatten, Linear, Module, ReLU, Sequential

rng = np.random.default_rng(0)


class Twice(Module):
    """A convolution under two names, a weight in two modules, one BatchNorm and one ReLU at two places."""

    def __init__(self) -> None:
        self.a = Conv2d(1, 1, 3, padding=1, rng=np.random.default_rng(1))
        self.b = self.a
        self.norms = [BatchNorm2d(1)] * 2
        self.fc = Linear(36, 36, bias=False, rng=np.random.default_rng(2))
        self.tied = Linear(36, 36, rng=np.random.default_rng(3))
        self.tied.weight = self.fc.weight
        self.out = Linear(36, 3, rng=np.random.default_rng(4))
        self.relu = ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norms[0](self.a(x)))
        x = self.norms[1](self.b(x))
        x = ops.reshape(x, (x.shape[0], -1))
        return self.out(self.tied(self.relu(self.fc(x))))


NAMES = ["a.weight", "a.bias", "norms.0.weight", "norms.0.bias", "fc.weight", "tied.bias", "out.weight", "out.bias"]
ALL = [
    *("a.weight", "a.bias", "b.weight", "b.bias"),
    *(f"norms.{i}.{n}" for i in (0, 1) for n in ("weight", "bias", "running_mean", "running_var")),
    *("fc.weight", "tied.weight", "tied.bias", "out.weight", "out.bias"),
]


def test_everything_is_listed_once_and_saved_under_all_names():
    net = Twice()
    assert [name for name, _ in net.named_parameters()] == NAMES
    assert [name for name, _ in net.named_buffers()] == ["norms.0.running_mean", "norms.0.running_var"]
    assert [name for name, _ in net.named_modules()] == ["", "a", "norms.0", "fc", "tied", "out", "relu"]
    assert list(net.quantizable()) == ["a.weight", "fc.weight", "out.weight"]
    assert [name for name, _ in net.children()] == ["a", "norms.0", "fc", "tied", "out", "relu"]
    assert set(net.state_dict()) == set(ALL)
    assert net.summary().split()[-1] == f"{9 + 1 + 2 + 36 * 36 + 36 + 3 * 36 + 3:,}"


def test_the_names_are_pytorchs():
    torch = pytest.importorskip("torch")
    ours = Sequential(Conv2d(1, 1, 1), ReLU())
    ours.again, ours.blocks = ours[0], [Linear(2, 2), ours[1], Linear(3, 3)]
    theirs = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1), torch.nn.ReLU())
    blocks = torch.nn.ModuleList([torch.nn.Linear(2, 2), theirs[1], torch.nn.Linear(3, 3)])
    theirs.again, theirs.blocks = theirs[0], blocks
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({name: tensor.numpy() for name, tensor in theirs.state_dict().items()})
    np.testing.assert_array_equal(ours.again.weight.data, theirs.again.weight.detach().numpy())


def test_what_is_shared_is_stepped_once():
    net, by_hand, data = Twice(), Twice(), batches()
    (step,) = fit(net, data, 1 / len(data), SGD(0.1, momentum=0.0))
    x, labels = next(data.epoch(0))
    by_hand.train()
    ops.softmax_cross_entropy(by_hand(Tensor(x)), labels).backward()
    for name, parameter in by_hand.named_parameters():
        expected = parameter.data - np.float32(0.1) * parameter.grad
        np.testing.assert_allclose(dict(net.named_parameters())[name].data, expected, rtol=1e-6, atol=1e-7)
    assert net.tied.weight is net.fc.weight
    assert net.b is net.a
    assert step.state.velocity.keys() == set(NAMES)


def test_w_hat_stands_at_every_place_of_a_shared_weight():
    """In the pass at W_hat, both layers of a tied weight compute with W_hat."""
    net, data = Twice(), batches()
    fresh = Twice()
    hats = State.start(Twice(), Plan(), SGD(), data).quantized()
    for name, parameter in fresh.quantizable().items():
        parameter.data = hats[name]
    step = next(quantize(net, data, Plan(sigma2=(0.0,), epochs=(1, 1))))
    x, labels = next(data.epoch(0))
    assert step.loss_hat == ops.softmax_cross_entropy(fresh.train()(Tensor(x)), labels).item()


def test_a_run_goes_on_to_the_same_bits(tmp_path):
    plan = Plan(sigma2=(0.3, 0.0), epochs=(0.5, 0.5, 0.5))
    net, other, data = Twice(), Twice(), batches()
    for step in quantize(net, data, plan):
        if step.step == 3:
            step.state.save(tmp_path / "run.safetensors")
    state = State.load(tmp_path / "run.safetensors", other)
    *_, last = quantize(other, data, plan, state=state)
    assert {n: a.tobytes() for n, a in net.state_dict().items()} == {
        n: a.tobytes() for n, a in other.state_dict().items()
    }
    packed = unpack(pack(net.eval(), data.dataset, quantized=last.state.codes()))
    np.testing.assert_array_equal(packed["a.weight"], net.a.weight.data)
    np.testing.assert_array_equal(packed["fc.weight"], net.tied.weight.data)
    assert set(packed) == {"a.weight", "fc.weight", "out.weight"}


def test_one_of_the_names_is_enough_and_two_values_are_refused():
    net, other = Twice(), Twice()
    state = {name: rng.standard_normal(a.shape).astype(np.float32) for name, a in net.state_dict().items()}
    with pytest.raises(
        ValueError, match=r"one thing here, but different: a\.weight and b\.weight, a\.bias and b\.bias"
    ):
        net.load_state_dict(state)
    np.testing.assert_array_equal(net.a.weight.data, other.a.weight.data)
    few = {
        name: a for name, a in state.items() if name not in ("a.weight", "a.bias", "tied.weight") and "s.1" not in name
    }
    net.load_state_dict(few)
    np.testing.assert_array_equal(net.a.weight.data, state["b.weight"])
    np.testing.assert_array_equal(net.tied.weight.data, state["fc.weight"])
    del few["b.weight"]
    with pytest.raises(ValueError, match=r"missing: a\.weight \(1, 1, 3, 3\), b\.weight"):
        net.load_state_dict(few)


def test_astype_keeps_what_is_shared():
    net = Twice().astype(np.float64)
    assert net.tied.weight is net.fc.weight
    assert net.a.weight.dtype == net.norms[1].running_var.dtype == np.float64


def test_a_sequential_runs_a_module_at_each_of_its_places():
    relu = ReLU()
    halved = Linear(2, 2, rng=np.random.default_rng(0))
    halved.weight.data = np.float32(0.5) * np.eye(2, dtype=np.float32)
    net = Sequential(halved, relu, halved, relu)
    assert len(net) == 4
    assert [name for name, _ in net.children()] == ["0", "1"]
    np.testing.assert_array_equal(net(Tensor(np.array([[4, -4]], np.float32))).data, [[1, 0]])


def test_modules_in_lists_are_found_and_tensors_in_lists_are_refused():
    class Blocks(Module):
        def __init__(self) -> None:
            self.blocks = []
            self.blocks.append(Linear(2, 3))
            self.heads = {"one": (Flatten(), Linear(3, 1))[1]}

    assert list(Blocks().state_dict()) == ["blocks.0.weight", "blocks.0.bias", "heads.one.weight", "heads.one.bias"]
    net = Blocks()
    net.scales = [Tensor(np.ones(2), requires_grad=True)]
    with pytest.raises(TypeError, match=r"Blocks\.scales is a list of Tensors: make each an attribute"):
        list(net.named_parameters())


def test_a_module_in_itself_is_said():
    net = Sequential(ReLU())
    net.parent = net
    assert [name for name, _ in net.named_modules()] == ["", "0"]
    with pytest.raises(ValueError, match="parent is a module that it lies in"):
        net.state_dict()


def test_an_array_in_the_place_of_a_tensor_is_said():
    with pytest.raises(TypeError, match=r"ReLU reads Tensors, given an array float64 \(2,\): wrap it"):
        ReLU()(np.ones(2))
