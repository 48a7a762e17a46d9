"""The operations of networks from elsewhere: against PyTorch, against central differences, and what they record."""

import itertools
import math

import numpy as np
import pytest

from elq_ref import check_grads, ops
from elq_ref.tensor import Tensor, watched

rng = np.random.default_rng(11)
SHAPES = [(3, 1), (2, 5), (1, 3, 1, 1), (2, 5, 4, 3), (3, 1, 7, 2)]


def normal(*shape):
    return rng.standard_normal(shape)


def away(x, *kinks, by=1e-3):
    """x, moved away from the places where a derivative does not exist."""
    for kink in kinks:
        x = np.where(np.abs(x - kink) < by, kink + 2 * by, x)
    return x


def distinct(*shape):
    """Values at least 0.1 apart and away from 0."""
    size = math.prod(shape)
    return ((rng.permutation(size) - size // 2 + 0.5) * 0.1).reshape(shape)


def torch_():
    return pytest.importorskip("torch", reason="PyTorch is not installed")


def run(function, arrays, dy=None):
    """The result and all gradients of `function` of Tensors."""
    tensors = [Tensor(a, requires_grad=True) for a in arrays]
    y = function(*tensors)
    y.backward(np.ones(y.shape) if dy is None else dy)
    return [y.data, *(t.grad for t in tensors)]


def as_torch(function, arrays, dy):
    torch = torch_()
    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    y = function(*tensors)
    y.backward(torch.tensor(dy))
    return [y.detach().numpy(), *(t.grad.numpy() for t in tensors)]


def alike(ours, theirs, arrays, exact=1e-12):
    """Both functions give the same numbers and gradients, in float64."""
    y = ours(*(Tensor(a) for a in arrays)).data
    dy = np.random.default_rng(5).standard_normal(y.shape)
    for got, wanted in zip(run(ours, arrays, dy), as_torch(theirs, arrays, dy), strict=True):
        assert got.shape == wanted.shape
        np.testing.assert_allclose(got, wanted, rtol=exact, atol=exact)


def recorded(function, *tensors):
    """What `function` records: [(op, attributes)]."""
    seen = []
    with watched(lambda op, operands, result, attributes: seen.append((op, attributes))):
        function(*tensors)
    return seen


def _functional():
    torch = torch_()
    return torch, torch.nn.functional


# name: (ours, theirs (of torch and torch.nn.functional), kinks, (op, attributes) that are recorded)
POINTWISE = {
    "relu": (ops.relu, lambda t, f: f.relu, (0,), ("relu", {})),
    "relu6": (lambda x: ops.clip(x, 0, 6), lambda t, f: f.relu6, (0, 6), ("clip", {"low": 0.0, "high": 6.0})),
    "clip": (
        lambda x: ops.clip(x, -0.5, 0.25),
        lambda t, f: lambda x: f.hardtanh(x, -0.5, 0.25),
        (-0.5, 0.25),
        ("clip", {"low": -0.5, "high": 0.25}),
    ),
    "leaky_relu": (ops.leaky_relu, lambda t, f: f.leaky_relu, (0,), ("leaky_relu", {"slope": 0.01})),
    "leaky_relu -2": (
        lambda x: ops.leaky_relu(x, -2),
        lambda t, f: lambda x: f.leaky_relu(x, -2),
        (0,),
        ("leaky_relu", {"slope": -2.0}),
    ),
    "sigmoid": (ops.sigmoid, lambda t, f: t.sigmoid, (), ("sigmoid", {})),
    "tanh": (ops.tanh, lambda t, f: t.tanh, (), ("tanh", {})),
    "hard_sigmoid": (
        ops.hard_sigmoid,
        lambda t, f: lambda x: f.relu6(x + 3) / 6,  # f.hardsigmoid's gradient has 1/6 in float32
        (-3, 3),
        ("hard_sigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    ),
    "hard_swish": (ops.hard_swish, lambda t, f: f.hardswish, (-3, 3), ("hard_swish", {})),
    "silu": (ops.silu, lambda t, f: f.silu, (), ("silu", {})),
    "elu": (lambda x: ops.elu(x, 0.7), lambda t, f: lambda x: f.elu(x, 0.7), (0,), ("elu", {"alpha": 0.7})),
    "gelu": (ops.gelu, lambda t, f: f.gelu, (), ("gelu", {})),
    "gelu_tanh": (
        lambda x: ops.gelu(x, "tanh"),
        lambda t, f: lambda x: f.gelu(x, approximate="tanh"),
        (),
        ("gelu_tanh", {}),
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", POINTWISE)
def test_functions_of_one_number(name, shape):
    ours, _, kinks, _ = POINTWISE[name]
    check_grads(ours, [away(3 * normal(*shape), *kinks)])
    x = Tensor(normal(*shape).astype(np.float32), requires_grad=True)
    y = ours(x)
    y.backward(np.ones(shape, np.float32))
    assert y.dtype == x.grad.dtype == np.float32


@pytest.mark.torch
@pytest.mark.parametrize("name", POINTWISE)
def test_functions_of_one_number_are_pytorchs(name):
    """Kinks, large numbers, -0.0, infinities and NaN included."""
    ours, theirs, kinks, _ = POINTWISE[name]
    theirs = theirs(*_functional())
    special = [0.0, -0.0, *map(float, kinks), 30, -30, 1e3, -1e3, 1e200, -1e200, np.inf, -np.inf, np.nan]
    x = np.concatenate([4 * normal(400), special])
    with np.errstate(invalid="ignore", over="ignore"):
        got, dx = run(ours, [x])
    wanted, wanted_dx = as_torch(theirs, [x], np.ones(len(x)))
    np.testing.assert_allclose(got, wanted, rtol=1e-13, atol=1e-15)
    numbers = np.isfinite(x)
    if name == "hard_sigmoid":  # alpha x + beta, rounded once or twice, is 0 or next to it at the kink
        numbers &= np.abs(x) != 3
    np.testing.assert_allclose(dx[numbers], wanted_dx[numbers], rtol=1e-12, atol=1e-14)
    with np.errstate(invalid="ignore", over="ignore"):
        small = x.astype(np.float32)
        small = small[~(np.abs(small) > 1e30)]  # f.gelu of infinities differs between float32 and float64
        got = ours(Tensor(small)).data
    np.testing.assert_allclose(got, theirs(torch_().tensor(small)).numpy(), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", POINTWISE)
def test_what_is_recorded(name):
    ours, _, _, wanted = POINTWISE[name]
    assert recorded(ours, Tensor(normal(2, 3))) == [wanted]


@pytest.mark.parametrize(("shape", "slopes"), [((3, 1), 1), ((2, 5), 5), ((2, 5, 4, 3), 5), ((2, 5, 4, 3), 1)])
def test_prelu(shape, slopes):
    arrays = [away(normal(*shape), 0), normal(slopes)]
    check_grads(ops.prelu, arrays)
    assert recorded(ops.prelu, *map(Tensor, arrays)) == [("prelu", {})]


@pytest.mark.torch
@pytest.mark.parametrize("slopes", [1, 5])
def test_prelu_is_pytorchs(slopes):
    x = normal(2, 5, 4, 3)
    x[0, 0, 0, :2] = 0, -0.0
    alike(ops.prelu, _functional()[1].prelu, [x, normal(slopes)])


@pytest.mark.parametrize("op", [ops.add, ops.mul])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 4, 5), (3, 2, 1, 7)])
def test_a_value_for_every_channel(op, shape):
    large, small = normal(*shape), normal(*shape[:2], 1, 1)
    check_grads(op, [large, small])
    check_grads(op, [small, large])
    check_grads(lambda x: op(x, x), [large])
    wanted = np.vectorize({ops.add: lambda a, b: a + b, ops.mul: lambda a, b: a * b}[op])(large, small)
    np.testing.assert_array_equal(op(Tensor(large), Tensor(small)).data, wanted)
    assert [name for name, _ in recorded(op, Tensor(large), Tensor(small))] == [op.__name__]


@pytest.mark.parametrize("op", [ops.add, ops.mul])
@pytest.mark.parametrize("other", [(2, 3, 4, 1), (1, 3, 1, 1), (2, 1, 1, 1), (2, 1, 4, 5), (3, 1, 1), (2, 3)])
def test_no_other_broadcasting(op, other):
    with pytest.raises(ValueError, match=r"must be equal, or one of \(N, C, 1, 1\)"):
        op(Tensor(normal(2, 3, 4, 5)), Tensor(normal(*other)))


@pytest.mark.parametrize("shape", [(), (1, 1), (3, 5)])
def test_channels(shape):
    parts = [normal(2, c, *shape) for c in (1, 3, 2)]
    check_grads(lambda *t: ops.concat(t), parts)
    check_grads(lambda x: ops.concat([x, x]), parts[:1])
    x = normal(2, 6, *shape)
    check_grads(lambda x: ops.channel_slice(x, 1, 4), [x])
    check_grads(lambda x: ops.channel_shuffle(x, 3), [x])
    np.testing.assert_array_equal(ops.concat([Tensor(p) for p in parts]).data, np.concatenate(parts, 1))
    np.testing.assert_array_equal(ops.channel_slice(Tensor(x), 5, 6).data, x[:, 5:])
    assert recorded(lambda x: ops.concat([x, x]), Tensor(x)) == [("concat", {})]
    assert recorded(lambda x: ops.channel_slice(x, 1, 4), Tensor(x)) == [("slice", {"first": 1, "last": 4})]
    assert recorded(lambda x: ops.channel_shuffle(x, 3), Tensor(x)) == [("shuffle", {"groups": 3})]


@pytest.mark.torch
@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_channel_shuffle_is_pytorchs(groups):
    torch = torch_()
    alike(lambda x: ops.channel_shuffle(x, groups), torch.nn.ChannelShuffle(groups), [normal(2, 6, 3, 2)])


WINDOWS = [  # shape, kernel, stride, padding
    ((1, 1, 1, 1), (1, 1), (1, 1), (0, 0)),
    ((2, 3, 5, 4), (2, 2), (2, 2), (1, 1)),
    ((1, 2, 7, 6), (3, 2), (2, 1), (1, 0)),
    ((1, 2, 6, 7), (3, 3), (2, 2), (1, 1)),
    ((2, 1, 4, 5), (2, 4), (3, 3), (0, 2)),
    ((1, 1, 3, 3), (5, 5), (1, 2), (2, 2)),
    ((1, 2, 8, 5), (3, 3), (4, 3), (0, 1)),
    ((1, 1, 7, 7), (2, 3), (3, 2), (1, 1)),
]
CEIL, COUNT = (False, True), (False, True)


def pools(shape, kernel, stride, padding, ceil_mode):
    """Of ours and PyTorch's: the functions of one window."""
    window = {"padding": padding, "ceil_mode": ceil_mode}
    yield (
        lambda x: ops.max_pool(x, kernel, stride, **window),
        lambda f: lambda x: f.max_pool2d(x, kernel, stride, **window),
    )
    for count in COUNT:
        yield (
            lambda x, count=count: ops.avg_pool(x, kernel, stride, **window, count_include_pad=count),
            lambda f, count=count: lambda x: f.avg_pool2d(x, kernel, stride, **window, count_include_pad=count),
        )


@pytest.mark.torch
@pytest.mark.parametrize("ceil_mode", CEIL)
@pytest.mark.parametrize(("shape", "kernel", "stride", "padding"), WINDOWS)
def test_pools_are_pytorchs(shape, kernel, stride, padding, ceil_mode):
    x, f = distinct(*shape), _functional()[1]
    for ours, theirs in pools(shape, kernel, stride, padding, ceil_mode):
        alike(ours, theirs(f), [x])


@pytest.mark.torch
def test_ceil_mode_keeps_a_window_larger_than_the_picture():
    """One that a whole stride would still reach: GoogLeNet on small pictures has it."""
    x, f = distinct(1, 2, 2, 4), _functional()[1]
    for ours, theirs in pools(x.shape, (3, 3), (2, 2), 0, True):
        alike(ours, theirs(f), [x])
        check_grads(ours, [x])
    with pytest.raises(ValueError, match=r"does not fit an input of \(1, 4\)"):
        ops.max_pool(Tensor(distinct(1, 2, 1, 4)), 3, 2, ceil_mode=True)


@pytest.mark.parametrize("ceil_mode", CEIL)
@pytest.mark.parametrize(("shape", "kernel", "stride", "padding"), WINDOWS)
def test_gradients_of_pools(shape, kernel, stride, padding, ceil_mode):
    for ours, _ in pools(shape, kernel, stride, padding, ceil_mode):
        check_grads(ours, [distinct(*shape)])


SIDES = [(1, 0, 0, 2), (0, 1, 2, 0), (2, 1, 1, 0)]  # top, left, bottom, right


@pytest.mark.parametrize("padding", SIDES)
@pytest.mark.parametrize("counted", [(0, 0, 0, 0), None, (1, 0, 0, 1)])
def test_pools_with_four_paddings(padding, counted):
    """By loops over the places of every window."""
    counted = tuple(min(c, p) for c, p in zip(counted or padding, padding, strict=True))
    kernel, stride, shape = (3, 3), (2, 1), (2, 2, 6, 5)
    x = distinct(*shape)
    (most, mean), (top, left, bottom, right) = (
        (
            ops.max_pool(Tensor(x), kernel, stride, padding=padding).data,
            ops.avg_pool(Tensor(x), kernel, stride, padding=padding, count_include_pad=counted).data,
        ),
        padding,
    )
    out = (6 + top + bottom - 3) // 2 + 1, 5 + left + right - 3 + 1
    assert most.shape == mean.shape == (2, 2, *out)
    for n, c, p, q in np.ndindex(most.shape):
        rows, columns = range(2 * p - top, 2 * p - top + 3), range(q - left, q - left + 3)
        seen = [x[n, c, i, j] for i in rows for j in columns if 0 <= i < 6 and 0 <= j < 5]
        places = sum(
            -counted[0] <= i < 6 + counted[2] and -counted[1] <= j < 5 + counted[3] for i in rows for j in columns
        )
        assert most[n, c, p, q] == max(seen)
        assert mean[n, c, p, q] == pytest.approx(sum(seen) / places, rel=1e-12, abs=1e-13)
    check_grads(lambda x: ops.max_pool(x, kernel, stride, padding=padding), [x])
    check_grads(lambda x: ops.avg_pool(x, kernel, stride, padding=padding, count_include_pad=counted), [x])


def test_what_pools_record():
    x = Tensor(normal(1, 1, 6, 6))
    (op, attributes), (mean, means) = recorded(
        lambda x: (
            ops.max_pool(x, 3, 2, padding=1, ceil_mode=True),
            ops.avg_pool(x, (3, 2), 2, padding=1, ceil_mode=True),
        ),
        x,
    )
    assert (op, mean) == ("max_pool", "avg_pool")
    assert attributes == {"kernel": (3, 3), "stride": (2, 2), "padding": (1, 1, 2, 2)}
    assert means == {"kernel": (3, 2), "stride": (2, 2), "padding": (1, 1, 2, 1), "counted": (1, 1, 1, 1)}


@pytest.mark.torch
def test_maxima_of_equals_and_of_what_is_no_number():
    """The gradient goes to the first of equals inside the picture, and to the last NaN."""
    f = _functional()[1]
    for value in (-np.inf, np.nan, np.inf, 0.0):
        x = normal(1, 2, 4, 4)
        x[0, 0, :2] = x[0, 1, 1, 1] = value
        y, dx = run(lambda x: ops.max_pool(x, 3, 2, padding=1), [x])
        wanted, wanted_dx = as_torch(lambda x: f.max_pool2d(x, 3, 2, padding=1), [x], np.ones(y.shape))
        np.testing.assert_array_equal(y, wanted)
        np.testing.assert_array_equal(dx, wanted_dx)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 5, 4), (1, 2, 7, 13), (1, 1, 6, 6)])
@pytest.mark.parametrize("output", [1, (1, 2), (3, 2), 4, (7, 5)])
def test_adaptive_average(shape, output):
    check_grads(lambda x: ops.adaptive_avg_pool(x, output), [normal(*shape)])
    pair = (output, output) if isinstance(output, int) else output
    assert recorded(lambda x: ops.adaptive_avg_pool(x, output), Tensor(normal(*shape))) == [
        ("adaptive_avg_pool", {"output": pair})
    ]


@pytest.mark.torch
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 5, 4), (1, 2, 7, 13), (1, 1, 6, 6)])
@pytest.mark.parametrize("output", [1, (1, 2), (3, 2), 4, (7, 5)])
def test_adaptive_average_is_pytorchs(shape, output):
    f = _functional()[1]
    alike(lambda x: ops.adaptive_avg_pool(x, output), lambda x: f.adaptive_avg_pool2d(x, output), [normal(*shape)])


LRN = [
    (1, 1.0, 0.5, 1.0),
    (2, 0.3, 0.75, 2.0),
    (3, 1e-4, 0.75, 1.0),
    (4, 2.0, 1.5, 0.5),
    (5, 0.1, 0.75, 1.0),
    (12, 1, 1, 1),
]


@pytest.mark.parametrize(("size", "alpha", "beta", "bias"), LRN)
@pytest.mark.parametrize("shape", [(2, 7, 2, 3), (1, 1, 1, 1), (3, 4)])
def test_local_response_norm(shape, size, alpha, beta, bias):
    check_grads(lambda x: ops.local_response_norm(x, size, alpha, beta, bias), [normal(*shape)])
    attributes = {"size": size, "alpha": alpha, "beta": beta, "bias": bias}
    assert recorded(lambda x: ops.local_response_norm(x, size, alpha, beta, bias), Tensor(normal(*shape))) == [
        ("lrn", attributes)
    ]


@pytest.mark.torch
@pytest.mark.parametrize(("size", "alpha", "beta", "bias"), LRN)
def test_local_response_norm_is_pytorchs(size, alpha, beta, bias):
    f = _functional()[1]
    alike(
        lambda x: ops.local_response_norm(x, size, alpha, beta, bias),
        lambda x: f.local_response_norm(x, size, alpha, beta, bias),
        [normal(2, 7, 2, 3)],
    )


CONV = [  # x, w, options: sides that differ, per axis sizes, groups, a multiplier of depthwise
    ((1, 2, 5, 4), (3, 2, 3, 3), {"padding": (0, 1, 2, 0), "stride": 2}),
    ((2, 3, 7, 6), (6, 1, 3, 2), {"padding": (1, 0, 1, 1), "groups": 3, "dilation": (1, 2)}),
    ((1, 4, 9, 8), (8, 2, 5, 3), {"padding": (2, 1, 3, 2), "groups": 2, "stride": (2, 1)}),
    ((1, 4, 6, 7), (12, 1, 2, 3), {"groups": 4, "padding": (1, 1), "stride": (1, 2)}),
    ((1, 1, 1, 1), (1, 1, 2, 2), {"padding": (0, 0, 1, 1)}),
]


@pytest.mark.parametrize(("x", "w", "options"), CONV)
def test_convolutions(x, w, options):
    check_grads(lambda x, w, b: ops.conv2d(x, w, b, **options), [normal(*x), normal(*w), normal(w[0])])
    check_grads(lambda x, w: ops.conv2d(x, w, **options), [normal(*x), normal(*w)])


@pytest.mark.torch
@pytest.mark.parametrize(("x", "w", "options"), CONV)
def test_convolutions_are_pytorchs(x, w, options):
    f = _functional()[1]
    sides = options.get("padding")
    top, left, bottom, right = sides if len(sides) == 4 else sides * 2
    rest = {k: v for k, v in options.items() if k != "padding"}
    alike(
        lambda x, w, b: ops.conv2d(x, w, b, **options),
        lambda x, w, b: f.conv2d(f.pad(x, (left, right, top, bottom)), w, b, **rest),
        [normal(*x), normal(*w), normal(w[0])],
    )


def test_sides_that_differ_are_a_pad_before_a_convolution():
    x, w = Tensor(normal(1, 2, 5, 4)), Tensor(normal(3, 2, 3, 3))
    plain = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    assert recorded(lambda x, w: ops.conv2d(x, w, padding=(0, 1, 2, 0)), x, w) == [
        ("pad", {"before": (0, 0, 0, 1), "after": (0, 0, 2, 0)}),
        ("conv2d", plain),
    ]
    assert recorded(lambda x, w: ops.conv2d(x, w, padding=(1, 2, 1, 2)), x, w) == [
        ("conv2d", {**plain, "padding": (1, 2)})
    ]


X = Tensor(np.ones((1, 4, 5, 5)))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ops.clip(X, 1, 0), "clip from 1 to 0: wanted low <= high"),
        (lambda: ops.clip(X, np.nan, 0), "clip from nan to 0"),
        (lambda: ops.leaky_relu(X, np.inf), "slope is inf, wanted a finite number"),
        (lambda: ops.prelu(X, Tensor(np.ones(3))), r"prelu of x \(1, 4, 5, 5\) with slope \(3,\): wanted \(4,\)"),
        (lambda: ops.elu(X, np.nan), "alpha is nan"),
        (lambda: ops.gelu(X, "sigmoid"), "approximate is 'sigmoid', wanted none or tanh"),
        (lambda: ops.hard_sigmoid(X, np.inf), "alpha inf, beta 0.5: wanted finite"),
        (lambda: ops.concat([X, Tensor(np.ones((1, 4, 5, 4)))]), r"\(1, 4, 5, 5\), \(1, 4, 5, 4\): wanted equal axes"),
        (lambda: ops.concat([]), "concat of shapes : wanted"),
        (lambda: ops.channel_slice(X, 2, 5), "channels 2 to 5"),
        (lambda: ops.channel_slice(X, 2, 2), "channels 2 to 2"),
        (lambda: ops.channel_shuffle(X, 3), "in 3 group"),
        (lambda: ops.max_pool(X, 2, padding=(2, 0)), r"a window of \(2, 2\) sees no pixel"),
        (lambda: ops.max_pool(X, 2, 1, padding=(0, 0, 0, 2)), r"a window of \(2, 2\) sees no pixel"),
        (lambda: ops.max_pool(X, 8, padding=1), r"a window of \(8, 8\) does not fit"),
        (lambda: ops.max_pool(X, 2, padding=(1, 2, 3)), "padding is .* wanted 1, 2 or 4 integers"),
        (lambda: ops.avg_pool(X, 2, padding=(1, 0), count_include_pad=1), "counts a border of"),
        (lambda: ops.adaptive_avg_pool(X, 0), "output is 0"),
        (lambda: ops.local_response_norm(X, 0), "over 0 channels"),
        (lambda: ops.conv2d(X, Tensor(np.ones((1, 4, 1, 1))), padding=(0, 0, -1, 0)), "padding is"),
    ],
)
def test_errors(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_all_combinations_of_a_small_pool():
    """Every kernel up to 3, stride up to 3, padding up to half of it on a picture of 5 x 4: shapes as PyTorch's."""
    torch, f = _functional()
    x = normal(1, 1, 5, 4)
    for kernel, stride, ceil_mode, count in itertools.product((1, 2, 3), (1, 2, 3), CEIL, COUNT):
        for padding in range(kernel // 2 + 1):
            window = {"padding": padding, "ceil_mode": ceil_mode}
            got = ops.avg_pool(Tensor(x), kernel, stride, **window, count_include_pad=count).data
            wanted = f.avg_pool2d(torch.tensor(x), kernel, stride, **window, count_include_pad=count).numpy()
            np.testing.assert_allclose(got, wanted, rtol=1e-13, atol=1e-14)
            most = f.max_pool2d(torch.tensor(x), kernel, stride, **window).numpy()
            np.testing.assert_array_equal(ops.max_pool(Tensor(x), kernel, stride, **window).data, most)
