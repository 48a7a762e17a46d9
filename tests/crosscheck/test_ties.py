"""Ties: slack against gradients whose ties really are decided otherwise, and what `compare` makes of it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from golden_traces import FOLDER, GivenBatches, network, part

import elq_ref as elq
from elq_ref import ops
from elq_ref.crosscheck import Trace, compare, load, record
from elq_ref.crosscheck.ties import TIED, Ties, seen
from elq_ref.tensor import Tensor

ROOT = Path(__file__).parents[2]
GOLDEN = load(FOLDER / "run-float64")


class Net:
    """Integers in, sums on a lattice: conv - pool - batch_norm (with or without ReLU, residual) - conv - relu - ..."""

    def __init__(self, seed: int, fused: bool, training: bool) -> None:
        rng = np.random.default_rng(seed)
        self.fused, self.training = fused, training
        shapes = {"conv1": (4, 1, 3, 3), "conv2": (4, 4, 3, 3), "fc": (3, 36)}
        self.parts = {name: rng.integers(-1, 2, shape) / 4 for name, shape in shapes.items()}
        self.parts |= {"gamma": rng.uniform(0.5, 1.5, 4), "beta": np.zeros(4)}
        self.images = rng.integers(0, 4, (3, 1, 10, 10)).astype(float)
        self.labels = np.array([0, 1, 2])
        self.statistics = np.zeros(4), np.full(4, 2.0)

    def gradients(self, noise: np.random.Generator | None, broken: bool = False) -> tuple[dict[str, np.ndarray], dict]:
        """Gradients and slacks by name; noise: the images up to rounding, which decides ties at random."""
        images = self.images if noise is None else self.images + 1e-13 * noise.standard_normal(self.images.shape)
        t = {name: Tensor(array, True) for name, array in self.parts.items()}
        with seen(broken) as ties:
            x = ops.max_pool(ops.conv2d(Tensor(images), t["conv1"]), 2)
            x = ops.relu(x) if not self.fused else x
            norm = {"training": self.training, "momentum": None, "relu": self.fused}
            y = ops.batch_norm(ops.conv2d(x, t["conv2"], padding=1), t["gamma"], t["beta"], *self.statistics,
                               residual=x if self.fused else None, **norm)  # fmt: skip
            y = ops.add(ops.relu(y), x)
            y = ops.mul(
                ops.subsample(ops.pad(y, (0, 0, 1, 0), (0, 0, 0, 1)), 2),
                ops.avg_pool(ops.pad(y, (0, 0, 1, 1), (0, 0, 1, 1)), 2),
            )
            y = ops.max_pool(ops.pad(y, (0, 0, 0, 0), (0, 0, 1, 1)), 2, 1)
            y = ops.linear(ops.reshape(y, (3, -1)), t["fc"])
            ops.softmax_cross_entropy(y, self.labels).backward()
        return {name: p.grad for name, p in t.items()}, {name: ties.slack(p) for name, p in t.items()}


CASES = [(seed, fused, training) for seed in range(4) for fused in (False, True) for training in (False, True)]


@pytest.mark.parametrize(("seed", "fused", "training"), CASES)
def test_every_way_to_decide_ties_is_within_the_slack(seed: int, fused: bool, training: bool) -> None:
    net = Net(seed, fused, training)
    centre, slacks = net.gradients(None)
    rng, moved = np.random.default_rng(99), 0.0
    for _ in range(20):
        other, _ = net.gradients(rng)
        for name, gradient in other.items():
            slack = 0.0 if slacks[name] is None else slacks[name]
            assert (np.abs(gradient - centre[name]) <= slack + 1e-9).all(), name
        moved = max(moved, np.abs(other["conv1"] - centre["conv1"]).max())
    assert moved > 1e-6, "ties decide nothing here, and the test shows nothing"
    assert slacks["conv1"].max() < 1000 * moved, "a slack of any size would pass"


@pytest.mark.parametrize(("seed", "fused", "training"), CASES[::3])
def test_broken_by_rule_rounding_decides_nothing(seed: int, fused: bool, training: bool) -> None:
    net = Net(seed, fused, training)
    centre, _ = net.gradients(None, broken=True)
    for noise in range(5):
        other, _ = net.gradients(np.random.default_rng(noise), broken=True)
        for name, gradient in other.items():
            np.testing.assert_allclose(gradient, centre[name], rtol=0, atol=1e-9)


def test_the_rule_is_the_stated_one() -> None:
    """First of the tied in row order, and nothing through a ReLU at 0; elsewhere the gradient as it is."""
    x = Tensor(np.array([[[[1.0, 1.0 + 1e-13], [0.5, 1.0]], [[-1.0, -3.0], [-2.0, -1.0 + 1e-6]]]]), True)
    with seen(broken=True):
        ops.max_pool(x, 2).backward(np.array([[[[7.0]], [[5.0]]]]))
    np.testing.assert_array_equal(x.grad, [[[[7, 0], [0, 0]], [[0, 0], [0, 5]]]])
    x = Tensor(np.array([-1.0, -1e-13, 0.0, 1e-13, 1e-6, 2.0]), True)
    with seen(broken=True):
        ops.relu(x).backward(np.ones(6))
    np.testing.assert_array_equal(x.grad, [0, 0, 0, 0, 1, 1])


@pytest.mark.parametrize("training", [False, True])
def test_the_slack_of_a_batch_norm_is_its_jacobian_in_absolute_values(training: bool) -> None:
    """|J|^T slack, J column by column from backward passes; the rule bounds it, by at most a factor 3."""
    rng = np.random.default_rng(5)
    parts = [rng.standard_normal((3, 2, 2, 1)), rng.standard_normal(2), rng.standard_normal(2)]
    slack = rng.uniform(0, 1, (3, 2, 2, 1))

    def norm(leaves: list[Tensor]) -> Tensor:
        return ops.batch_norm(*leaves, np.zeros(2), np.ones(2), training=training, momentum=None)

    exact = [np.zeros_like(part) for part in parts]
    for place in np.ndindex(slack.shape):
        leaves, unit = [Tensor(part, True) for part in parts], np.zeros_like(slack)
        unit[place] = 1
        norm(leaves).backward(unit)
        exact = [e + np.abs(leaf.grad) * slack[place] for e, leaf in zip(exact, leaves, strict=True)]
    leaves = [Tensor(part, True) for part in parts]
    with seen() as ties:
        y = norm(leaves)
        ops.relu(ops.add(y, Tensor(-y.data))).backward(slack)  # a ReLU at 0 throughout: dy becomes slack
    for leaf, wanted in zip(leaves, exact, strict=True):
        found = ties.slack(leaf)
        assert (found >= wanted - 1e-12).all()
        assert (found <= 3 * wanted).all()


def test_without_ties_there_is_no_slack() -> None:
    x = Tensor(np.array([[1.0, -2.0], [3.0, -4.0]]), True)
    with seen() as ties:
        ops.linear(ops.relu(x), Tensor(np.ones((2, 2)))).backward(np.ones((2, 2)))
    assert ties.slack(x) is None
    assert not ties.counts


def test_ties_are_counted_by_operation() -> None:
    with seen() as ties:
        x = ops.max_pool(Tensor(np.array([[[[2.0, 2.0, 0.0, 1.0]]]]), True), (1, 2))
        ops.relu(ops.relu(x)).backward(np.ones((1, 1, 1, 2)))
        ops.relu(Tensor(np.array([0.0, 0.0, 1.0]), True))
    assert ties.counts == {"max_pool": 1, "relu": 2}


def test_an_operation_of_ones_own_may_do_anything_with_ties_behind_it() -> None:
    x = Tensor(np.array([1.0, 2.0]), True)
    with seen() as ties:
        y = elq.record("double minus", 2 * x.data - np.array([2.0, 0.0]), (x,), lambda dy: [2 * dy])
        ops.relu(y).backward(np.ones(2))
    np.testing.assert_array_equal(ties.slack(x), [np.inf, np.inf])


def test_float32_ties_are_wider() -> None:
    x = np.array([1.0, 3e-6])
    assert TIED["float64"] < 3e-6 < TIED["float32"]
    for dtype, count in ((np.float64, 0), (np.float32, 1)):
        with seen() as ties:
            ops.relu(Tensor(x.astype(dtype), True))
        assert sum(ties.counts.values()) == count
    assert isinstance(ties, Ties)


def with_tensors(changes: dict[str, np.ndarray], meta: dict | None = None) -> Trace:
    return Trace(GOLDEN.path, {**GOLDEN.tensors, **changes}, GOLDEN.meta if meta is None else meta)


def moved(name: str, place: tuple[int, ...], by: float) -> dict[str, np.ndarray]:
    tensor = GOLDEN.tensors[name].copy()
    tensor[place] += by
    return {name: tensor}


SLACK = {"3/slack_hat/fc.weight": np.full((4, 24), 1e-3)}


def test_a_gradient_within_the_slack_is_no_mistake_and_one_beyond_is() -> None:
    ours = with_tensors(SLACK)
    for by, ok in ((0.9e-3, True), (1.1e-3, False)):
        found = compare(ours, with_tensors(moved("3/grad_hat/fc.weight", (1, 2), by), {}))
        assert found.ok is ok
        assert str(found).startswith("AGREES  as far as ties" if ok else "DIFFERS  step 3  grad_hat/fc.weight")
    theirs = with_tensors(SLACK | moved("3/grad_hat/fc.weight", (1, 2), 0.9e-3), {})
    assert compare(GOLDEN, theirs).ok  # the slack of either side
    nothing = moved("3/grad_hat/fc.bias", (1,), 0.9e-3)
    assert not compare(ours, with_tensors(nothing, {})).ok  # another tensor's slack


def test_what_follows_from_a_tie_is_not_judged_and_the_rest_is() -> None:
    ours = with_tensors(SLACK)
    tie = moved("3/grad_hat/fc.weight", (1, 2), 0.9e-3)
    after = tie | moved("3/w_after/fc.weight", (1, 2), 1e-3) | moved("4/w/fc.weight", (1, 2), 1e-3)
    found = compare(ours, with_tensors(after, {}))
    assert found.ok
    assert found.tied.name == "grad_hat/fc.weight"
    assert "2 later tensors follow from ties" in str(found)
    assert found.table().count("\ntie ") == 3
    for name, place in (("3/loss", ()), ("4/images", (0, 0, 0, 0)), ("3/buffer_after/bn1.running_mean", (0,))):
        assert not compare(ours, with_tensors(after | moved(name, place, 1e-3), {})).ok, name
    same_again = tie | moved("5/w_after/fc.weight", (1, 2), 1e-3)  # steps 4 and 5 begin with equal bits
    assert compare(ours, with_tensors(same_again, {})).first.name == "w_after/fc.weight"


@pytest.mark.parametrize(("kind", "alpha"), [("codes", "alpha"), ("w_hat", "alpha")])
def test_a_level_is_excused_at_its_threshold_only(kind: str, alpha: str) -> None:
    weight, place = "conv2.weight", (1, 2, 0, 1)
    threshold = GOLDEN.tensors[f"4/{alpha}/{weight}"].item() / 2
    one = 1.0 if kind == "codes" else 2 * threshold
    for off, ok in ((1e-13, True), (1e-6, False)):
        w = GOLDEN.tensors[f"4/w/{weight}"].copy()
        w[place] = threshold + off
        value = GOLDEN.tensors[f"4/{kind}/{weight}"].copy()
        value[place] = one
        ours = {f"4/w/{weight}": w, f"4/{kind}/{weight}": value}
        theirs = value.copy()
        theirs[place] = 0
        found = compare(with_tensors(ours), with_tensors({**ours, f"4/{kind}/{weight}": theirs}, {}))
        assert found.ok is ok
        follows = {**ours, f"4/{kind}/{weight}": theirs, **moved("4/grad_hat/fc.bias", (0,), 0.1)}
        assert compare(with_tensors(ours), with_tensors(follows, {})).ok is ok
        elsewhere = theirs.copy()
        elsewhere[0, 0, 0, 0] += 1
        assert not compare(with_tensors(ours), with_tensors({**ours, f"4/{kind}/{weight}": elsewhere}, {})).ok


def test_a_freeze_is_excused_at_the_edge_of_its_band_only() -> None:
    weight = "fc.weight"
    alpha, sigma2 = GOLDEN.tensors[f"3/alpha/{weight}"].item(), GOLDEN.meta["plan"]["sigma2"][0]
    place = tuple(np.argwhere(~GOLDEN.tensors[f"3/frozen/{weight}"])[0])
    theirs = GOLDEN.tensors[f"3/frozen/{weight}"].copy()
    theirs[place] = True
    for size, ok in ((sigma2 * alpha, True), ((1 - sigma2) * alpha, True), (0.9 * sigma2 * alpha, False)):
        before = GOLDEN.tensors[f"2/w_after/{weight}"].copy()
        before[place] = -size
        same = {f"2/w_after/{weight}": before}
        assert compare(with_tensors(same), with_tensors({**same, f"3/frozen/{weight}": theirs}, {})).ok is ok


def test_the_sign_is_excused_where_both_losses_are_equal() -> None:
    loss = GOLDEN.tensors["4/loss"]
    for gap, ok in ((0.0, True), (1e-3, False)):
        same = {"4/loss_hat": loss + gap, "4/sign": np.asarray(1.0)}
        assert compare(with_tensors(same), with_tensors({**same, "4/sign": np.asarray(-1.0)}, {})).ok is ok


def test_record_states_slack_for_both_passes_and_says_how_ties_were_decided() -> None:
    first = GOLDEN.group("0")
    images = np.round(first["images"])  # whole numbers: many sums are equal
    batches = GivenBatches([(images, first["labels"])] * 3, 1)
    plan = elq.Plan("binary", sigma2=(0.3, 0.0), epochs=(1.0, 1.0, 1.0))
    traces = []
    for broken in (False, True):
        net = network(part(first, "w"), part(first, "buffer"))
        traces.append(record(net, batches, plan, elq.SGD(lr=0.1), break_ties=broken))
    assert [trace.meta["ties"] for trace in traces] == ["as computed", "broken"]
    assert traces[0].tensors["0/slack_hat/conv1.weight"].shape == first["w/conv1.weight"].shape
    assert traces[0].meta["groups"][0]["ties"]["grad_hat"]["max_pool"] > 0


PROGRAM = """
import sys
import elq_ref as elq
train, _ = elq.datasets.digits()
net, batches = elq.models.lenet5((1, 8, 8), seed=0).astype("float64"), elq.Batches(train, 32, dtype="float64")
plan = elq.Plan("binary", sigma2=(0.0,), epochs=(1.0, 1.0))
elq.crosscheck.record(net, batches, plan, path=sys.argv[1], steps=2, break_ties=sys.argv[2] == "broken")
"""


@pytest.mark.kernels
def test_the_program_agrees_with_itself_on_other_kernels(tmp_path: Path) -> None:
    """LeNet-5 on 8-bit digits, binary: a lattice behind the first convolution, a max pooling on it."""
    for how in ("computed", "broken"):
        for isa in ("generic", ""):
            env = {**os.environ, "ELQ_ISA": isa} if isa else {k: v for k, v in os.environ.items() if k != "ELQ_ISA"}
            command = [sys.executable, "-c", PROGRAM, tmp_path / f"{how}{isa}", how]
            subprocess.run(command, check=True, timeout=300, env=env, cwd=ROOT)
        found = compare(tmp_path / f"{how}generic", tmp_path / how)
        assert found.ok, str(found)
        assert how == "computed" or found.tied is None, str(found)
    slack = load(tmp_path / "computed").tensors["0/slack_hat/conv1.weight"]
    assert slack.max() > 1e-6
