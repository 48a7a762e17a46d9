"""Modules, models, schedules."""

import inspect
import math

import numpy as np
import pytest
from children import run_python

from elq_ref import SGD, Session, Tensor, models, nn, no_grad, ops, pack
from elq_ref.nn import Conv2d, Linear, Sequential
from elq_ref.training.sgd import Schedule


def test_names_and_order_are_pytorchs():
    names = list(models.resnet20().state_dict())
    assert names[:6] == [
        "conv1.weight",
        "bn1.weight",
        "bn1.bias",
        "bn1.running_mean",
        "bn1.running_var",
        "layer1.0.conv1.weight",
    ]
    assert names[-2:] == ["linear.weight", "linear.bias"]
    assert "layer2.0.bn2.running_var" in names
    assert [n for n, _ in models.lenet5().named_parameters()][:3] == ["conv1.weight", "conv1.bias", "conv2.weight"]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("resnet20", 269_722),
        ("resnet32", 464_154),
        ("resnet44", 658_586),
        ("resnet56", 853_018),
        ("resnet110", 1_727_962),
    ],
)
def test_sizes_are_those_published(name, parameters):
    # 0.27, 0.46, 0.66, 0.85, 1.7 million (He et al. 2016, table 6)
    assert sum(p.data.size for _, p in models.MODELS[name]().named_parameters()) == parameters


@pytest.mark.parametrize("name", ["lenet5", "digits_cnn", "resnet20", "vgg_small"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (2, 13, 9)])
def test_models_take_pictures_of_any_size(name, shape):
    net = models.build(name, shape, classes=7).eval()
    x = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    with no_grad():
        assert net(Tensor(x)).shape == (2, 7)


def test_lenet_is_the_original_on_28_by_28():
    assert sum(p.data.size for _, p in models.lenet5().named_parameters()) == 61_706


def test_what_is_quantized():
    net = models.resnet20()
    assert len(net.quantizable()) == 20  # 19 convolutions and the classifier
    assert sum(w.data.size for w in net.quantizable().values()) == 268_336 + 0


def test_errors():
    with pytest.raises(ValueError, match=r"no model 'alexnet2'.*lenet5"):
        models.build("alexnet2", (1, 8, 8))
    with pytest.raises(ValueError, match="at least 4x4"):
        models.build("lenet5", (1, 2, 2))
    net = models.lenet5()
    state = net.state_dict()
    state["fc3.bias"] = np.zeros(11)
    del state["conv1.bias"]
    state["extra"] = np.zeros(2)
    with pytest.raises(
        ValueError,
        match=r"missing: conv1.bias \(6,\); unexpected: extra \(2,\); of another shape: fc3.bias \(11,\) instead",
    ):
        net.load_state_dict(state)


def test_train_and_eval_reach_every_module_and_seeds_decide_the_weights():
    net = models.resnet20()
    net.eval()
    assert not any(m.training for _, m in net.named_modules())
    np.testing.assert_array_equal(models.lenet5(seed=3).fc1.weight.data, models.lenet5(seed=3).fc1.weight.data)
    assert (models.lenet5(seed=3).fc1.weight.data != models.lenet5(seed=4).fc1.weight.data).any()


def test_astype_converts_everything():
    net = models.digits_cnn().astype(np.float64)
    assert {a.dtype for a in net.state_dict().values()} == {np.dtype(np.float64)}
    assert net(Tensor(np.zeros((2, 1, 8, 8)))).dtype == np.float64


def test_summary_lists_and_adds_up():
    text = Linear(3, 2, rng=np.random.default_rng(0)).summary()
    assert [line.split()[-1] for line in text.splitlines()] == ["6", "2", "8"]


def test_layers_that_are_given_no_generator_never_start_equal():
    made = [Conv2d(4, 4, 1) for _ in range(50)] + [Linear(4, 4) for _ in range(50)]
    assert len({layer.weight.data.tobytes() for layer in made}) == 100
    weights = np.concatenate([layer.weight.data.ravel() for layer in made])
    assert abs(weights.std() - math.sqrt(2 / 4)) < 0.05  # 1600 of them: five standard errors are 0.06
    assert (Linear(4, 4).weight.data != Linear(4, 4, rng=np.random.default_rng(0)).weight.data).all()


STARTS = """
from elq_ref.nn import Conv2d, Linear
print([float(w) for layer in (Conv2d(2, 3, 3), Linear(5, 2), Conv2d(2, 3, 3)) for w in layer.weight.data.flat])
"""


def test_the_same_program_starts_with_the_same_weights():
    others = "import elq_ref; elq_ref.models.lenet5()\n"  # layers with a generator are not counted
    first, second = (run_python(program) for program in (STARTS, others + STARTS))
    assert first.stdout == second.stdout != ""


def test_a_generator_decides_the_weights():
    a, b, c = (Linear(3, 2, rng=np.random.default_rng(seed)).weight.data for seed in (7, 7, 8))
    np.testing.assert_array_equal(a, b)
    assert (a != c).all()
    wanted = np.random.default_rng(7).standard_normal((2, 3)) * math.sqrt(2 / 3)
    np.testing.assert_array_equal(a, wanted.astype(np.float32))


def test_a_sequential_is_a_list():
    modules = Linear(3, 4), nn.ReLU(), Linear(4, 2, bias=False)
    net = Sequential(*modules)
    assert len(net) == 3
    assert list(net) == list(modules)
    assert net[0] is modules[0]
    assert net[-1] is modules[2]
    assert list(net[1:]) == list(modules[1:])
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight"]
    with pytest.raises(IndexError):
        net[3]


@pytest.mark.parametrize(
    ("module", "wanted"),
    [
        (nn.MaxPool2d(2), lambda x: ops.max_pool(x, 2, 2)),
        (nn.MaxPool2d((2, 3), 1), lambda x: ops.max_pool(x, (2, 3), (1, 1))),
        (nn.AvgPool2d(3, (1, 2)), lambda x: ops.avg_pool(x, (3, 3), (1, 2))),
        (nn.AvgPool2d(3), lambda x: ops.avg_pool(x, (3, 3), (3, 3))),
        (nn.MaxPool2d(3, 2, 1, ceil_mode=True), lambda x: ops.max_pool(x, 3, 2, padding=1, ceil_mode=True)),
        (
            nn.AvgPool2d(3, 2, 1, True, False),
            lambda x: ops.avg_pool(x, 3, 2, padding=1, ceil_mode=True, count_include_pad=False),
        ),
        (nn.AdaptiveAvgPool2d((3, 2)), lambda x: ops.adaptive_avg_pool(x, (3, 2))),
        (nn.ReLU6(), lambda x: ops.clip(x, 0, 6)),
        (nn.Hardtanh(-2, 0.5), lambda x: ops.clip(x, -2, 0.5)),
        (nn.LeakyReLU(0.2), lambda x: ops.leaky_relu(x, 0.2)),
        (nn.PReLU(3).astype(np.float64), lambda x: ops.prelu(x, Tensor(np.full(3, 0.25)))),
        (nn.Sigmoid(), ops.sigmoid),
        (nn.Tanh(), ops.tanh),
        (nn.Hardsigmoid(), ops.hard_sigmoid),
        (nn.Hardswish(), ops.hard_swish),
        (nn.SiLU(), ops.silu),
        (nn.ELU(0.3), lambda x: ops.elu(x, 0.3)),
        (nn.GELU("tanh"), lambda x: ops.gelu(x, "tanh")),
        (nn.LocalResponseNorm(3, 0.1), lambda x: ops.local_response_norm(x, 3, 0.1)),
        (nn.ChannelShuffle(3), lambda x: ops.channel_shuffle(x, 3)),
        (nn.Dropout(0.5).eval(), lambda x: x),
        (nn.Identity(), lambda x: x),
        (nn.Flatten(), lambda x: ops.reshape(x, (2, 60))),
        (nn.GlobalAvgPool(), ops.global_avg_pool),
    ],
)
def test_modules_are_their_operations(module, wanted):
    x = Tensor(np.random.default_rng(1).standard_normal((2, 3, 4, 5)))
    np.testing.assert_array_equal(module(x).data, wanted(x).data)


def test_adaptive_avg_pool_is_the_mean_of_a_channel():
    x = Tensor(np.arange(48.0).reshape(2, 2, 3, 4))
    np.testing.assert_allclose(nn.AdaptiveAvgPool2d(1)(x).data[..., 0, 0], [[5.5, 17.5], [29.5, 41.5]])


def test_groups_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="2 groups of 3 to 4 channels"):
        Conv2d(3, 4, 3, groups=2)


@pytest.mark.torch
def test_arguments_are_pytorchs_in_its_order():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    for name in nn.__all__:
        if name in ("GlobalAvgPool", "Module", "freeze_statistics", "Sequential", "Identity"):
            continue  # not theirs, or without arguments of a layer
        ours, theirs = (list(inspect.signature(getattr(m, name)).parameters.values()) for m in (nn, torch.nn))
        named = {p.name: p.default for p in ours if p.kind is p.KEYWORD_ONLY and p.name not in ("rng", "initial")}
        ours = [p for p in ours if p.kind is not p.KEYWORD_ONLY]
        assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs[: len(ours)]], name
        assert named.items() <= {p.name: p.default for p in theirs}.items(), name


WORDS = """Sequential(
    Conv2d(3, 8, 3, 1, 1, bias=False), BatchNorm2d(8, 1e-3), ReLU(), MaxPool2d(3, 2), Conv2d(8, 8, (1, 3), groups=2),
    AvgPool2d((2, 1)), Sequential(Conv2d(8, 6, 1, stride=1, dilation=2), ReLU()), AdaptiveAvgPool2d(1), Flatten(),
    Linear(6, 5, bias=False), ReLU(), Linear(5, 4),
)"""


@pytest.mark.torch
def test_a_network_in_pytorchs_words_is_pytorchs_network():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    ours, theirs = eval(WORDS, dict(vars(nn))), eval(WORDS, dict(vars(torch.nn)))
    rng = np.random.default_rng(2)
    for _, module in ours.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean[:], module.running_var[:] = rng.standard_normal(8), rng.uniform(0.5, 2, 8)
    theirs.load_state_dict({n: torch.tensor(w) for n, w in ours.state_dict().items()}, strict=False)
    x = rng.standard_normal((4, 3, 11, 10))
    with torch.no_grad():
        wanted = theirs.double().eval()(torch.tensor(x)).numpy()
    packed = pack(ours, {}, input_shape=x.shape[1:], normalization=([0.0] * 3, [1.0] * 3), classes="abcd")
    np.testing.assert_allclose(Session(packed)(x.astype(np.float32)), wanted, rtol=1e-4, atol=1e-5)
    with no_grad():
        np.testing.assert_allclose(ours.astype(np.float64).eval()(Tensor(x)).data, wanted, rtol=1e-12, atol=1e-13)


def test_schedules():
    assert [round(Schedule("cosine")(t, 4), 6) for t in range(4)] == [
        1,
        round((1 + math.cos(math.pi / 4)) / 2, 6),
        0.5,
        round((1 - math.cos(math.pi / 4)) / 2, 6),
    ]
    assert [Schedule("step")(t, 8) for t in (0, 3, 4, 6)] == [1, 1, 0.1, pytest.approx(0.01)]
    assert [Schedule("constant", warmup=0.5)(t, 8) for t in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    with pytest.raises(ValueError, match="'linear', wanted constant, cosine or step"):
        Schedule("linear")
    with pytest.raises(ValueError, match="lr 0"):
        SGD(lr=0)


def test_sgd_is_its_recurrence_and_selects():
    w, v = np.array([1.0, 2.0]), np.array([0.5, 0.0])
    new, velocity = SGD(0.1, 0.9, 0.01).update(w, np.array([1.0, -1.0]), v, 0.1)
    np.testing.assert_allclose(velocity, [0.45 + 1.01, -0.98])
    np.testing.assert_allclose(new, w - 0.1 * velocity)
    nesterov, _ = SGD(0.1, 0.9, 0.01, nesterov=True).update(w, np.array([1.0, -1.0]), v, 0.1)
    np.testing.assert_allclose(nesterov, w - 0.1 * (np.array([1.01, -0.98]) + 0.9 * velocity))
    kept, velocity = SGD(0.1, 0.9, 0.01).update(w, np.array([np.nan, -1.0]), v, 0.1, np.array([False, True]))
    assert kept[0] == 1
    assert velocity[0] == 0.5
    assert kept[1] != 2
