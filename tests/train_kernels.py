"""What the tests of the training kernels share."""

import numpy as np
import pytest

try:
    from elq_ref import _train
except ImportError:
    _train = None
needs_c = pytest.mark.skipif(_train is None, reason="the C kernels are not built")
DTYPES = (np.float32, np.float64)


def name_of(value):
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


def within(got, wanted, bound):
    """That got differs from wanted by no more than the bound."""
    assert got.shape == wanted.shape
    excess = np.abs(got - wanted) - bound
    assert excess.max() <= 0, f"beyond the bound by {excess.max()} of {np.max(bound)}"


def layouts(a):
    """The same values in other memory: channels-last, reversed rows, every second element, off by a byte."""
    yield np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    yield np.ascontiguousarray(a[:, :, ::-1])[:, :, ::-1]
    spread = np.full((*a.shape[:3], 2 * a.shape[3]), np.nan, a.dtype)
    spread[..., ::2] = a
    yield spread[..., ::2]
    memory = np.zeros(a.nbytes + 1, np.uint8)[1:]
    shifted = memory.view(a.dtype).reshape(a.shape)
    shifted[...] = a
    yield shifted
    yield np.broadcast_to(a, a.shape)  # read-only
