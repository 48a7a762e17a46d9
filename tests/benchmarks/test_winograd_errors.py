"""Errors drawn in Winograd's tiles: what they come to, by brute force, and what the kernels leave, measured."""

import sys
from pathlib import Path

import numpy as np
import pytest
import winograd
from train_kernels import needs_c

from elq_ref.graph.nodes import Node, Weight
from elq_ref.kernels import conv2d
from elq_ref.runtime.interpreter import convolve

ROOT = Path(__file__).parents[2]
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("benchmarks/ is not here (tests run from a copy)", allow_module_level=True)
sys.path.append(str(ROOT))  # at the end: an elq_ref that is installed goes before the checkout's

from benchmarks.accuracy import winograd_errors  # noqa: E402
from benchmarks.accuracy.rounding_bound import U, quantile  # noqa: E402
from benchmarks.accuracy.winograd_errors import A, B, G, Tiles, drawn, possible  # noqa: E402

PLAIN = {"stride": (1, 1), "dilation": (1, 1), "groups": 1}


def case(seed, channels, outputs, size, padding=(1, 1)):
    """x (1, C, H, W), w (O, C, 3, 3), and the exact convolution (O, P, Q)."""
    rng = np.random.default_rng(seed)
    x = np.maximum(rng.standard_normal((1, channels, *size)), 0).astype(np.float32)
    w = rng.standard_normal((outputs, channels, 3, 3)).astype(np.float32)
    exact = convolve(w.astype(np.float64), PLAIN | {"padding": padding}, x.astype(np.float64))
    return x, w, exact[0]


def test_the_matrices_are_those_of_the_points():
    """Magnitudes: those of the interpolation move factors between rows, which products leave alone."""
    ours = np.einsum("pi,ik,il->pkl", abs(A), abs(G), abs(B))
    theirs = np.einsum("ip,ik,il->pkl", winograd.A, winograd.G, winograd.B)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("size", "padding"), [((4, 4), (1, 1)), ((9, 14), (0, 2)), ((7, 8), (1, 0))])
def test_the_tiles_are_the_convolution(size, padding):
    x, w, exact = case(0, 4, 3, size, padding)
    tiles = Tiles(x, w, padding)
    s = np.einsum("qj,pj...->pq...", A, tiles.s)
    got = tiles.outputs(s)
    np.testing.assert_allclose(got, exact, rtol=1e-4, atol=1e-5 * abs(exact).max())


@pytest.mark.parametrize(("transform", "products"), [(6, 2), (0, -4)], ids=["all", "constants and weights"])
def test_drawn_errors_have_the_variance_of_all_ways_to_the_outputs(transform, products, monkeypatch):
    """One tile, one output channel: each error's way to the 4x4 outputs, written out."""
    monkeypatch.setattr(winograd_errors, "TRANSFORM", transform)
    monkeypatch.setattr(winograd_errors, "PRODUCTS", products)
    x, w, _ = case(1, 4, 1, (4, 4))
    padded = np.pad(x[0].astype(np.float64), ((0, 0), (1, 1), (1, 1)))
    u = np.einsum("ik,okl,jl->oij", G, w[0].astype(np.float64), G)
    t = np.einsum("ik,okl->oil", B, padded)
    v = np.einsum("jl,oil->oij", B, t)
    m = (u * v).sum(0)
    s = A @ m
    ends = np.einsum("pi,qj->pqij", A, A)  # of m to the outputs
    sizes = {
        "t": (np.einsum("pqij,oij,jl->pqoil", ends, u, B), transform, np.einsum("ik,okl->oil", abs(B), padded)),
        "v": (np.einsum("pqij,oij->pqoij", ends, u), transform, np.einsum("jl,oil->oij", abs(B), abs(t))),
        "m": (ends, 4 + products, (abs(u * v).sum(0) + abs(m)) / 2),
        "s": (np.einsum("pr,qj->pqrj", np.eye(4), A), transform, abs(A) @ abs(m)),
        "y": (np.einsum("pr,qt->pqrt", np.eye(4), np.eye(4)), transform, abs(s) @ abs(A).T),
        "u": (np.einsum("pqij,oij->pqoij", ends, v), 1, abs(u)),
    }
    variance = sum(np.square(way * size).reshape(4, 4, -1).sum(2) * count for way, count, size in sizes.values())
    for entry in np.argwhere(abs(B) != 1):
        variance += np.square(_moved(lambda b: A @ (u * (b @ padded @ b.T)).sum(0) @ A.T, B, tuple(entry)))
    for entry in np.argwhere(abs(A) != 1):
        variance += np.square(_moved(lambda a: a @ m @ a.T, A, tuple(entry)))
    got = np.array(list(drawn(x, w, (1, 1), np.random.default_rng(0), 1500)))[:, 0]
    np.testing.assert_allclose(got.std(0), np.sqrt(variance), rtol=0.1)


def _moved(of, matrix, entry):
    """What a relative error of one entry does to a quadratic function of a matrix, to first order."""
    step = np.zeros_like(matrix)
    step[entry] = matrix[entry]
    return (of(matrix + step) - of(matrix - step)) / 2


@needs_c
@pytest.mark.parametrize(("channels", "outputs", "size"), [(16, 16, (12, 12)), (64, 32, (14, 10)), (128, 64, (8, 8))])
def test_the_kernel_is_within_what_is_drawn_and_not_far_below(channels, outputs, size):
    x, w, exact = case(2, channels, outputs, size)
    error = conv2d(x, w, (1, 1), (1, 1))[0] - exact
    sizes = U * np.sqrt(np.square(list(drawn(x, w, (1, 1), np.random.default_rng(0), 8))).mean())
    assert abs(error).max() <= quantile(error.size) * sizes
    assert np.sqrt(np.square(error).mean()) > sizes / 50


def test_which_layers_may_be_computed_so():
    y = np.zeros((1, 8, 6, 6))

    def of(shape=(8, 8, 3, 3), **attributes):
        said = PLAIN | {"padding": (1, 1)} | attributes
        return possible(Node("conv", "c", ("x",), said, weight=Weight("float", shape, np.ones(shape, np.float32))), y)

    assert of()
    assert not of((8, 3, 3, 3))
    assert not of((8, 8, 1, 1))
    assert not of(stride=(2, 2))
    assert not of(dilation=(2, 2))
    assert not of((8, 4, 3, 3), groups=2)
    assert not possible(Node("relu", "r", ("x",)), y)
