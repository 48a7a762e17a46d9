"""What a Session runs: the plan of its memory, the fusing of nodes, int8 activations against their definition."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from children import run_python
from runtime_nets import block, error_bounds, network, random_pictures, small, weighted, with_int8

from elq_ref.runtime import Node, Session, interpret, interpret_int8, load, native
from elq_ref.runtime.arena import ALIGN, Value, plan
from elq_ref.runtime.fusing import fuse_float, fuse_int8

pytestmark = pytest.mark.kernels
needs_c = pytest.mark.skipif(native._infer is None, reason="the extension _infer is not built")


# ------------------------------------------------------------------------------------------------ arena


def test_values_that_live_together_never_share_memory():
    rng = np.random.default_rng(20)
    for _ in range(300):
        count = int(rng.integers(1, 25))
        values = []
        for k in range(count):
            first = k
            last = int(rng.integers(first, count + 1))
            over = [v.name for v in values if v.last == first and v.name not in {w.over for w in values}]
            values.append(
                Value(f"v{k}", int(rng.integers(1, 5000)), first, last, rng.choice(over) if over and k % 2 else None)
            )
        offsets, size = plan(values)
        assert size <= sum(-(-v.size // ALIGN) * ALIGN for v in values)
        owner = np.full((count + 1, size), -1)
        for k, v in enumerate(values):
            assert offsets[v.name] % ALIGN == 0
            assert offsets[v.name] + v.size <= size
            taken = owner[v.first : v.last + 1, offsets[v.name] : offsets[v.name] + v.size]
            allowed = {-1} if v.over is None else {-1, [w.name for w in values].index(v.over)}
            assert set(np.unique(taken[0])) <= allowed
            assert set(np.unique(taken[1:])) <= {-1}
            taken[:] = k


def test_a_chain_alternates_between_two_places():
    values = [Value(str(k), 1000, k, k + 1) for k in range(9)]
    assert plan(values)[1] == 2 * 1024
    assert plan([replace(v, over=str(int(v.name) - 1)) for v in values])[1] == 1024
    assert plan([]) == ({}, 0)


@needs_c
@pytest.mark.parametrize(("activations", "width"), [("float32", 4), ("int8", 1)])
def test_values_are_written_where_their_last_operand_was(activations, width):
    """A residual's place serves the sum, one place a chain of scale_shifts; a convolution needs another one."""
    rng = np.random.default_rng(34)
    value = 4 * 8 * 8 * width

    def conv(name, source):
        return weighted(rng, "conv", name, source, "ternary", (4, 4, 3, 3), padding=(1, 1))

    def norm(name, source):
        arrays = rng.standard_normal((2, 4)).astype(np.float32)
        return Node("scale_shift", name, (source,), scale=arrays[0], bias=arrays[1])

    def arena(*nodes):
        net = network([*nodes, Node("global_avg_pool", "out", (nodes[-1].name,))], (4, 8, 8), 4)
        return Session(with_int8(net, rng), activations).arena_bytes

    assert arena(norm("a", "input"), norm("b", "a"), norm("c", "b")) == value
    residual = Node("add", "sum", ("c", "a"))
    assert arena(conv("a", "input"), conv("b", "a"), conv("c", "b"), residual, conv("d", "sum")) == 2 * value


# --------------------------------------------------------------------------------------------- fusing


def shape_of(steps):
    return [(s.node.op, s.name, s.reads, s.low == 0) for s in steps]


def test_what_is_fused():
    net = block(np.random.default_rng(21))
    assert shape_of(fuse_float(net.graph, net.shapes)) == [
        ("conv", "first relu", ("input",), True),
        ("conv", "a relu", ("first relu",), True),
        ("conv", "b", ("a relu",), False),
        ("conv", "sum relu", ("first relu", "b"), True),  # the shortcut: the later operand of the addition
        ("conv", "again", ("sum relu", "sum relu"), False),
        ("linear", "fc", ("again",), False),
    ]


def test_a_value_with_another_reader_is_not_fused():
    net = block(np.random.default_rng(21), ["a", "b", "shortcut", "sum", "c", "flat"])
    found = {name: (op, reads) for op, name, reads, _ in shape_of(fuse_float(net.graph, net.shapes))}
    assert found["a"] == ("conv", ("first relu",))
    assert found["a relu"] == ("relu", ("a",))
    assert found["sum"] == ("add", ("b", "shortcut"))
    assert found["sum relu"] == ("relu", ("sum",))
    assert found["again"] == ("add", ("c", "sum relu"))
    assert found["fc"] == ("linear", ("again",))  # reads what the flatten reads
    assert "flat" not in found  # its other reader is such a layer too
    dead = replace(net.graph, output="fc")
    assert [s.name for s in fuse_float(dead, net.shapes)][-1] == "fc"


@needs_c
@pytest.mark.parametrize("activations", ["float32", "int8"])
@pytest.mark.parametrize("swapped", [False, True])
def test_fusing_changes_no_bit(activations, swapped):
    inner = ["first", "a", "a relu", "b", "shortcut", "sum", "sum relu", "c", "again", "flat"]
    pictures = np.random.default_rng(22).integers(0, 256, (5, 3, 8, 9)).astype(np.uint8)
    net = block(np.random.default_rng(21), swapped=swapped)
    if activations == "float32":
        wanted = Session(net)(pictures)
        for readers in (inner, *([name] for name in inner)):
            other = block(np.random.default_rng(21), readers, swapped)
            # zero times a finite number, and v + 0: only -0.0 could become 0.0
            np.testing.assert_array_equal(Session(other)(pictures), wanted)
        return
    net = with_int8(net, np.random.default_rng(23))
    fused, plain = fuse_int8(net.int8, net.shapes), net.int8.nodes
    assert len(fused) == len(plain) - 3  # two additions and a flatten
    np.testing.assert_array_equal(Session(net, "int8").raw(pictures), interpret_int8(net.int8, pictures).raw)


def test_a_tail_adds_once_and_before_its_relu(backend):
    rng = np.random.default_rng(32)
    conv = {"padding": (1, 1)}
    nodes = [
        weighted(rng, "conv", "a", "input", "ternary", (4, 4, 3, 3), **conv),
        Node("relu", "a relu", ("a",)),
        Node("add", "after the relu", ("a relu", "input")),
        weighted(rng, "conv", "b", "after the relu", "ternary", (4, 4, 3, 3), **conv),
        Node("add", "first", ("b", "input")),
        Node("add", "second", ("first", "after the relu")),
        Node("global_avg_pool", "out", ("second",)),
    ]
    net = with_int8(network(nodes, (4, 6, 5), 4), rng)
    assert shape_of(fuse_float(net.graph, net.shapes)) == [
        ("conv", "a relu", ("input",), True),
        ("add", "after the relu", ("a relu", "input"), False),
        ("conv", "first", ("after the relu", "input"), False),
        ("add", "second", ("first", "after the relu"), False),
        ("global_avg_pool", "out", ("second",), False),
    ]
    x = rng.standard_normal((3, 4, 6, 5)).astype(np.float32)
    bound = error_bounds(net.graph, x)["out"]
    assert np.all(np.abs(Session(net)(x) - interpret(net.graph, x, np.float64)) <= bound)
    check_int8(net, random_pictures(rng, net, 5))


# ----------------------------------------------------------------------------------------------- int8


def check_int8(net, pictures):
    run, wanted = Session(net, "int8"), interpret_int8(net.int8, pictures)
    raw = run.raw(pictures)
    assert raw.dtype == np.int32
    np.testing.assert_array_equal(raw, wanted.raw)
    logits = run(pictures)
    assert logits.dtype == np.float32
    np.testing.assert_array_equal(logits, wanted.logits)
    return run


@pytest.mark.parametrize("levels", ["ternary", "binary", "float"])
def test_int8_of_every_op_is_the_definition(backend, levels):
    for seed in range(15):
        rng = np.random.default_rng(seed)
        net = with_int8(small(rng, levels), rng)
        check_int8(net, random_pictures(rng, net, 6))


ENDS = {
    "relu behind the output": lambda rng: [
        weighted(rng, "conv", "c", "input", "ternary", (5, 3, 2, 2), True),
        Node("global_avg_pool", "g", ("c",)),
        weighted(rng, "linear", "fc", "g", "binary", (4, 5)),
        Node("relu", "out", ("fc",)),
    ],
    "an average": lambda rng: [
        weighted(rng, "conv", "c", "input", "float", (4, 3, 3, 3), padding=(2, 2), stride=(2, 1)),
        Node("relu", "r", ("c",)),
        Node("global_avg_pool", "out", ("r",)),
    ],
    "a scale_shift": lambda rng: [
        Node("max_pool", "m", ("input",), {"kernel": (6, 5), "stride": (1, 1)}),
        Node("flatten", "f", ("m",)),
        Node("scale_shift", "out", ("f",), scale=np.float32([1, -2, 0]), bias=np.float32([0.5, 0, 1])),
    ],
    "an addition": lambda rng: [
        Node("global_avg_pool", "g", ("input",)),
        weighted(rng, "linear", "a", "g", "ternary", (4, 3)),
        weighted(rng, "linear", "b", "g", "binary", (4, 3)),
        Node("add", "out", ("a", "b")),
    ],
    "a value with itself": lambda rng: [
        Node("global_avg_pool", "g", ("input",)),
        weighted(rng, "linear", "a", "g", "ternary", (4, 3)),
        Node("add", "twice", ("a", "a")),
        Node("relu", "out", ("twice",)),
    ],
    "a subsample that nobody scales": lambda rng: [
        weighted(rng, "conv", "c", "input", "ternary", (2, 3, 5, 4)),
        Node("subsample", "s", ("c",), {"step": 3}),
        Node("pad", "p", ("s",), {"before": (1, 0, 0), "after": (1, 0, 0)}),
        Node("flatten", "out", ("p",)),
    ],
}


@pytest.mark.parametrize("end", ENDS)
def test_int8_ends_in_any_op(backend, end):
    for seed in range(6):
        rng = np.random.default_rng(seed)
        nodes = ENDS[end](rng)
        classes = {"an average": 4, "a scale_shift": 3}.get(end, 4)
        net = with_int8(network(nodes, (3, 6, 5), classes), rng)
        check_int8(net, random_pictures(rng, net, 3))


def random_network(rng):
    """A chain of convolutions of random geometry and levels, additions, ReLUs, constant channels, a classifier."""
    size = c, h, w = tuple(int(v) for v in rng.integers((1, 6, 6), (6, 20, 20)))
    nodes, name = [], "input"
    for k in range(int(rng.integers(1, 5))):
        source, kind = name, int(rng.integers(4))
        groups = int(rng.choice([g for g in range(1, c + 1) if c % g == 0])) if kind == 3 else 1
        o = c if kind == 0 else groups * int(rng.integers(1, 1 + max(1, 70 // groups)))
        kernel = (3, 3) if kind < 2 else tuple(int(v) for v in rng.integers(1, 4, 2))
        stride = (2, 1) if kind == 2 else (1, 1)
        levels = str(rng.choice(["ternary", "binary", "float"]))
        shape = (o, c // groups, *kernel)
        node = weighted(
            rng, "conv", f"conv {k}", name, levels, shape, True, padding=(1, 1), stride=stride, groups=groups
        )
        constant = rng.random(o) < rng.choice([0, 0.3])
        nodes.append(replace(node, scale=np.where(constant, 0, node.scale).astype(np.float32)))
        name = node.name
        if kind == 0:  # of the shape of its operand
            nodes.append(Node("add", f"add {k}", (name, source) if k % 2 else (source, name)))
            name = f"add {k}"
        if rng.random() < 0.7:
            nodes.append(Node("relu", f"relu {k}", (name,)))
            name = f"relu {k}"
        c, h, w = o, (h + 2 - kernel[0]) // stride[0] + 1, (w + 2 - kernel[1]) // stride[1] + 1
    nodes.append(Node("flatten", "flat", (name,)))
    nodes.append(weighted(rng, "linear", "fc", "flat", "ternary" if h % 2 else "binary", (11, c * h * w)))
    return network(nodes, size, 11)


@needs_c
def test_int8_of_random_networks_is_the_definition():
    for seed in range(60):
        rng = np.random.default_rng(seed)
        net = random_network(rng)
        net = with_int8(net, rng)
        pictures = random_pictures(rng, net, int(rng.integers(1, 5)))
        if seed % 5 == 0:
            pictures[:] = 255 * (seed % 2)  # all at one end: the largest sums
        check_int8(net, pictures)


def test_int8_takes_normalized_floats_too(backend):
    rng = np.random.default_rng(24)
    net = with_int8(small(rng), rng)
    pictures = random_pictures(rng, net, 3)
    mean, std = (np.reshape(v, (-1, 1, 1)) for v in (net.metadata.normalization.mean, net.metadata.normalization.std))
    x = ((pictures / 255 - mean) / std).astype(np.float32)
    run = Session(net, "int8")
    scale = net.int8.scales["input"]
    wanted = np.array([[max(-128, min(127, int(np.floor(v / scale + 0.5)))) for v in row] for row in x.reshape(3, -1)])
    np.testing.assert_array_equal(run.raw(x), interpret_int8(net.int8, wanted.reshape(x.shape).astype(np.int8)).raw)


RESNET20 = Path(__file__).parents[1] / "data"


@pytest.mark.data
@needs_c
@pytest.mark.parametrize("levels", ["ternary", "binary"])
def test_resnet20_on_real_pictures(levels):
    if not os.environ.get("ELQ_DATA"):
        pytest.skip("no data sets: ELQ_DATA is not set")
    from elq_ref import datasets

    _, test = datasets.cifar10(Path(os.environ["ELQ_DATA"]) / "cifar-10-batches-bin")
    net = with_int8(load(RESNET20 / f"resnet20-{levels}.elq"), np.random.default_rng(25))
    check_int8(net, test.images[:100])


# ------------------------------------------------------------------------------------------- sessions


@pytest.mark.parametrize("activations", ["float32", "int8"])
def test_a_picture_gives_the_same_bits_in_every_call(backend, activations):
    rng = np.random.default_rng(26)
    net = with_int8(block(rng), rng)
    run = Session(net, activations)
    pictures = random_pictures(rng, net, 150)
    y = run(pictures)
    if backend == "C" or activations == "int8":
        for n in (1, 2, 3, 17):
            np.testing.assert_array_equal(np.concatenate([run(pictures[k : k + n]) for k in range(0, 150, n)]), y)
    seconds = run.profile(pictures[:20])
    assert (
        sum(row[4] for row in seconds)
        == sum(  # multiply-adds: outputs times weights that reach one
            int(np.prod(net.shapes[name]) * np.prod(weight.shape[1:])) for name, weight in net.layers.items()
        )
    )
    assert all(row[3] >= 0 for row in seconds)
    assert sum(row[3] for row in seconds) > 0


@pytest.mark.parametrize("activations", ["float32", "int8"])
def test_one_session_in_many_threads_and_batches(backend, activations):
    rng = np.random.default_rng(27)
    net = with_int8(block(rng), rng)
    run = Session(net, activations)
    inputs = [random_pictures(rng, net, n) for n in (1, 2, 7, 30, 90)]
    wanted = [run(x) for x in inputs]
    start = threading.Barrier(4)

    def work(k):
        start.wait(30)
        for _ in range(8):
            np.testing.assert_array_equal(run(inputs[k]), wanted[k])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(1, 5)))


THREADS_SCRIPT = """
import sys, hashlib, numpy as np
sys.path.insert(0, sys.argv[1])
from runtime_nets import block, random_pictures, with_int8
from elq_ref.runtime import Session
rng = np.random.default_rng(28)
net = with_int8(block(rng), rng)
x = random_pictures(rng, net, 67)
for activations in ("float32", "int8"):
    run = Session(net, activations)
    for n in (1, 3, 67):
        print(hashlib.sha256(run(x[:n]).tobytes()).hexdigest())
        run.profile(x[:n])
        print(hashlib.sha256(run(x[:n]).tobytes()).hexdigest())
"""


@needs_c
def test_the_same_bits_for_any_number_of_threads():
    runs = [run_python(THREADS_SCRIPT, str(Path(__file__).parents[1]), ELQ_NUM_THREADS=str(n)) for n in (1, 2, 3, 8)]
    assert not any(run.stderr for run in runs)
    assert len({run.stdout for run in runs}) == 1
    assert len(runs[0].stdout) == 12 * 65


@needs_c
def test_weights_stay_packed_and_the_summary_says_so():
    node = weighted(np.random.default_rng(29), "conv", "c", "input", "ternary", (64, 64, 3, 3), padding=(1, 1))
    binary = weighted(np.random.default_rng(29), "conv", "d", "c", "binary", (64, 64, 3, 3), padding=(1, 1))
    net = network([node, binary, Node("global_avg_pool", "g", ("d",))], (64, 8, 8), 64)
    net = with_int8(net, np.random.default_rng(30))
    for activations in ("float32", "int8"):
        run = Session(net, activations)
        assert run.weight_bytes == 64 * 64 * 9 * 3 // 8
        assert run.arena_bytes == 2 * 64 * 64 * (4 if activations == "float32" else 1)
        lines = run.summary().splitlines()
        assert len(lines) == 4
        assert lines[1].split()[:6] == ["c", "64x64x3x3", "ternary", "2.00", "9,216", "2.36"]
        assert lines[2].split()[:6] == ["d", "64x64x3x3", "binary", "1.00", "4,608", "2.36"]
        for line, name in zip(lines[1:], "cd", strict=False):
            assert line.endswith(run.kernels[name])
            assert run.kernels[name].startswith("elq_conv_f32_" if activations == "float32" else "elq_conv_i8_")


def test_what_a_session_refuses():
    net = small(np.random.default_rng(31))
    with pytest.raises(ValueError, match="activations are 'int4', wanted one of float32, int8"):
        Session(net, "int4")
    with pytest.raises(ValueError, match="not calibrated"):
        Session(net, "int8")
    with pytest.raises(ValueError, match="no raw integers"):
        Session(net).raw(np.zeros((1, 2, 7, 6), np.uint8))
