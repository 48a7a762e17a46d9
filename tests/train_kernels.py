"""What the tests of the training kernels share."""

import hashlib

import numpy as np
import pytest

from elq_ref.kernels import numpy_ops

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


# N C H W, O KH KW, stride, padding, dilation, groups
SMALL = [
    ((2, 3, 5, 6), (4, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((1, 2, 7, 5), (3, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((2, 1, 6, 7), (2, 5, 5), (1, 2), (2, 0), (1, 1), 1),
    ((1, 4, 5, 5), (6, 3, 2), (2, 1), (0, 1), (1, 2), 2),
    ((1, 3, 6, 6), (3, 2, 2), (3, 3), (1, 1), (1, 1), 3),  # depthwise, stride > kernel
    ((1, 2, 4, 4), (2, 6, 6), (1, 1), (1, 1), (1, 1), 1),  # kernel as large as the padded input
    ((2, 2, 5, 5), (2, 1, 1), (4, 3), (0, 0), (1, 1), 1),
    ((1, 2, 8, 7), (4, 3, 3), (2, 2), (2, 2), (2, 2), 2),
]
SHAPES = [
    *SMALL,
    ((2, 16, 17, 15), (16, 3, 3), (1, 1), (1, 1), (1, 1), 1),  # whole vectors, 3x3, stride 1: Winograd
    ((5, 16, 9, 6), (48, 3, 3), (1, 1), (0, 0), (1, 1), 1),
    ((1, 16, 9, 9), (8, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((1, 48, 5, 40), (32, 3, 3), (1, 1), (2, 3), (1, 1), 1),
    ((40, 32, 8, 8), (32, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((2, 16, 16, 16), (32, 3, 3), (2, 2), (1, 1), (1, 1), 1),
    ((3, 37, 9, 11), (70, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((1, 3, 33, 29), (20, 7, 7), (2, 2), (3, 3), (1, 1), 1),
    ((1, 3, 40, 30), (33, 11, 11), (4, 4), (2, 2), (1, 1), 1),
    ((1, 1, 28, 28), (6, 5, 5), (1, 1), (2, 2), (1, 1), 1),
    ((1, 20, 3, 60), (19, 1, 5), (1, 1), (0, 2), (1, 1), 1),
    ((2, 40, 7, 7), (40, 3, 3), (1, 1), (1, 1), (1, 1), 40),  # depthwise, beyond one vector
    ((2, 18, 9, 8), (36, 3, 3), (2, 1), (1, 1), (1, 1), 18),  # two outputs an input
    ((20, 5, 6, 5), (9, 3, 3), (1, 1), (2, 2), (1, 1), 1),
    ((33, 12, 4, 4), (24, 3, 3), (1, 1), (1, 1), (1, 1), 2),
    ((1, 8, 70, 70), (8, 3, 3), (1, 1), (1, 1), (2, 2), 1),
    ((1, 130, 5, 5), (5, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((9, 128, 6, 5), (144, 3, 3), (1, 1), (1, 1), (1, 1), 1),  # Winograd, several images a piece, outputs shared
    ((2, 64, 15, 13), (272, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((8, 256, 5, 4), (512, 3, 3), (1, 1), (1, 1), (1, 1), 1),  # Winograd's weights in two parts
    ((2, 48, 9, 7), (80, 1, 1), (2, 2), (0, 0), (1, 1), 1),
    ((2, 33, 11, 12), (33, 5, 5), (2, 2), (2, 2), (1, 1), 33),
    ((2, 48, 22, 25), (48, 3, 3), (2, 2), (1, 1), (1, 1), 48),  # depthwise, mostly away from the border
    ((1, 64, 31, 30), (64, 4, 5), (2, 3), (1, 0), (1, 2), 64),
    ((2, 72, 9, 10), (72, 3, 3), (1, 1), (1, 1), (1, 1), 18),  # few outputs a group: groups side by side in lanes
    ((1, 64, 7, 8), (32, 3, 3), (2, 2), (1, 1), (1, 1), 8),
    ((2, 12, 8, 7), (24, 5, 5), (1, 1), (2, 2), (1, 1), 6),
    ((1, 9, 6, 7), (9, 3, 2), (1, 2), (1, 0), (2, 1), 3),
    ((2, 48, 7, 6), (96, 1, 1), (1, 1), (0, 0), (1, 1), 3),  # one element: x where it is
]


def conv_case(shape, kernel, geometry, dtype, seed=0):
    """x, w and a dy that fits."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape).astype(dtype)
    w = rng.standard_normal((kernel[0], shape[1] // geometry[3], *kernel[1:])).astype(dtype)
    return x, w, rng.standard_normal(numpy_ops.conv2d(x, w, *geometry).shape).astype(dtype)


def three_convolutions(ops, x, w, dy, geometry):
    return (
        ops.conv2d(x, w, *geometry),
        ops.conv2d_dx(dy, w, x.shape, *geometry),
        ops.conv2d_dw(dy, x, w.shape, *geometry),
    )


def pool(ops, x, dy, kernel, stride, padding=(0, 0, 0, 0)):
    y, place = ops.max_pool(x, kernel, stride, padding)
    return y, place, ops.max_pool_backward(dy, place, x.shape, kernel, stride, padding)


def digest():
    """A hash of the bits of every kernel on shapes with several pieces of work."""
    digest = hashlib.sha256()
    for dtype in DTYPES:
        for shape, kernel, *geometry in SHAPES:
            for a in three_convolutions(_train, *conv_case(shape, kernel, geometry, dtype), geometry):
                digest.update(np.ascontiguousarray(a).tobytes())
        x, residual = np.random.default_rng(5).standard_normal((2, 9, 21, 8, 8)).astype(dtype)
        ones = np.ones(21, dtype)
        y, mean, var = _train.batch_norm(x, ones, ones, 1e-5, residual, True)
        gradients = _train.batch_norm_backward(residual, y, x, ones, mean, var, 1e-5, True, True)
        pooled = pool(_train, x, numpy_ops.max_pool(residual, (3, 3), (2, 2))[0], (3, 3), (2, 2))
        for a in (y, mean, var, *gradients, *pooled, _train.relu(x), _train.channel_sums(x)):
            digest.update(np.ascontiguousarray(a).tobytes())
    return digest.hexdigest()
