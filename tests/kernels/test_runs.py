"""Gradients of weights for every length of a run, the elements that the taps of a kernel's row have side by side.

The kernels take short runs two or three at a time, and each number and length is code of its own.
"""

import numpy as np
import pytest

from elq_ref.kernels import numpy_ops

_train = pytest.importorskip("elq_ref._train", reason="the C kernels are not built")

pytestmark = pytest.mark.kernels


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("groups", "o"), [(1, 16), (1, 32), (8, 2), (32, 1)])
@pytest.mark.parametrize("c", [1, 2])
def test_every_length_of_a_run(dtype, groups, o, c):
    rng = np.random.default_rng(7)
    for rows in (1, 2, 3):
        for taps in range(1, 17):
            x = rng.standard_normal((2, groups * c, 4, taps + 2)).astype(dtype)
            dy = rng.standard_normal((2, groups * o, 5 - rows, 3)).astype(dtype)
            shape = (groups * o, c, rows, taps)
            got = _train.conv2d_dw(dy, x, shape, groups=groups)
            wide, wide_dy = x.astype(np.float64), dy.astype(np.float64)
            wanted = numpy_ops.conv2d_dw(wide_dy, wide, shape, (1, 1), (0, 0), (1, 1), groups)
            magnitude = numpy_ops.conv2d_dw(abs(wide_dy), abs(wide), shape, (1, 1), (0, 0), (1, 1), groups)
            products = 2 * dy[0, 0].size  # of a sum; both sums may be off by as many roundings
            assert (abs(got - wanted) <= 2 * products * np.finfo(dtype).eps * magnitude).all(), (rows, taps)
