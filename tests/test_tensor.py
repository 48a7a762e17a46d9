"""The tape: sharing, reuse, precision, in-place use."""

import numpy as np
import pytest

from elq_ref import Tensor, check_grads, no_grad, ops


def test_a_tensor_used_several_times_gets_the_sum():
    x = Tensor(np.array([2.0, -3.0]), requires_grad=True)
    square = x * x
    (square * x + square).backward(np.ones(2))  # x^3 + x^2
    np.testing.assert_allclose(x.grad, 3 * x.data**2 + 2 * x.data)


def test_shared_subgraphs_are_walked_once():
    x = Tensor(np.array([1.0]), requires_grad=True)
    y = x
    for _ in range(60):  # 2^60 paths
        y = y + y
    y.backward(np.ones(1))
    assert x.grad[0] == 2.0**60


def test_deep_graphs_need_no_recursion():
    x = Tensor(np.ones(1), requires_grad=True)
    y = x
    for _ in range(5000):
        y = ops.relu(y)
    y.backward(np.ones(1))
    assert x.grad[0] == 1


def test_grad_adds_up_over_calls_until_it_is_cleared():
    x = Tensor(np.ones(2), requires_grad=True)
    for _ in range(2):
        (x * x).backward(np.ones(2))
    np.testing.assert_array_equal(x.grad, 4)
    x.grad = None
    (x * x).backward(np.ones(2))
    np.testing.assert_array_equal(x.grad, 2)


def test_gradients_do_not_share_memory():
    a, b = (Tensor(np.ones(2), requires_grad=True) for _ in range(2))
    (a + b).backward(np.ones(2))
    a.grad += 1
    np.testing.assert_array_equal(b.grad, 1)


def test_operands_without_requires_grad_get_none():
    a, b = Tensor(np.ones(2)), Tensor(np.ones(2), requires_grad=True)
    (a * b).backward(np.ones(2))
    assert a.grad is None
    np.testing.assert_array_equal(b.grad, 1)


def test_no_grad_leaves_nothing_on_the_tape():
    x = Tensor(np.ones(2), requires_grad=True)
    with no_grad():
        y = x * x
    assert y.is_leaf
    assert not y.requires_grad
    with pytest.raises(RuntimeError, match="requires_grad"):
        y.backward(np.ones(2))


def test_precisions_are_never_mixed_or_converted():
    single, double = Tensor(np.ones(2, np.float32)), Tensor(np.ones(2))
    with pytest.raises(TypeError, match=r"float32 \(2,\), float64 \(2,\)"):
        ops.add(single, double)
    for bad in (np.arange(3), np.ones(2, np.float16), np.array(["a"])):
        with pytest.raises(TypeError, match="float32 or float64"):
            Tensor(bad)
    assert (single * single).dtype == np.float32
    with pytest.raises(ValueError, match="float64"):
        single.data = np.ones(2)


def test_in_place_use_is_refused():
    x = Tensor(np.ones(2), requires_grad=True)
    with pytest.raises(TypeError, match="in place"):
        x += x
    with pytest.raises(TypeError, match="in place"):
        x[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        x.data[0] = 5
    with pytest.raises(RuntimeError, match="result of mul"):
        (x * x).data = np.ones(2)
    with pytest.raises(ValueError, match=r"\(3,\).*\(2,\)"):
        x.data = np.ones(3)


def test_a_value_replaced_after_the_forward_pass_is_noticed():
    x = Tensor(np.ones((1, 2)), requires_grad=True)
    w = Tensor(np.ones((3, 2)), requires_grad=True)
    y = ops.linear(x, w)
    w.data = np.zeros((3, 2))
    with pytest.raises(RuntimeError, match=r"operand 1 of linear, shape \(3, 2\)"):
        y.backward(np.ones((1, 3)))


def test_backward_checks_dy():
    x = Tensor(np.ones(2), requires_grad=True)
    with pytest.raises(ValueError, match="one element"):
        (x * x).backward()
    with pytest.raises(ValueError, match=r"\(3,\).*\(2,\)"):
        (x * x).backward(np.ones(3))


def test_a_composed_network_passes_the_check():
    rng = np.random.default_rng(0)
    labels = np.array([0, 2])

    def net(x, w, gamma, beta, v):
        y = ops.batch_norm(ops.conv2d(x, w, padding=1), gamma, beta, np.zeros(3), np.ones(3), training=True)
        return ops.softmax_cross_entropy(ops.linear(ops.global_avg_pool(y * y), v), labels)

    shapes = [(2, 2, 4, 3), (3, 2, 3, 3), (3,), (3,), (4, 3)]
    check_grads(net, [rng.standard_normal(s) for s in shapes], tolerance=1e-6)
