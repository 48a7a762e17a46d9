"""What every layer costs when it is rounded: against networks that are changed by hand; which weights words mean."""

import numpy as np
import pytest
import small_runs

from elq_ref import Batches, Plan, models, sensitivity, ternarize
from elq_ref.datasets import Dataset, Normalization, hold_out
from elq_ref.nn import BatchNorm2d, Conv2d, Flatten, GlobalAvgPool, Linear, ReLU, Sequential
from elq_ref.tensor import Tensor, no_grad
from elq_ref.training.evaluate import evaluate, standing_on
from elq_ref.training.keeping import weights_kept
from elq_ref.training.layer_costs import Judged, LayerCost, Sensitivity


@pytest.fixture(scope="module")
def parts():
    whole = small_runs.batches()
    rest, held = hold_out(whole.dataset, 20)
    return Batches(rest, 16, augment=whole.augment), held


def by_hand(net, changed, batches, held):
    """(loss, per cent right) with BatchNorm's statistics averaged over all batches, written without the package's."""
    for name, w in changed.items():
        dict(net.named_parameters())[name].data = w
    (norm,) = (m for _, m in net.named_modules() if isinstance(m, BatchNorm2d))
    conv = net[0]
    means, variances = [], []
    for x, _ in batches.epoch(0):
        with no_grad():
            y = conv(Tensor(x)).data.astype(np.float64)
        means.append(y.mean((0, 2, 3)))
        variances.append(y.var((0, 2, 3), ddof=1))
    norm.running_mean[...], norm.running_var[...] = np.mean(means, 0), np.mean(variances, 0)
    with no_grad():
        logits = net.eval()(Tensor(held.normalized())).data.astype(np.float64)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    loss = -np.log(shares[np.arange(len(held)), held.labels]).mean()
    return loss, 100 * (logits.argmax(1) == held.labels).mean()


def test_every_network_is_the_one_that_it_is_said_to_be(parts):
    batches, held = parts
    net = small_runs.small_net()
    before = net.state_dict()
    found = sensitivity(net, batches, held)
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    names = ["0.weight", "4.weight"]
    w_hat = {}
    for name in names:
        codes, alpha = ternarize(before[name])
        w_hat[name] = alpha * codes
    first, second = ({name: w_hat[name]} for name in names)
    wanted = [
        (found.in_float, {}),
        (found.rounded, w_hat),
        (found.layers[0].alone, first),
        (found.layers[0].all_but, second),
        (found.layers[1].alone, second),
        (found.layers[1].all_but, first),
    ]
    assert [(layer.name, layer.weights) for layer in found.layers] == [("0.weight", 45), ("4.weight", 540)]
    for judged, changed in wanted:
        loss, top1 = by_hand(small_runs.small_net(), changed, batches, held)
        assert judged.loss == pytest.approx(loss, rel=1e-4)
        assert judged.top1 == pytest.approx(top1)


def test_a_weight_that_is_used_twice_is_rounded_at_both_places(parts):
    batches, held = parts

    def twice():
        rng = np.random.default_rng(3)
        stem, again, head = Conv2d(1, 4, 3, rng=rng), Conv2d(4, 4, 3, padding=1, rng=rng), Linear(4, 3, rng=rng)
        return Sequential(stem, ReLU(), again, ReLU(), again, GlobalAvgPool(), head)

    found = sensitivity(twice(), batches, held)
    changed = twice()
    codes, alpha = ternarize(changed[2].weight.data)
    changed[2].weight.data = alpha * codes
    with no_grad():
        logits = changed(Tensor(held.normalized())).data.astype(np.float64)
    loss = (np.log(np.exp(logits).sum(1)) - logits[np.arange(len(held)), held.labels]).mean()
    (layer,) = (layer for layer in found.layers if layer.name == "2.weight")
    assert layer.alone.loss == pytest.approx(loss, rel=1e-5)


def test_progress_is_shown_of_the_batches_of_both_families_and_ends_where_they_end(parts):
    batches, held = parts
    shown = []

    def watch(numbers):
        shown.append(len(numbers))
        for number in numbers:
            yield number
            shown.append(number)

    sensitivity(small_runs.small_net(), batches, held, reestimation=2, watch=watch)
    assert shown == [6, 0, 1, 2, 3, 4, 5]  # twice: two batches for the statistics, one of 20 pictures that are judged


def test_binary_levels_and_one_scale_a_channel_are_the_plans(parts):
    batches, held = parts
    net = small_runs.small_net()
    found = {str(plan): sensitivity(net, batches, held, plan).rounded for plan in plans()}
    assert len(set(found.values())) == len(found)


def plans():
    return Plan(), Plan("binary"), Plan(per_channel=True)


def costs(**alone):
    layers = (LayerCost(f"{k}.weight", 9, Judged(loss, 0.0), Judged(1.0, 0.0)) for k, loss in alone.items())
    return Sensitivity("ternary", Judged(0.1, 99.0), Judged(9.0, 10.0), tuple(layers))


def test_the_costliest_are_those_with_the_largest_loss_alone():
    found = costs(a=0.2, b=0.5, c=0.5, d=0.3)
    assert found.most(3) == ("b.weight", "c.weight", "d.weight")
    assert found.most(1) == ("b.weight",)
    assert found.most(4) == ("b.weight", "c.weight", "d.weight", "a.weight")
    for count in (0, 5):
        with pytest.raises(ValueError, match=rf"the {count} most sensitive weights: the network has 4"):
            found.most(count)


def deep_net():
    rng = np.random.default_rng(0)
    net = Sequential()
    net.head = Linear(8, 3, rng=rng)  # it is made first, and computed last
    net.stem = Conv2d(1, 4, 3, padding=1, rng=rng)
    net.deep = Conv2d(4, 8, 3, padding=1, groups=4, rng=rng)
    net.narrow = Conv2d(8, 8, 3, padding=1, groups=4, rng=rng)
    parts = (net.stem, ReLU(), net.deep, net.narrow, GlobalAvgPool(), net.head)

    def forward(x):
        for part in parts:
            x = part(x)
        return x

    net.forward = forward
    return net


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["first"], ["stem.weight"]),
        (["last"], ["head.weight"]),
        (["depthwise"], ["deep.weight"]),
        (["narrow"], ["narrow.weight"]),
        (["narrow.weight", "first", "last"], ["head.weight", "stem.weight", "narrow.weight"]),
        (["sensitive:1"], ["stem.weight"]),
        (["first", "sensitive:3"], ["head.weight", "stem.weight", "deep.weight", "narrow.weight"]),
        (["first", "sensitive:1"], ["stem.weight", "narrow.weight"]),  # one more, not one that is kept already
        ([], []),
    ],
)
def test_words_mean_weights(words, wanted):
    measured = costs(head=0.1, stem=0.9, deep=0.2, narrow=0.8)
    asked = []
    kept = weights_kept(words, deep_net(), (1, 6, 6), lambda: asked.append(1) or measured)
    assert list(kept) == wanted
    assert bool(asked) == any(word.startswith("sensitive") for word in words)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("conv9", "'conv9' is no weight of the network: wanted depthwise, first, last, sensitive:N, or names"),
        ("depthwise", "depthwise: the network has no depthwise convolution"),
        ("sensitive:x", "sensitive:x: wanted a number of layers, such as sensitive:3"),
        ("sensitive:0", "sensitive:0: wanted 1 to 2 layers"),
        ("sensitive:3", "sensitive:3: wanted 1 to 2 layers"),
    ],
)
def test_what_means_nothing_is_refused(word, said):
    rng = np.random.default_rng(0)
    net = Sequential(Conv2d(1, 2, 3, rng=rng), Flatten(), Linear(32, 3, rng=rng))
    with pytest.raises(ValueError, match=said):
        weights_kept([word], net, (1, 6, 6), lambda: costs(a=0.1, b=0.2))


def test_a_network_without_convolutions_has_no_depthwise_ones():
    with pytest.raises(ValueError, match="no depthwise"):
        weights_kept(["depthwise"], models.lenet5((1, 8, 8)), (1, 8, 8), lambda: costs())


def test_branches_of_a_residual_network_compute_what_whole_passes_do():
    """Against passes through whole networks, one by one (elq_ref.training.evaluate), on a network with branches."""
    rng = np.random.default_rng(7)
    images = rng.integers(0, 256, (30, 3, 12, 12), dtype=np.uint8)
    data = Dataset(images, rng.integers(0, 4, 30), tuple("abcd"), Normalization((0.5,) * 3, (0.3,) * 3), "noise")
    rest, held = hold_out(data, 10)
    batches, net = Batches(rest, 6), models.build("resnet20", (3, 12, 12), 4, 1)
    found = sensitivity(net, batches, held, Plan("binary"), reestimation=3)
    weights = {name: p.data for name, p in net.quantizable().items()}
    w_hat = {name: np.abs(w).mean() * np.where(w >= 0, np.float32(1), np.float32(-1)) for name, w in weights.items()}
    assert [layer.name for layer in found.layers] == list(weights)
    for layer in found.layers[::6]:
        others = {name: w for name, w in w_hat.items() if name != layer.name}
        for judged, changed in ((layer.alone, {layer.name: w_hat[layer.name]}), (layer.all_but, others)):
            with standing_on(net, changed, batches, 3):
                right, loss = evaluate(net, held)
            assert judged.loss == pytest.approx(loss, rel=1e-4)
            assert judged.top1 == 10 * right
