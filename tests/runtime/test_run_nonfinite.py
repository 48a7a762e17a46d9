"""NaN, infinities and -0.0 in every place of what a Session with float32 activations reads, against the definition."""

import numpy as np
import pytest
from runtime_kernels import KERNELS, cases, sums
from runtime_nets import network

from elq_ref.graph import Graph, infer_shapes
from elq_ref.runtime import Node, Session, interpret, native

pytestmark = pytest.mark.kernels
SPECIAL = (np.nan, np.inf, -np.inf, -0.0)


@pytest.fixture(params=["C", "NumPy"])
def backend(request, monkeypatch):
    if request.param == "NumPy":
        monkeypatch.setattr(native, "_infer", None)
    elif native._infer is None:
        pytest.skip("the extension _infer is not built")
    return request.param


def ops(channels):
    scale, bias = np.linspace(-1, 2, 2 * channels).astype(np.float32).reshape(2, channels)
    yield Node("max_pool", "y", ("input",), {"kernel": (2, 3), "stride": (1, 1)})
    yield Node("max_pool", "y", ("input",), {"kernel": (2, 2), "stride": (1, 2)})
    yield Node("avg_pool", "y", ("input",), {"kernel": (2, 2), "stride": (1, 1)})
    yield Node("global_avg_pool", "y", ("input",))
    yield Node("scale_shift", "y", ("input",), scale=scale, bias=bias)
    yield Node("relu", "y", ("input",))
    yield Node("add", "y", ("input", "input"))
    yield Node("subsample", "y", ("input",), {"step": 2})
    yield Node("pad", "y", ("input",), {"before": (1, 0, 1), "after": (0, 1, 0)})
    yield Node("flatten", "y", ("input",))
    border = {"kernel": (2, 3), "stride": (2, 1), "padding": (1, 2, 0, 1)}
    yield Node("max_pool", "y", ("input",), border)
    yield Node("avg_pool", "y", ("input",), border | {"counted": (0, 2, 0, 1)})
    yield Node("adaptive_avg_pool", "y", ("input",), {"output": (2, 5)})
    yield Node("lrn", "y", ("input",), {"size": 3, "alpha": 0.5, "beta": 0.75, "bias": 1.0})
    yield Node("lrn", "y", ("input",), {"size": 2, "alpha": 0.5, "beta": 0.6, "bias": 2.0})
    yield Node("mul", "y", ("input", "input"))
    yield Node("concat", "y", ("input", "input"))
    yield Node("slice", "y", ("input",), {"first": channels // 2, "last": channels})
    yield Node("shuffle", "y", ("input",), {"groups": channels})
    yield Node("clip", "y", ("input",), {"low": -0.5, "high": 0.25})
    yield Node("leaky_relu", "y", ("input",), {"slope": 0.0})
    yield Node("prelu", "y", ("input",), slope=scale)
    yield Node("hard_sigmoid", "y", ("input",), {"alpha": 0.2, "beta": 0.5})
    yield Node("elu", "y", ("input",), {"alpha": 0.5})
    for op in ("sigmoid", "tanh", "hard_swish", "silu", "gelu", "gelu_tanh"):
        yield Node(op, "y", ("input",))


def chains(channels):
    """Every op without weights: alone, before a ReLU that is done in its loop, and behind an op of its own."""
    for op in ops(channels):
        yield [op]
        yield [op, Node("relu", "r", ("y",))]
        yield [op, Node("clip", "r", ("y",), {"low": -0.25, "high": 0.75})]
    means = Node("avg_pool", "m", ("input",), {"kernel": (3, 4), "stride": (1, 1)})
    for op in ("add", "mul"):
        yield [means, Node(op, "y", ("input", "m"))]
        yield [means, Node(op, "y", ("m", "input")), Node("clip", "r", ("y",), {"low": 0.0, "high": 0.75})]
    norm = Node(
        "scale_shift", "n", ("input",), scale=np.ones(channels, np.float32), bias=np.zeros(channels, np.float32)
    )
    yield [norm, Node("max_pool", "y", ("n",), {"kernel": (2, 2), "stride": (1, 1)})]


@pytest.mark.parametrize("channels", [1, 4, 7])  # below, of and beyond a vector
def test_operations(backend, channels):
    """Each special value in each place of a picture, and pairs of them side by side."""
    shape = (channels, 3, 4)
    x = np.random.default_rng(41).standard_normal((1, *shape)).astype(np.float32)
    places = list(np.ndindex(*shape))
    pictures = [x[0].copy() for _ in range(2 * len(SPECIAL) * len(places))]
    for k, picture in enumerate(pictures):
        place, value = places[k % len(places)], SPECIAL[k // len(places) % len(SPECIAL)]
        picture[place] = value
        if k >= len(SPECIAL) * len(places):
            picture[place[0], place[1], (place[2] + 1) % 4] = SPECIAL[(k + 1) % len(SPECIAL)]
    pictures = np.stack(pictures)
    for chain in chains(channels):
        nodes = [*chain, Node("flatten", "out", (chain[-1].name,))]
        (classes,) = infer_shapes(Graph("input", shape, tuple(nodes), "out"))["out"]
        net = network(nodes, shape, classes)
        with np.errstate(invalid="ignore"):
            got, wanted = Session(net)(pictures), interpret(net.graph, pictures)
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6, err_msg=str([node.op for node in chain]))


@pytest.mark.parametrize("name", [k for k in KERNELS if "_f32_" in k[:13]])
def test_float_kernels(name):
    """A convolution's outputs are not finite where the definition's are, a code of 0 times infinity among them; by
    Winograd at least there, through every weight that is not 0. A ReLU in the tail leaves NaN, and what a residual
    brings."""
    for rng, make, w, size, geometry in cases(name, 6):
        ones, zeros = np.ones(len(w), np.float32), np.zeros(len(w), np.float32)
        plain, relu, clip = (make((ones, zeros, *ends)) for ends in ((-np.inf,), (0.0,), (-0.5, 0.25)))
        for _ in range(8):
            x = rng.standard_normal((2, *size)).astype(np.float32)
            value = rng.choice(SPECIAL[:3])
            x[tuple(int(rng.integers(n)) for n in x.shape)] = value
            y = plain(x)
            with np.errstate(invalid="ignore"):
                exact = sums(x, w, *geometry).astype(np.float32)
            if plain.error == "winograd":
                through = sums(~np.isfinite(x), np.abs(w), *geometry) > 0
                assert not np.isfinite(y[through]).any()
            else:
                special = ~np.isfinite(exact)
                np.testing.assert_array_equal(np.isfinite(y), ~special)
                np.testing.assert_array_equal(y[special], exact[special])
            np.testing.assert_array_equal(relu(x), np.maximum(y, 0))
            np.testing.assert_array_equal(clip(x), np.minimum(np.maximum(y, np.float32(-0.5)), np.float32(0.25)))
            residual = rng.standard_normal(y.shape).astype(np.float32)
            residual.flat[rng.integers(residual.size, size=3)] = SPECIAL[:3]
            with np.errstate(invalid="ignore"):
                np.testing.assert_array_equal(relu(x, residual), np.maximum(y + residual, 0))
