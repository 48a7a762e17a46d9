"""Every operation against central differences in float64, and against definitions written as loops."""

import numpy as np
import pytest

from elq_ref import check_grads, ops
from elq_ref.gradcheck import GradientError
from elq_ref.tensor import Tensor, record

rng = np.random.default_rng(7)


def normal(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape)


def distinct(*shape: int) -> np.ndarray:
    """Values at least 0.1 apart and away from 0, so that no maximum ties and no ReLU is at its kink."""
    size = int(np.prod(shape))
    return ((rng.permutation(size) - size // 2 + 0.5) * 0.1).reshape(shape)


CONV = [  # x, w, options
    ((1, 1, 1, 1), (1, 1, 1, 1), {}),
    ((2, 3, 5, 4), (4, 3, 3, 3), {"padding": 1}),
    ((1, 3, 7, 5), (2, 3, 3, 2), {"stride": (2, 1), "padding": (1, 0)}),
    ((2, 2, 7, 7), (3, 2, 1, 1), {"stride": 3}),
    ((1, 4, 6, 5), (6, 2, 3, 3), {"groups": 2, "padding": 1}),
    ((2, 5, 4, 4), (5, 1, 3, 3), {"groups": 5, "padding": 1, "stride": 2}),
    ((1, 2, 9, 8), (3, 2, 3, 2), {"dilation": (2, 3), "padding": 2}),
    ((1, 1, 5, 5), (1, 1, 5, 5), {}),
    ((1, 3, 4, 9), (7, 3, 1, 5), {"padding": (0, 2)}),
]


@pytest.mark.parametrize(("x", "w", "options"), CONV)
def test_conv2d_gradients(x, w, options):
    check_grads(lambda x, w, b: ops.conv2d(x, w, b, **options), [normal(*x), normal(*w), normal(w[0])])


@pytest.mark.parametrize(("x", "w", "options"), CONV)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_conv2d_is_its_definition(x, w, options, dtype):
    xs, ws, b = normal(*x).astype(dtype), normal(*w).astype(dtype), normal(w[0]).astype(dtype)
    y = ops.conv2d(Tensor(xs), Tensor(ws), Tensor(b), **options).data
    assert y.dtype == dtype
    pairs = [options.get(k, d) for k, d in (("stride", 1), ("padding", 0), ("dilation", 1))]
    (sh, sw), (ph, pw), (dh, dw) = ((p, p) if isinstance(p, int) else p for p in pairs)
    groups = options.get("groups", 1)
    per = w[0] // groups
    depth = w[1] * w[2] * w[3]
    for n, o, p, q in np.ndindex(y.shape):
        total = magnitude = float(b[o])
        magnitude = abs(magnitude)
        for c, i, j in np.ndindex(*w[1:]):
            r, s = p * sh - ph + i * dh, q * sw - pw + j * dw
            if 0 <= r < x[2] and 0 <= s < x[3]:
                product = float(xs[n, o // per * w[1] + c, r, s]) * float(ws[o, c, i, j])
                total += product
                magnitude += abs(product)
        assert abs(y[n, o, p, q] - total) <= (depth + 1) * np.finfo(dtype).eps * magnitude


def test_linear():
    check_grads(ops.linear, [normal(3, 5), normal(4, 5), normal(4)])
    check_grads(ops.linear, [normal(1, 1), normal(1, 1)])


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 4, 5), (3, 1, 1, 1), (1, 5, 3, 2)])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_batch_norm_gradients(shape, residual, training):
    c = shape[1]
    mean, var = normal(c), rng.random(c) + 0.5

    def f(x, gamma, beta, *extra):
        return ops.batch_norm(
            x, gamma, beta, mean.copy(), var.copy(), training=training, residual=extra[0] if extra else None
        )

    check_grads(f, [normal(*shape), normal(c), normal(c), *([normal(*shape)] if residual else [])], tolerance=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_fused_batch_norm_is_the_three_operations(training):
    x, gamma, beta, residual, dy = normal(3, 4, 5, 2), normal(4), normal(4), normal(3, 4, 5, 2), normal(3, 4, 5, 2)

    def run(fused):
        tensors = [Tensor(a, requires_grad=True) for a in (x, gamma, beta, residual)]
        mean, var = np.full(4, 0.1), np.full(4, 0.7)
        options = {"training": training}
        if fused:
            y = ops.batch_norm(*tensors[:3], mean, var, residual=tensors[3], relu=True, **options)
        else:
            y = ops.relu(ops.add(ops.batch_norm(*tensors[:3], mean, var, **options), tensors[3]))
        y.backward(dy)
        return [y.data, mean, var, *(t.grad for t in tensors)]

    for a, b in zip(run(True), run(False), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_running_statistics_follow_their_definition():
    x = normal(4, 2, 3, 3)
    mean, var = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    ones = Tensor(np.ones(2))
    ops.batch_norm(Tensor(x), ones, ones, mean, var, training=True, momentum=0.25)
    values = x.transpose(1, 0, 2, 3).reshape(2, -1)
    np.testing.assert_allclose(mean, 0.75 * np.array([1, 2]) + 0.25 * values.mean(1))
    np.testing.assert_allclose(var, 0.75 * np.array([3, 4]) + 0.25 * values.var(1, ddof=1))
    before = mean.copy()
    ops.batch_norm(Tensor(x), ones, ones, mean, var, training=True, momentum=None)
    np.testing.assert_array_equal(mean, before)


def test_elementwise_and_shapes():
    check_grads(ops.relu, [distinct(3, 4)])
    check_grads(ops.add, [normal(2, 3), normal(2, 3)])
    check_grads(ops.mul, [normal(2, 3), normal(2, 3)])
    check_grads(lambda x: ops.reshape(x, (3, -1)), [normal(2, 3, 2)])
    check_grads(lambda x: ops.pad(x, (0, 1, 2, 0), (0, 2, 0, 1)), [normal(1, 2, 3, 2)])
    for shape in ((1, 2, 5, 4), (2, 1, 1, 1), (1, 3, 2, 7)):
        check_grads(lambda x: ops.subsample(x, 2), [normal(*shape)])
        check_grads(ops.global_avg_pool, [normal(*shape)])


@pytest.mark.parametrize(
    ("shape", "kernel", "stride"),
    [
        ((1, 1, 1, 1), 1, None),
        ((2, 3, 5, 4), 2, None),
        ((1, 2, 7, 6), (3, 2), (2, 1)),
        ((2, 5, 7, 7), 2, 3),
        ((1, 1, 3, 9), (3, 4), 5),
    ],
)
def test_pools(shape, kernel, stride):
    check_grads(lambda x: ops.max_pool(x, kernel, stride), [distinct(*shape)])
    check_grads(lambda x: ops.avg_pool(x, kernel, stride), [normal(*shape)])
    kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
    stride = kernel if stride is None else stride
    sh, sw = (stride, stride) if isinstance(stride, int) else stride
    x = normal(*shape)
    top, mean = ops.max_pool(Tensor(x), kernel, stride).data, ops.avg_pool(Tensor(x), kernel, stride).data
    assert top.shape == mean.shape == (*shape[:2], (shape[2] - kh) // sh + 1, (shape[3] - kw) // sw + 1)
    for n, c, p, q in np.ndindex(top.shape):
        seen = x[n, c, p * sh : p * sh + kh, q * sw : q * sw + kw]
        assert top[n, c, p, q] == seen.max()
        assert mean[n, c, p, q] == pytest.approx(seen.mean(), rel=1e-12, abs=1e-12)


def test_max_pool_gradient_goes_to_the_first_of_equals():
    x = Tensor(np.zeros((1, 1, 2, 2)), requires_grad=True)
    ops.max_pool(x, 2).backward(np.ones((1, 1, 1, 1)))
    np.testing.assert_array_equal(x.grad[0, 0], [[1, 0], [0, 0]])


def test_softmax_cross_entropy():
    logits, labels = normal(4, 3) * 3, np.array([2, 0, 1, 1])
    check_grads(lambda z: ops.softmax_cross_entropy(z, labels), [logits])
    expected = np.mean([np.log(sum(np.exp(row))) - row[k] for row, k in zip(logits, labels, strict=True)])
    assert ops.softmax_cross_entropy(Tensor(logits), labels).item() == pytest.approx(expected, rel=1e-12)
    huge = ops.softmax_cross_entropy(Tensor(np.array([[1e4, 0.0]])), np.array([1]))
    assert huge.item() == 1e4


def test_relu_convention_at_zero():
    x = Tensor(np.zeros(3), requires_grad=True)
    ops.relu(x).backward(np.ones(3))
    np.testing.assert_array_equal(x.grad, 0)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ops.conv2d(Tensor(normal(1, 3, 4, 4)), Tensor(normal(2, 4, 3, 3))), ["(1, 3, 4, 4)", "(2, 4, 3, 3)"]),
        (lambda: ops.conv2d(Tensor(normal(1, 3, 4, 4)), Tensor(normal(2, 3, 5, 5))), ["(5, 5)", "(4, 4)"]),
        (lambda: ops.conv2d(Tensor(normal(3, 4, 4)), Tensor(normal(2, 3, 3, 3))), ["(3, 4, 4)", "N C H W"]),
        (
            lambda: ops.conv2d(Tensor(normal(1, 2, 4, 4)), Tensor(normal(2, 2, 3, 3)), Tensor(normal(3))),
            ["(3,)", "(2,)"],
        ),
        (lambda: ops.linear(Tensor(normal(2, 3)), Tensor(normal(5, 4))), ["(2, 3)", "(5, 4)"]),
        (lambda: ops.add(Tensor(normal(2, 3)), Tensor(normal(3))), ["(2, 3)", "(3,)"]),
        (lambda: ops.reshape(Tensor(normal(2, 3)), (4, -1)), ["(2, 3)", "(4, -1)"]),
        (lambda: ops.max_pool(Tensor(normal(1, 1, 2, 2)), 3), ["(3, 3)", "(2, 2)"]),
        (lambda: ops.softmax_cross_entropy(Tensor(normal(2, 3)), np.array([0, 3])), ["0 to 3", "0 to 2"]),
        (lambda: ops.softmax_cross_entropy(Tensor(normal(2, 3)), np.array([0])), ["(1,)", "(2, 3)"]),
        (lambda: ops.conv2d(Tensor(normal(1, 1, 4, 4)), Tensor(normal(1, 1, 1, 1)), stride=0), ["stride", "0"]),
    ],
)
def test_errors_name_what_was_given_and_wanted(call, words):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the words are the check
        call()
    assert all(word in str(error.value) for word in words), str(error.value)


def test_check_grads_finds_a_wrong_gradient_and_refuses_a_kink():
    def wrong(x):
        return record("wrong", x.data**2, (x,), lambda dy: (dy * x.data,))

    with pytest.raises(GradientError, match="argument 0"):
        check_grads(wrong, [normal(3)])
    with pytest.raises(ValueError, match="kink"):
        check_grads(ops.relu, [np.array([1.0, 0.0])])
    with pytest.raises(TypeError, match="float64"):
        check_grads(ops.relu, [np.ones(2, np.float32)])
