"""check_grads: the gradient of an operation against central differences."""

from collections.abc import Callable, Sequence

import numpy as np

from .tensor import Tensor


class GradientError(AssertionError):
    """An analytic gradient differs from the numerical one."""


def check_grads(
    function: Callable[..., Tensor],
    arguments: Sequence[np.ndarray],
    *,
    seed: int = 0,
    step: float = 1e-5,
    tolerance: float = 1e-6,
) -> float:
    """Compare the gradients of `function(*tensors)` with central differences, in float64; return the largest deviation.

    For a random cotangent v, phi = sum(v * f) has the analytic derivative <v, J e> along each coordinate e, which is
    compared with (phi(+step) - phi(-step)) / (2 step): error O(step^2) + O(eps / step), so about 1e-10 relative here,
    far below `tolerance` (relative to 1 + |gradient|). Kinks: at a point where the left and right differences of one
    coordinate disagree (a ReLU at 0, a tie in a maximum) the derivative does not exist, and the check refuses to judge.

    arguments: float64 arrays; all of them are checked. Raises TypeError for another dtype, of an argument or of the
    result, GradientError naming argument and index where they differ, ValueError at a kink and what `Tensor.backward`
    raises for a gradient of another shape or dtype than its operand.

    >>> elq.check_grads(elq.ops.mul, [np.array([1.0, 2.0]), np.array([-3.0, 0.5])]) < 1e-8
    True
    >>> wrong = lambda x: elq.record("wrong", x.data**2, (x,), lambda dy: [dy * x.data])  # it is 2 x dy
    >>> elq.check_grads(wrong, [np.array([3.0])])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    elq_ref.gradcheck.GradientError: argument 0 at (0,): analytic 0.377190663, numeric 0.754381327, ...
    """
    arguments = [np.array(a) for a in arguments]
    for position, array in enumerate(arguments):
        if array.dtype != np.float64:
            raise TypeError(f"check_grads works in float64, argument {position} is {array.dtype}")
    tensors = [Tensor(a.copy(), requires_grad=True) for a in arguments]
    out = function(*tensors)
    if not isinstance(out, Tensor) or out.dtype != np.float64:
        given = out.dtype if isinstance(out, Tensor) else f"a {type(out).__name__}"
        raise TypeError(f"check_grads compares in float64, the function's result is {given}, wanted a float64 Tensor")
    cotangent = np.random.default_rng(seed).standard_normal(out.shape)
    out.backward(cotangent)

    def phi() -> float:
        return float(np.sum(cotangent * function(*(Tensor(a) for a in arguments)).data))

    middle, worst = phi(), 0.0
    for position, (array, tensor) in enumerate(zip(arguments, tensors, strict=True)):
        analytic = np.zeros_like(array) if tensor.grad is None else tensor.grad
        for index in np.ndindex(array.shape):
            kept = array[index]
            array[index] = kept + step
            above = phi()
            array[index] = kept - step
            below = phi()
            array[index] = kept
            right, left = (above - middle) / step, (middle - below) / step
            if abs(right - left) > 1e-2 * (1 + abs(right) + abs(left)):
                raise ValueError(
                    f"argument {position} at {index} = {kept} sits on a kink: slopes {left:.4g} and {right:.4g}"
                )
            numeric = (above - below) / (2 * step)
            deviation = float(abs(numeric - analytic[index]) / (1 + abs(numeric)))
            worst = max(worst, deviation)
            if not deviation <= tolerance:
                raise GradientError(
                    f"argument {position} at {index}: analytic {analytic[index]:.9g}, numeric {numeric:.9g}, "
                    f"relative deviation {deviation:.2g} > {tolerance:.2g}"
                )
    return worst
