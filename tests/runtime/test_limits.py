"""What a file may ask for: small files that would take much work, memory or time, and numbers at the end of float32."""

import math
import signal
import subprocess
import sys
import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from children import FOLDER, environment
from runtime_nets import network, pooled, weighted

from elq_ref.graph import infer_shapes
from elq_ref.graph.shapes import MAX_STEP, operations
from elq_ref.runtime import Graph, Node, PackedNetwork, Session, Weight, interpret, native, numpy_functions
from elq_ref.runtime.numpy_backend import NumpyBackend

pytestmark = pytest.mark.kernels


@pytest.fixture(params=["C", "NumPy"])
def backend(request, monkeypatch):
    if request.param == "NumPy":
        monkeypatch.setattr(native, "_infer", None)
    elif native._infer is None:
        pytest.skip("the extension _infer is not built")
    return request.param


def test_operations_are_products_and_elements_seen():
    rng = np.random.default_rng(1)
    net = network(
        [
            weighted(rng, "conv", "c", "input", "ternary", (4, 1, 3, 2), groups=2),  # (4, 5, 6) values
            Node("max_pool", "m", ("c",), {"kernel": (2, 3), "stride": (1, 1)}),  # (4, 4, 4)
            Node("relu", "r", ("m",)),
            Node("global_avg_pool", "g", ("r",)),
            weighted(rng, "linear", "out", "g", "binary", (3, 4)),
        ],
        (2, 7, 7),
        3,
    )
    wanted = {"c": 4 * 5 * 6 * 6, "m": 64 * 6, "r": 64, "g": 64, "out": 12}
    assert operations(net.graph, net.shapes) == wanted
    assert net.operations == sum(wanted.values())
    assert net.activation_bytes == 4 * (98 + 120 + 64 + 64 + 4 + 3)


def test_operations_of_windows_that_vary_are_bounded():
    """An adaptive mean sees its operand about once, however many windows overlap; LRN no channel that is not there."""
    lrn = {"size": 1 << 24, "alpha": 1.0, "beta": 0.5, "bias": 1.0}
    nodes = [
        Node("adaptive_avg_pool", "a", ("input",), {"output": (9, 4)}),
        Node("lrn", "l", ("a",), lrn),
        Node("global_avg_pool", "out", ("l",)),
    ]
    net = network(nodes, (2, 5, 7), 2)
    assert operations(net.graph, net.shapes) == {"a": 2 * (5 + 9) * (7 + 4), "l": 2 * 36 * 4, "out": 72}
    for activations in (Session(net), NumpyBackend(net, "float32", net.metadata.normalization.table())):
        run = activations if isinstance(activations, Session) else activations.run
        assert run(np.ones((1, 2, 5, 7), np.float32)).shape == (1, 2)


@pytest.mark.parametrize("op", ["max_pool", "avg_pool"])
def test_endless_work_is_refused_unless_it_is_asked_for(backend, tmp_path, op):
    pooled(8192, 4096, op).save(tmp_path / "net.elq")
    assert (tmp_path / "net.elq").stat().st_size < 600
    net = PackedNetwork.load(tmp_path / "net.elq")
    with pytest.raises(ValueError, match=r"takes 281,612,\S+ operations a picture, at most 100,000,000,000"):
        Session(net)
    Session(net, most_operations=net.operations)


def test_the_limit_is_the_last_that_is_done(backend):
    net = pooled(6, 3)
    x = np.ones((1, 1, 6, 6), np.float32)
    assert Session(net, most_operations=net.operations)(x) == 1
    with pytest.raises(ValueError, match="most_operations"):
        Session(net, most_operations=net.operations - 1)


LONG = """
import sys
import numpy as np
from elq_ref.runtime import Session
from runtime_nets import pooled
net = pooled(*map(int, sys.argv[1:]), "avg_pool")
session = Session(net, most_operations=net.operations)
x = np.zeros((1, *net.graph.input_shape), np.float32)
print("begins", flush=True)
session(x)
"""
CALIBRATED = """
import numpy as np
from elq_ref.deploy.calibration import histograms
from elq_ref.runtime import Node
from runtime_nets import network, weighted
conv = weighted(np.random.default_rng(1), "conv", "c", "input", "float", (256, 256, 11, 11), padding=(5, 5))
net = network([conv, Node("global_avg_pool", "out", ("c",))], (256, 64, 64), 256)
print("begins", flush=True)
histograms(net, np.zeros((16, 256, 64, 64), np.uint8))
"""


@pytest.mark.skipif(native._infer is None, reason="the extension _infer is not built")
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT here")
@pytest.mark.parametrize("threads", ["1", "3"])
@pytest.mark.parametrize("code", [[LONG, "4096", "2048"], [LONG, "2048", "64"], [CALIBRATED]])
def test_a_long_call_ends_at_a_signal(threads, code):
    """One picture, whose rows take minutes each, or a second; a layer of half a minute in calibration."""
    command = [sys.executable, "-c", *code]
    environ, pipe = environment(ELQ_NUM_THREADS=threads), subprocess.PIPE
    child = subprocess.Popen(command, cwd=FOLDER, env=environ, stdout=pipe, stderr=pipe, text=True)
    try:
        assert child.stdout.readline() == "begins\n"
        time.sleep(0.5)
        child.send_signal(signal.SIGINT)
        _, error = child.communicate(timeout=5)
    finally:
        child.kill()
    assert error.rstrip().endswith("KeyboardInterrupt"), error


def test_many_nodes_start_at_once():
    """4,095 nodes took 4.4 s; processor time, a generous multiple of what it takes."""
    nodes = [Node("subsample", "0", ("input",), {"step": 1})]
    nodes += [Node("subsample", str(k), (str(k - 1),), {"step": 1}) for k in range(1, 2048)]
    nodes += [Node("add", str(k), (str(k - 1), str(4094 - k))) for k in range(2048, 4094)]  # many live together
    nodes.append(Node("flatten", "out", ("4093",)))
    net = network(nodes, (1, 2, 2), 4)
    start = time.process_time()
    session = Session(net)
    assert time.process_time() - start < 1.5
    assert session(np.zeros((1, 1, 2, 2), np.float32)).shape == (1, 4)


@pytest.mark.parametrize("levels", ["ternary", "binary"])
@pytest.mark.parametrize("op", ["conv", "linear"])
def test_alpha_times_scale_beyond_float32(backend, op, levels):
    """The answer is finite where W_hat x and its product with the scale are; a sum of 0 gives the bias."""
    rng = np.random.default_rng(3)
    shape = (4, 3, 1, 1) if op == "conv" else (4, 3)
    node = weighted(rng, op, "y", "flat" if op == "linear" else "input", levels, shape)
    weight = Weight(levels, shape, node.weight.data, np.full(1, 1e20, np.float32))
    node = replace(node, weight=weight, scale=np.full(4, -1e20, np.float32))
    flat = Node("flatten", "flat", ("input" if op == "linear" else "y",))
    net = network([flat, node] if op == "linear" else [node, flat], (3, 1, 1), 4)
    x = np.zeros((3, 3, 1, 1), np.float32)
    x[1], x[2] = 1e-10, [[[1e-5]], [[3e-5]], [[-7e-5]]]
    with np.errstate(over="ignore"):
        got = Session(net)(x)
        np.testing.assert_array_equal(interpret(net.graph, x)[0], node.bias)
    exact = weight.codes().reshape(4, 3).astype(np.float64) @ x[..., 0, 0].T.astype(np.float64) * -1e40
    wanted = np.where(np.abs(exact) > 3.4e38, np.copysign(np.inf, exact), exact).T + node.bias
    wanted[0] = node.bias
    np.testing.assert_allclose(got, wanted, rtol=1e-5)
    assert np.isfinite(got[:2]).all()


def test_a_kernel_is_at_most_what_the_format_says():
    rng = np.random.default_rng(4)
    for length in (MAX_STEP, MAX_STEP + 1):
        node = weighted(rng, "conv", "c", "input", "binary", (1, 1, 1, length))
        graph = Graph("input", (1, 1, MAX_STEP + 1), (node,), "c")
        if length == MAX_STEP:
            assert infer_shapes(graph)["c"] == (1, 1, 2)
        else:
            with pytest.raises(ValueError, match=rf"kernel of \(1, {length}\), wanted 1 to {MAX_STEP}"):
                infer_shapes(graph)
    assert math.prod([2] * 15) == MAX_STEP


def test_numpy_gathers_rows_of_a_picture_that_is_too_large(monkeypatch):
    """The patches of a convolution are bounded, whatever it reads."""
    monkeypatch.setattr(native, "_infer", None)
    rng = np.random.default_rng(5)
    geometry = {"stride": (2, 1), "padding": (2, 1), "dilation": (2, 1), "groups": 2}
    conv = weighted(rng, "conv", "c", "input", "ternary", (4, 3, 3, 2), **geometry)
    net = network([conv, Node("flatten", "out", ("c",))], (6, 11, 7), 4 * 6 * 8)
    x = rng.standard_normal((3, 6, 11, 7)).astype(np.float32)
    wanted = interpret(net.graph, x, np.float64)
    monkeypatch.setattr(numpy_functions, "PATCH_FLOATS", 1)
    for rows in (1, 2, 4, 9):
        monkeypatch.setattr(numpy_functions, "MOST_PATCH_FLOATS", rows * 8 * 18)
        np.testing.assert_allclose(Session(net)(x), wanted, rtol=1e-4, atol=1e-4)
    conv = weighted(rng, "conv", "c", "input", "binary", (2, 4, 11, 11), padding=(5, 5))
    session = Session(network([conv, Node("global_avg_pool", "out", ("c",))], (4, 64, 64), 2))
    monkeypatch.setattr(numpy_functions, "MOST_PATCH_FLOATS", 1 << 16)
    tracemalloc.start()
    session(np.zeros((1, 4, 64, 64), np.float32))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6  # all patches take 7.9 MB
