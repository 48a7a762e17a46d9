"""Session, on C kernels and on NumPy, against the interpreter in float64 within bounds derived from K."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from children import run_python
from runtime_nets import error_bounds, gamma, magnitudes, network, roundings, small, weighted

from elq_ref.graph.shapes import infer_shapes
from elq_ref.runtime import Graph, Node, Session, interpret, native, numpy_backend

pytestmark = pytest.mark.kernels


def check_layer(node, x):
    """|y - exact| <= gamma(K + 4) (|alpha scale| sum |code x| + |bias|), see `roundings`; of Winograd's kernels 36
    times the largest of these sums (docs/kernels/inference.md)."""
    if node.op == "linear":
        nodes = (Node("flatten", "flat", ("input",)), replace(node, inputs=("flat",)))
    else:
        nodes = (node, Node("flatten", "flat", (node.name,)))
    graph = Graph("input", x.shape[1:], nodes, nodes[-1].name)
    run = Session(network(nodes, x.shape[1:], *infer_shapes(graph)[graph.output]))
    y = run(x)
    exact = interpret(graph, x, np.float64)
    size = interpret(
        replace(graph, nodes=tuple(magnitudes(n) if n.weight else n for n in nodes)), np.abs(x), np.float64
    )
    if "winograd" in run.kernels[node.name]:
        size = 36 * size.max()
    assert y.dtype == np.float32
    assert np.all(np.abs(y - exact) <= gamma(roundings(node, x.shape)) * size)


GEOMETRIES = [
    # weight (O, I, KH, KW), picture (H, W), geometry
    ((1, 1, 1, 1), (1, 1), {}),
    ((8, 16, 3, 3), (9, 7), {"padding": (1, 1)}),
    ((67, 5, 3, 3), (6, 6), {"padding": (1, 1), "stride": (2, 2)}),
    ((9, 3, 5, 1), (8, 5), {"padding": (2, 3), "stride": (3, 1)}),
    ((6, 2, 3, 2), (11, 9), {"dilation": (2, 3), "padding": (1, 0), "groups": 3}),
    ((5, 1, 3, 3), (5, 8), {"groups": 5, "padding": (1, 1)}),
    ((130, 4, 1, 1), (5, 5), {"groups": 2, "stride": (2, 1)}),
    ((3, 40, 3, 3), (3, 3), {}),
    ((2, 1, 2, 2), (3, 4), {"padding": (4, 5), "stride": (5, 3)}),
]


@pytest.mark.parametrize("levels", ["ternary", "binary", "float"])
@pytest.mark.parametrize(("shape", "size", "geometry"), GEOMETRIES)
def test_conv_stays_within_the_bound(backend, levels, shape, size, geometry):
    rng = np.random.default_rng(7)
    node = weighted(rng, "conv", "c", "input", levels, shape, shape[0] % 2 == 1, **geometry)
    for pictures in (1, 3):
        check_layer(
            node,
            rng.standard_normal((pictures, shape[1] * node.attributes["groups"], *size)).astype(np.float32),
        )


@pytest.mark.parametrize("levels", ["ternary", "binary", "float"])
@pytest.mark.parametrize(("outputs", "inputs"), [(1, 1), (10, 64), (65, 257), (3, 1030)])
def test_linear_stays_within_the_bound(backend, levels, outputs, inputs):
    rng = np.random.default_rng(8)
    node = weighted(rng, "linear", "fc", "input", levels, (outputs, inputs))
    for pictures in (1, 2, 35):
        check_layer(node, rng.standard_normal((pictures, inputs, 1, 1)).astype(np.float32))


def test_random_convolutions_stay_within_the_bound(backend):
    rng = np.random.default_rng(9)
    for _ in range(60):
        groups, kernel = int(rng.integers(1, 4)), rng.integers(1, 5, 2)
        geometry = {
            "stride": tuple(map(int, rng.integers(1, 4, 2))),
            "padding": tuple(map(int, rng.integers(0, 4, 2))),
            "dilation": tuple(map(int, rng.integers(1, 3, 2))),
            "groups": groups,
        }
        shape = (groups * int(rng.integers(1, 20)), int(rng.integers(1, 20)), *map(int, kernel))
        size = tuple(
            int(d * (k - 1) + rng.integers(1, 12)) for d, k in zip(geometry["dilation"], kernel, strict=True)
        )
        node = weighted(rng, "conv", "c", "input", rng.choice(["ternary", "binary"]), shape, **geometry)
        check_layer(node, rng.standard_normal((2, shape[1] * groups, *size)).astype(np.float32))


@pytest.mark.parametrize("levels", ["ternary", "binary", "float"])
def test_a_network_with_every_op_stays_within_the_carried_bound(backend, levels):
    rng = np.random.default_rng(10)
    net = small(rng, levels)
    x = rng.standard_normal((4, 2, 7, 6)).astype(np.float32)
    bound = error_bounds(net.graph, x)[net.graph.output]
    exact = interpret(net.graph, x, np.float64)
    assert bound.max() < 1e-3 * np.abs(exact).max()
    assert np.all(np.abs(Session(net)(x) - exact) <= bound)


def test_from_a_file_as_from_the_network_and_several_pictures_as_each_alone(backend, tmp_path, monkeypatch):
    rng = np.random.default_rng(11)
    net = small(rng)
    net.save(tmp_path / "net.elq")
    x = rng.standard_normal((37, 2, 7, 6)).astype(np.float32)
    y = Session(net)(x)
    np.testing.assert_array_equal(Session(tmp_path / "net.elq")(x), y)
    np.testing.assert_array_equal(Session(net)(np.asfortranarray(x)), y)
    assert Session(net)(x[:0]).shape == (0, 3)
    monkeypatch.setattr(numpy_backend, "MAX_FLOATS", 2000)  # a few pictures in a pass
    if backend == "C":
        np.testing.assert_array_equal(Session(net)(x), y)
        np.testing.assert_array_equal(np.concatenate([Session(net)(x[k : k + 1]) for k in range(37)]), y)
    else:  # BLAS may sum in another order for another number of rows
        np.testing.assert_allclose(Session(net)(x), y, rtol=1e-4, atol=1e-5)


def test_pictures_are_normalized_by_the_rule_of_the_file(backend):
    rng = np.random.default_rng(12)
    net = small(rng)
    pictures = rng.integers(0, 256, (3, 2, 7, 6)).astype(np.uint8)
    mean, std = (np.reshape(v, (-1, 1, 1)) for v in (net.metadata.normalization.mean, net.metadata.normalization.std))
    x = ((pictures / 255 - mean) / std).astype(np.float32)
    np.testing.assert_array_equal(Session(net)(pictures), Session(net)(x))


def test_kernels_are_reported(backend):
    found = Session(small(np.random.default_rng(13))).kernels
    for name, weights in {"conv1": "t2", "conv2": "b1", "fc1": "t2", "fc2": "f32"}.items():
        assert found[name].startswith(f"elq_conv_f32_{weights}") if backend == "C" else found[name] == "NumPy"


def test_wrong_inputs_are_named():
    run = Session(small(np.random.default_rng(14)))
    with pytest.raises(TypeError, match="float64"):
        run(np.zeros((1, 2, 7, 6)))
    with pytest.raises(TypeError, match="list"):
        run([[0.0]])
    with pytest.raises(ValueError, match=r"\(N, 2, 7, 6\), given shape \(2, 7, 6\)"):
        run(np.zeros((2, 7, 6), np.float32))


def test_one_session_in_several_threads(backend):
    rng = np.random.default_rng(15)
    run = Session(small(rng))
    inputs = [rng.standard_normal((5, 2, 7, 6)).astype(np.float32) for _ in range(40)]
    wanted = [run(x) for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        for y, expected in zip(pool.map(run, inputs * 5), wanted * 5, strict=True):
            np.testing.assert_array_equal(y, expected)


def test_the_weights_are_never_copied_to_floats(backend):
    node = replace(weighted(np.random.default_rng(16), "linear", "fc", "flat", "ternary", (2048, 2048)))
    net = network([Node("flatten", "flat", ("input",)), node], (1, 1, 2048), 2048)
    x = np.ones((1, 1, 1, 2048), np.float32)
    tracemalloc.start()
    Session(net)(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * node.weight.size / 3  # bytes of the weights: 1/4 a weight packed, 4 in float32


THREADS_SCRIPT = """
import sys, hashlib, numpy as np
sys.path.insert(0, sys.argv[1])
from runtime_nets import error_bounds, gamma, magnitudes, network, weighted, Node
from elq_ref.runtime import Session
rng = np.random.default_rng(18)
net = network([weighted(rng, "conv", "c", "input", "ternary", (70, 9, 3, 3), padding=(1, 1)),
               weighted(rng, "conv", "d", "c", "binary", (33, 70, 3, 3), stride=(2, 2)),
               Node("flatten", "flat", ("d",)), weighted(rng, "linear", "fc", "flat", "ternary", (130, 33 *
               36))],
              (9, 14, 14), 130)
x = rng.standard_normal((5, 9, 14, 14)).astype(np.float32)
print(hashlib.sha256(Session(net)(x).tobytes()).hexdigest())
"""


def test_the_same_bits_for_any_number_of_threads():
    if native._infer is None:
        pytest.skip("the extension _infer is not built")
    runs = [
        run_python(THREADS_SCRIPT, str(Path(__file__).parents[1]), ELQ_NUM_THREADS=str(n)) for n in (1, 2, 3, 7)
    ]
    assert not any(run.stderr for run in runs)
    assert len({run.stdout for run in runs}) == 1
    assert len(runs[0].stdout) == 65


@pytest.mark.parametrize(("name", "value"), [("ELQ_ISA", "mmx"), ("ELQ_NUM_THREADS", "many")])
def test_an_unknown_setting_is_refused_clearly(name, value):
    if native._infer is None:
        pytest.skip("the extension _infer is not built")
    run = run_python("import elq_ref.runtime", **{name: value})
    assert run.returncode
    assert name in run.stderr.strip().splitlines()[-1]


def test_the_runtime_imports_nothing_of_the_training_side():
    code = "import sys, elq_ref.runtime; print(*sorted(sys.modules))"
    loaded = run_python(code).stdout.split()
    assert "elq_ref.runtime.session" in loaded
    rooms = {name.split(".")[1] for name in loaded if name.startswith("elq_ref.")}
    ground = {"preprocessing", "errors", "files", "extensions"}
    assert rooms <= {"runtime", "graph", "_common", "_infer"} | ground
    assert not {"scipy", "PIL", "tqdm", "torch"} & {name.split(".")[0] for name in loaded}
