"""The tape: sharing, reuse, precision, in-place use."""

import weakref

import numpy as np
import pytest

from elq_ref import Tensor, check_grads, no_grad, ops
from elq_ref.tensor import record


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


def test_a_second_backward_pass_is_refused_and_changes_nothing():
    x = Tensor(np.ones(2), requires_grad=True)
    y = x * x
    z = y + y
    y.backward(np.ones(2))
    assert not y.is_leaf
    for again in (y, z):  # z is new, but stands on y, whose tape is gone
        with pytest.raises(RuntimeError, match=r"already went through this mul of shape \(2,\)"):
            again.backward(np.ones(2))
    np.testing.assert_array_equal(x.grad, 2)


def test_backward_frees_the_tape_as_it_goes():
    """When the gradient of the first operation is computed, what the later ones saved is gone already."""
    alive: list[bool] = []
    saved = np.ones(3)
    watched = weakref.ref(saved)

    def first(dy: np.ndarray) -> tuple[np.ndarray]:
        alive.append(watched() is not None)
        return (dy,)

    x = Tensor(np.ones(3), requires_grad=True)
    y = record("first", x.data + 0, (x,), first)
    z = record("last", y.data + 0, (y,), lambda dy, saved=saved: (dy * saved,))
    del saved, y
    z.backward(np.ones(3))
    assert alive == [False]


@pytest.mark.parametrize("uses", [1, 2, 3])
def test_sums_in_place_write_into_no_array_of_another(uses: int):
    """A gradient may be dy itself, a view of it, or one array for two operands."""
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    y = record("first", x.data + 0, (x,), lambda dy: (dy,))

    def twice(dy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        one = 2 * dy
        return one, one

    z = record("second", x.data + 0, (x,), lambda dy: (dy[:],))
    total = y + z
    for _ in range(uses):
        total = total + record("twice", y.data + 0, (y, z), twice)
        total = total + ops.reshape(ops.reshape(y, (3, 2)), (2, 3)) + z * z
    dy = np.ones((2, 3))
    total.backward(dy)
    np.testing.assert_array_equal(dy, 1)
    # d/dy and d/dz of the first sum, then of every round: 2 and 2, 1 and 0, 0 and 2 z with z = 1.
    np.testing.assert_array_equal(x.grad, 2 + uses * (4 + 1 + 2))


def test_backward_checks_dy():
    x = Tensor(np.ones(2), requires_grad=True)
    with pytest.raises(ValueError, match="one element"):
        (x * x).backward()
    with pytest.raises(ValueError, match=r"\(3,\).*\(2,\)"):
        (x * x).backward(np.ones(3))


WRONG = {  # what a backward function returns for operands (2, 3) and (3), and how it is said
    "a row": (
        lambda dy: (dy[0], dy.sum(0)),
        r"returned float64 \(3,\) as the gradient of operand 0, .*float64 \(2, 3\)",
    ),
    "no sum": (lambda dy: (dy, dy), r"returned float64 \(2, 3\) as the gradient of operand 1, .*float64 \(3,\)"),
    "single": (lambda dy: (dy.astype(np.float32), dy.sum(0)), r"returned float32 \(2, 3\) as .* operand 0"),
    "a number": (lambda dy: (1.0, dy.sum(0)), r"returned a float as the gradient of operand 0"),
    "a Tensor": (lambda dy: (dy, Tensor(dy.sum(0))), r"returned a Tensor as the gradient of operand 1"),
    "one": (lambda dy: (dy,), "returned 1 gradients, wanted a list of 2"),
    "three": (lambda dy: [dy, dy.sum(0), None], "returned 3 gradients, wanted a list of 2"),
    "an array": (lambda dy: dy, "returned a ndarray, wanted a list of 2"),
    "nothing": (lambda dy: None, "returned a NoneType, wanted a list of 2"),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("uses", [1, 2])
def test_an_operation_is_not_believed(case, uses):
    backward, said = WRONG[case]
    x, b = Tensor(np.ones((2, 3)), requires_grad=True), Tensor(np.ones(3), requires_grad=True)

    def shifted(x, b):
        out = x
        for _ in range(uses):
            out = record("shifted", out.data + b.data, (out, b), backward)
        return out + x

    with pytest.raises(ValueError, match=f"backward of shifted {said}"):
        shifted(x, b).backward(np.ones((2, 3)))
    assert x.grad is None  # although its part of the sum was known by then
    assert b.grad is None
    with pytest.raises(ValueError, match=f"backward of shifted {said}"):
        check_grads(shifted, [np.ones((2, 3)), np.ones(3)])


def test_check_grads_compares_in_float64():
    def single(x):
        return record("single", x.data.astype(np.float32), (x,), lambda dy: [dy.astype(np.float64)])

    for function, said in ((single, "result is float32"), (lambda x: x.data, "result is a ndarray")):
        with pytest.raises(TypeError, match=f"compares in float64, the function's {said}, wanted a float64 Tensor"):
            check_grads(function, [np.ones(2)])


def test_numbers_and_arrays_are_no_tensors():
    x = Tensor(np.ones(2, np.float32))
    for compute in (lambda: x * 2, lambda: 2 * x):
        with pytest.raises(TypeError, match=r"mul of a Tensor float32 \(2,\) and a int: both must be Tensors"):
            compute()
    for compute in (lambda: x + np.ones(2), lambda: np.ones(2) + x):
        with pytest.raises(TypeError, match=r"add of a Tensor float32 \(2,\) and an array float64 \(2,\)"):
            compute()


def test_a_composed_network_passes_the_check():
    rng = np.random.default_rng(0)
    labels = np.array([0, 2])

    def net(x, w, gamma, beta, v):
        y = ops.batch_norm(ops.conv2d(x, w, padding=1), gamma, beta, np.zeros(3), np.ones(3), training=True)
        return ops.softmax_cross_entropy(ops.linear(ops.global_avg_pool(y * y), v), labels)

    shapes = [(2, 2, 4, 3), (3, 2, 3, 3), (3,), (3,), (4, 3)]
    check_grads(net, [rng.standard_normal(s) for s in shapes], tolerance=1e-6)
